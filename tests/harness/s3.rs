//! An S3 server on loopback (`tests/s3/server.py`, which is moto), with faults on demand.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{required, root};

/// The server makes it.
const BUCKET: &str = "tidegate";

/// A server with an empty bucket; ends when it is dropped, or with the test process.
pub(crate) struct S3 {
    child: Child,
    port: u16,
}

impl S3 {
    /// Starts one; `None` where its environment is missing, a panic under `CI=true`.
    pub(crate) fn start() -> Option<Self> {
        let python = python();
        let found = match python.is_file() {
            true => Ok(python),
            false => Err(format!("no {}; `make setup` makes it", python.display())),
        };
        let python = required("an S3 server", found)?;
        let mut child = Command::new(python)
            .args(["-B", &root().join("tests/s3/server.py").to_string_lossy()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("stdout is piped");
        BufReader::new(out).read_line(&mut line).expect("it says its port");
        let port = line.trim().parse().unwrap_or_else(|_| panic!("no port: {line:?}"));
        Some(Self { child, port })
    }

    /// A place in the bucket.
    pub(crate) fn place(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}")
    }

    /// What a process needs to find it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// What goes wrong from now on, as `server.py` takes it; answers how often each was so far.
    pub(crate) fn faults(&self, plan: &serde_json::Value) -> serde_json::Value {
        let answer = self.ask("POST /_faults HTTP/1.1\r\n", &plan.to_string());
        let body = answer.split("\r\n\r\n").nth(1).expect("a body");
        serde_json::from_str(body).expect("JSON")
    }

    /// An object of the bucket, as text; `None` where there is none. Asked again through faults.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        for _ in 0..50 {
            let answer = self.ask(&format!("GET /{BUCKET}/{key} HTTP/1.1\r\n"), "");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
            match head.split(' ').nth(1) {
                Some("200") => return Some(body.to_owned()),
                Some("404") => return None,
                _ => {}
            }
        }
        panic!("{key}: 50 faults in a row");
    }

    fn ask(&self, line: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out can be set");
        let length = body.len();
        let request = format!(
            "{line}host: localhost\r\nconnection: close\r\nauthorization: AWS test:unsigned\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        answer
    }

    /// Rows and distinct rows of a table, as pyarrow counts them.
    pub(crate) fn count(&self, prefix: &str, columns: &[&str]) -> Option<(u64, u64)> {
        let script = root().join("tests/s3/count.py");
        let mut python = Command::new("python3");
        python.args(["-B", &script.to_string_lossy(), &format!("127.0.0.1:{}", self.port)]);
        python.arg(format!("{BUCKET}/{prefix}")).args(columns);
        let output = super::output(&mut python);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let found = if output.status.success() { Ok(output.stdout) } else { Err(said) };
        let counted = required("pyarrow, first on PATH,", found)?;
        let counted: serde_json::Value = serde_json::from_slice(&counted).expect("JSON");
        Some((counted["rows"].as_u64()?, counted["distinct"].as_u64()?))
    }
}

/// Of which no log may say a word.
pub(crate) const SECRET: &str = "very-secret-access-key";

impl Drop for S3 {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn python() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache");
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from);
    cache.join("tidegate/python/s3/bin/python")
}
