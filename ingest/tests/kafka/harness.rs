//! Topics, the pipe as a process, seeded chance, and the oracle.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ingest::{Connection, CreateTopic, Outgoing, Producer, ScanConfig, Stop, create_topic};
use schemas::MicroBatch;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A pipe that was asked to end, or that must end by itself, ends within this.
const BOUND: Duration = Duration::from_secs(180);

/// The broker to test with; `None` (with a line that says so) when there is none.
pub(crate) fn kafka() -> Option<String> {
    match std::env::var("TIDEGATE_TEST_KAFKA") {
        Ok(brokers) if !brokers.is_empty() => Some(brokers),
        _ => {
            assert!(
                std::env::var("CI").as_deref() != Ok("true"),
                "TIDEGATE_TEST_KAFKA is not set: under CI=true the tests on a real Kafka may not be skipped"
            );
            eprintln!("skipped: set TIDEGATE_TEST_KAFKA=host:port of a real Kafka to run it");
            None
        }
    }
}

/// The topics and the group of one test; names are new in each run.
pub(crate) struct Stage {
    pub(crate) brokers: String,
    pub(crate) name: String,
}

impl Stage {
    pub(crate) fn new(brokers: String, test: &str, partitions: i32) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let name = format!("{test}-{now}-{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        let stage = Self { brokers, name };
        for topic in [stage.input(), stage.output(), stage.dead()] {
            stage.create(&topic, partitions, &[]);
        }
        stage
    }

    pub(crate) fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let settings =
            settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let topic = CreateTopic { name: name.into(), partitions, replication: 1, settings };
        create_topic(&self.connection(), &topic, LIMIT).unwrap();
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection {
            brokers: self.brokers.clone(),
            properties: BTreeMap::new(),
            instance: "test".into(),
        }
    }

    pub(crate) fn input(&self) -> String {
        format!("{}-in", self.name)
    }

    pub(crate) fn output(&self) -> String {
        format!("{}-out", self.name)
    }

    pub(crate) fn dead(&self) -> String {
        format!("{}-dead", self.name)
    }

    /// Writes ids `from..to` to the input, keyed by themselves.
    pub(crate) fn feed(&self, from: usize, to: usize) {
        let mut producer = Producer::new(&self.connection(), &self.input(), LIMIT).unwrap();
        for chunk in (from..to).collect::<Vec<_>>().chunks(5000) {
            let mut records = Outgoing::new();
            for id in chunk {
                records.push(Some(id.to_string().as_bytes()), format!("{id:09}").as_bytes(), None);
            }
            producer.send(records).unwrap();
        }
        producer.flush().unwrap();
    }

    pub(crate) fn send(&self, values: &[&str]) {
        let mut producer = Producer::new(&self.connection(), &self.input(), LIMIT).unwrap();
        let mut records = Outgoing::new();
        values.iter().for_each(|value| records.push(Some(b"key"), value.as_bytes(), Some(0)));
        producer.send(records).unwrap();
        producer.flush().unwrap();
    }

    /// Writes `records` to the input in a transaction that is aborted.
    pub(crate) fn abort(&self, records: usize) {
        use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
        let producer: BaseProducer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("transactional.id", format!("{}-abort", self.name))
            .create()
            .unwrap();
        producer.init_transactions(LIMIT).unwrap();
        producer.begin_transaction().unwrap();
        for _ in 0..records {
            producer.send(BaseRecord::<str, str>::to(&self.input()).payload("junk")).unwrap();
        }
        producer.flush(LIMIT).unwrap();
        producer.abort_transaction(LIMIT).unwrap();
    }

    /// Grows the input topic to `partitions`.
    pub(crate) fn add_partitions(&self, partitions: usize) {
        use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
        let admin: AdminClient<_> =
            rdkafka::ClientConfig::new().set("bootstrap.servers", &self.brokers).create().unwrap();
        let input = self.input();
        let asked = [NewPartitions::new(&input, partitions)];
        let options = AdminOptions::new();
        let mut future = std::pin::pin!(admin.create_partitions(&asked, &options));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        while future.as_mut().poll(&mut context).is_pending() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts the pipe as a process; `more` are further settings `key=value`.
    pub(crate) fn start(&self, instance: &str, more: &[&str]) -> Pipe {
        self.start_at(instance, more, "")
    }

    /// The same, slow or killed at a place (`schemas::failpoint`).
    pub(crate) fn start_at(&self, instance: &str, more: &[&str], failpoint: &str) -> Pipe {
        let mut command = Command::new(example());
        command
            .arg(format!("brokers={}", self.brokers))
            .arg(format!("pipeline={}", self.name))
            .arg(format!("input={}", self.input()))
            .arg(format!("output={}", self.output()))
            .arg(format!("dead={}", self.dead()))
            .arg(format!("instance={instance}"))
            .args(more)
            .env("TIDEGATE_FAILPOINT", failpoint)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        Pipe(command.spawn().expect("the example is built with the tests"))
    }

    /// Every record of `topic` (read committed), per partition in order.
    pub(crate) fn records(&self, topic: &str) -> Vec<MicroBatch> {
        let mut batches = Vec::new();
        ingest::scan::scan(&ScanConfig::new(self.connection(), topic), &Stop::new(), |batch| {
            batches.push(batch);
            Ok(())
        })
        .unwrap();
        batches
    }

    /// How often each id is in the results and the dead letters together.
    pub(crate) fn tally(&self, ids: usize) -> Tally {
        let mut times = vec![0u32; ids];
        for topic in [self.output(), self.dead()] {
            for batch in self.records(&topic) {
                for row in 0..batch.len() {
                    let text = std::str::from_utf8(batch.value(row).unwrap()).unwrap();
                    times[text.parse::<usize>().unwrap()] += 1;
                }
            }
        }
        let missing = times.iter().filter(|times| **times == 0).count();
        let doubled = times.iter().filter(|times| **times > 1).count();
        Tally { missing, doubled }
    }

    /// Waits until the group has committed everything of the input.
    pub(crate) fn wait_until_done(&self) {
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            let lag = self.lag();
            if lag == 0 {
                return;
            }
            assert!(Instant::now() < until, "{}: {lag} records are still not committed", self.name);
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Data records between the group's committed offsets and the end of the input.
    fn lag(&self) -> i64 {
        let info = ingest::topic_info(&self.connection(), &self.input(), LIMIT).unwrap();
        let numbers: Vec<i32> = info.partitions.iter().map(|each| each.partition).collect();
        let Ok(committed) =
            ingest::committed(&self.connection(), &self.name, &self.input(), &numbers, LIMIT)
        else {
            return 1;
        };
        let mut config = ScanConfig::new(self.connection(), &self.input());
        config.from = committed;
        let mut rows = 0;
        ingest::scan::scan(&config, &Stop::new(), |batch| {
            rows += batch.len() as i64;
            Ok(())
        })
        .unwrap();
        rows
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) missing: usize,
    pub(crate) doubled: usize,
}

impl Tally {
    pub(crate) const EXACT: Self = Self { missing: 0, doubled: 0 };
}

/// A running pipe; killed when dropped.
pub(crate) struct Pipe(Child);

impl Pipe {
    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks for a graceful end and waits for it: exit code and what it printed.
    pub(crate) fn stop(mut self) -> (i32, String) {
        drop(self.0.stdin.take());
        self.wait()
    }

    /// Waits for the end: exit code and what it printed.
    pub(crate) fn wait(&mut self) -> (i32, String) {
        let end = Instant::now() + BOUND;
        let code = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < end, "the pipe did not end within {BOUND:?}");
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut printed = String::new();
        if let Some(mut out) = self.0.stdout.take() {
            out.read_to_string(&mut printed).unwrap();
        }
        (code, printed)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `target/…/examples/pipe`, which cargo builds with the tests.
fn example() -> PathBuf {
    if let Ok(path) = std::env::var("TIDEGATE_PIPE_EXAMPLE") {
        return path.into();
    }
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/pipe")
}

/// xorshift64*: the schedule of a test follows from its seed.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n.max(1)
    }

    pub(crate) fn pause(&mut self, from_ms: u64, to_ms: u64) {
        std::thread::sleep(Duration::from_millis(from_ms + self.below(to_ms - from_ms)));
    }
}
