//! `tidegate sql --serve` as clients know it: psql, a Python driver in both protocols, the model in a
//! query, everything that is refused, limits that hold, and clients that mean no good.
//!
//! Without psql or psycopg a test says so and passes, except under `CI=true`.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::harness::{Child, ended_with, folder, free_port, metrics, output, required, root, run};
use crate::monitor::archive;

/// The features of the demo's model, in the order of its package.
const FEATURES: &str = "weekday, sched_dep, sched_arr, dep_delay, distance, temp, wind, visib";

const PASSWORD: &str = "correct horse battery staple";
const SOON: Duration = Duration::from_secs(60);

/// A server over three hours of flights, 1800 of them.
struct Served {
    child: Child,
    port: String,
    folder: tempfile::TempDir,
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The words of `tidegate sql` over the archive in `folder`, with these settings.
fn arguments(folder: &Path, sets: &[&str], more: &[&str]) -> Vec<String> {
    let config = text(&root().join("deploy/demo/tidegate.toml"));
    let state = format!("alerts.state={}", folder.join("alerts.db").display());
    let mut all: Vec<String> = vec!["sql".into(), "--config".into(), config];
    all.extend(["--directory".into(), text(&folder.join("data"))]);
    for set in ["sql.metrics=", &state].iter().chain(sets) {
        all.extend(["--set".into(), (*set).to_owned()]);
    }
    all.extend(more.iter().map(|word| (*word).to_owned()));
    all
}

impl Served {
    /// With a password.
    fn new(sets: &[&str]) -> Self {
        let folder = folder();
        std::fs::write(folder.path().join("password"), format!("{PASSWORD}\n")).expect("writable");
        let password = text(&folder.path().join("password"));
        Self::with(folder, sets, &["--password-file", &password])
    }

    fn with(folder: tempfile::TempDir, sets: &[&str], more: &[&str]) -> Self {
        archive(&folder.path().join("data"), 0..3, 99);
        let more: Vec<&str> = ["--serve", "127.0.0.1:0"].iter().chain(more).copied().collect();
        let arguments = arguments(folder.path(), sets, &more);
        let child = Child::spawn(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let line = child.wait_for("serving the PostgreSQL protocol", SOON);
        let port = line.split("127.0.0.1:").nth(1).expect("it says where");
        let port = port.chars().take_while(char::is_ascii_digit).collect();
        Self { child, port, folder }
    }

    fn psql(&self, of: &str, query: &str) -> Output {
        self.psql_as("tidegate", PASSWORD, of, query)
    }

    fn psql_as(&self, user: &str, password: &str, of: &str, query: &str) -> Output {
        let of = format!("host=127.0.0.1 port={} user={user} dbname=tidegate {of}", self.port);
        let mut psql = Command::new("psql");
        psql.args(["-X", "-w", "--csv", "-v", "ON_ERROR_STOP=1", "-d", &of, "-c", query]);
        psql.env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "30");
        output(&mut psql)
    }

    /// What psql prints of an answer.
    fn ask(&self, query: &str) -> String {
        let output = self.psql("", query);
        ended_with(&output, 0);
        String::from_utf8(output.stdout).expect("text")
    }

    /// One of the tests in `serve/driver.py`.
    fn drive(&self, test: &str) {
        let driver = text(&root().join("tests/serve/driver.py"));
        let mut python = Command::new("python3");
        python.args(["-B", &driver, test, &self.port, "tidegate", PASSWORD]);
        let output = output(&mut python);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{test}: {said}\n{}", self.child.log());
    }

    fn stops(mut self) {
        self.child.terminate();
        assert!(self.child.wait(SOON).success(), "{}", self.child.log());
    }
}

fn has_psql() -> bool {
    let found = Command::new("psql").arg("--version").output();
    let found = found.map_err(|error| format!("psql: {error}; apt-get install postgresql-client"));
    required("psql", found).is_some()
}

fn has_driver() -> bool {
    let found = output(Command::new("python3").args(["-c", "import psycopg"]));
    let found = found.status.success().then_some(()).ok_or("make setup-readers".to_owned());
    required("python3 with psycopg", found).is_some()
}

#[test]
fn psql_sees_the_tables_and_asks_the_model() {
    if !has_psql() {
        return;
    }
    let served = Served::new(&[]);
    assert_eq!(served.ask("SELECT count(*) FROM results"), "count(*)\n1800\n");
    let tables = served.ask("\\dt");
    for table in ["results", "dead_letters", "alerts"] {
        assert!(tables.contains(table), "{tables}");
    }
    let columns = served.ask("\\d results");
    assert!(columns.contains("prediction_arr_delay") && columns.contains("real"), "{columns}");
    assert!(served.ask("\\l").contains("tidegate"));
    assert!(served.ask("\\dn").contains("public"));
    let before = "event_time < '2013-06-01T02:00:00Z'";
    let query = format!("SELECT psi(dep_delay, {before}), ks(dep_delay, {before}) FROM results");
    assert_eq!(served.ask(&query).lines().count(), 2);
    assert!(served.ask("EXPLAIN SELECT id FROM results").contains("parquet"));
    assert_eq!(
        served.ask("SHOW default_transaction_read_only"),
        "default_transaction_read_only\non\n"
    );
    // The same bits as without a server.
    let query = format!("SELECT id, predict('flight-delay@1', {FEATURES}) FROM results");
    let bits = |csv: &str| -> BTreeMap<String, u32> {
        let rows = csv.lines().skip(1).map(|row| row.split_once(',').expect("two columns"));
        rows.map(|(id, x)| (id.to_owned(), x.parse::<f32>().expect("a number").to_bits())).collect()
    };
    let plain = arguments(served.folder.path(), &[], &["-c", &query, "--format", "csv"]);
    let plain = run(&plain.iter().map(String::as_str).collect::<Vec<_>>());
    ended_with(&plain, 0);
    let expected = bits(&String::from_utf8_lossy(&plain.stdout));
    assert_eq!(expected.len(), 1800);
    assert!(bits(&served.ask(&query)) == expected, "psql and `tidegate sql` differ");
    // A file that comes later is seen by the next query.
    archive(&served.folder.path().join("data"), 3..4, 99);
    assert_eq!(served.ask("SELECT count(*) FROM results"), "count(*)\n2400\n");
    served.stops();
}

#[test]
fn a_driver_asks_in_both_protocols() {
    if !has_driver() {
        return;
    }
    let served = Served::new(&[]);
    for test in ["types", "parameters", "cursors", "only_queries", "crowd", "deep"] {
        served.drive(test);
    }
    assert!(!Path::new("/tmp/tidegate-must-not-be").exists());
    assert!(!served.child.whole_log().contains(PASSWORD));
    served.stops();
}

#[test]
fn limits_hold_and_the_server_lives() {
    if !has_driver() {
        return;
    }
    let limits = [
        "sql.query_seconds=3",
        "sql.max_connections=2",
        "sql.max_queries=1",
        "sql.queue_seconds=1",
    ];
    let served = Served::new(&limits);
    served.drive("time_limits");
    served.drive("room");
    served.stops();
    let served = Served::new(&["sql.memory_mib=64", "sql.idle_seconds=2"]);
    served.drive("memory");
    served.drive("idle");
    let peak = served.child.peak_bytes() >> 20;
    assert!(peak < 1024, "{peak} MiB for queries of 64");
    served.stops();
}

#[test]
fn strangers_and_clients_that_hang_hinder_nobody() {
    if !has_driver() {
        return;
    }
    let address = free_address();
    let served = Served::new(&["sql.max_connections=5", &format!("sql.metrics={address}")]);
    served.drive("strangers");
    let before = served.child.peak_bytes();
    served.drive("unread");
    let grown = served.child.peak_bytes().saturating_sub(before) >> 20;
    assert!(grown < 256, "{grown} MiB for an answer that nobody reads");
    // Its client was killed in the middle: the query ends with it.
    let end = Instant::now() + SOON;
    while !value(&address, "tidegate_sql_running").is_some_and(|running| running == 0.0) {
        assert!(Instant::now() < end, "a query goes on for nobody");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(value(&address, "tidegate_sql_connections"), Some(0.0));
    assert!(value(&address, "tidegate_sql_logins_total").is_some_and(|logins| logins >= 2.0));
    served.stops();
}

#[test]
fn who_may_come_in() {
    if !has_psql() {
        return;
    }
    let served = Served::new(&[]);
    let begun = Instant::now();
    for (user, password) in [("tidegate", "wrong"), ("nobody", PASSWORD), ("tidegate", "")] {
        let output = served.psql_as(user, password, "", "SELECT 1");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("password"), "{user}: {said}");
        assert!(!said.contains(PASSWORD));
    }
    assert!(begun.elapsed() > Duration::from_secs(2), "guessing is slowed down");
    let log = served.child.whole_log();
    assert!(log.contains("refused") && !log.contains(PASSWORD) && !log.contains("wrong"), "{log}");
    served.stops();
    // Another user from the configuration; what `check` shows hides the secret.
    let served = Served::new(&["sql.users.analyst=hush"]);
    ended_with(&served.psql_as("analyst", "hush", "", "SELECT 1"), 0);
    served.stops();
    // Without any password: this machine only.
    let served = Served::with(folder(), &[], &[]);
    ended_with(&served.psql_as("anybody", "", "", "SELECT 1"), 0);
    served.stops();
    let empty = folder();
    for (sets, address, said) in [
        (vec![], "0.0.0.0:0", "--password-file"),
        (vec!["sql.users.a="], "127.0.0.1:0", "sql.users.a"),
        (vec!["sql.tls_certificate=x.pem"], "127.0.0.1:0", "sql.tls_key"),
        (vec!["sql.tls_certificate=none.pem", "sql.tls_key=none.pem"], "127.0.0.1:0", "none.pem"),
        (vec!["sql.max_queries=0"], "127.0.0.1:0", "1 to 1000"),
        (vec![], "nowhere", "host:port"),
    ] {
        let arguments = arguments(empty.path(), &sets, &["--serve", address]);
        let output = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        ended_with(&output, 2);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn with_a_certificate_there_is_no_way_in_without_tls() {
    if !has_psql() {
        return;
    }
    let folder = folder();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    openssl.args(["-keyout", &text(&key), "-out", &text(&certificate)]);
    ended_with(&output(&mut openssl), 0);
    std::fs::write(folder.path().join("password"), PASSWORD).expect("writable");
    let password = text(&folder.path().join("password"));
    let sets = [
        format!("sql.tls_certificate={}", certificate.display()),
        format!("sql.tls_key={}", key.display()),
    ];
    let sets = [sets[0].as_str(), sets[1].as_str()];
    let served = Served::with(folder, &sets, &["--password-file", &password]);
    let verified = format!("sslmode=verify-full sslrootcert={}", certificate.display());
    for of in [verified.as_str(), "sslmode=require", "sslmode=prefer", "channel_binding=require"] {
        ended_with(&served.psql(of, "SELECT 1"), 0);
    }
    let output = served.psql("sslmode=disable", "SELECT 1");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("sslmode=require"), "{said}");
    // A key that is not the certificate's is an error at the start.
    let other = Command::new("openssl").args(["genrsa", "2048"]).output().expect("openssl runs");
    std::fs::write(&key, other.stdout).expect("writable");
    let arguments = arguments(served.folder.path(), &sets, &["--serve", "127.0.0.1:0"]);
    let output = run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    ended_with(&output, 2);
    served.stops();
}

#[test]
fn a_query_that_runs_may_end_when_the_server_stops() {
    if !has_psql() {
        return;
    }
    let address = free_address();
    let metrics = format!("sql.metrics={address}");
    let mut served = Served::new(&["shutdown.grace_seconds=60", &metrics]);
    let sleepy = "SELECT count(*) FROM generate_series(1, 200000000) WHERE value % 7 = 1";
    std::thread::scope(|threads| {
        let asked = threads.spawn(|| served.psql("", sleepy));
        let end = Instant::now() + SOON;
        while value(&address, "tidegate_sql_running") != Some(1.0) {
            assert!(Instant::now() < end, "no query came:\n{}", served.child.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        served.child.terminate();
        let answer = asked.join().expect("psql ends");
        ended_with(&answer, 0);
        assert!(String::from_utf8_lossy(&answer.stdout).contains("28571429"));
    });
    assert!(served.child.wait(SOON).success(), "{}", served.child.log());
    assert!(TcpStream::connect(format!("127.0.0.1:{}", served.port)).is_err());
}

fn free_address() -> String {
    format!("127.0.0.1:{}", free_port())
}

/// A metric's value, summed over its labels.
fn value(address: &str, name: &str) -> Option<f64> {
    let body = metrics(address);
    let lines = body
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    lines.map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
