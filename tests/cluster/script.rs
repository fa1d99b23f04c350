//! `deploy/cluster/start.sh`: a cluster of three processes that one command starts and ends.

use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{SOON, demo, on, ports};
use crate::harness::{Child, binary, ended_with, folder, output, root};

/// Processes that the script started; whatever happens to the test, they end.
struct Script {
    script: Child,
    pids: Vec<u32>,
}

impl Script {
    /// Whether a process of it runs.
    fn runs(&self) -> bool {
        self.pids.iter().any(|pid| {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            command.contains("127.0.0.1")
        })
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if self.runs() {
            self.script.kill();
            for pid in &self.pids {
                // An error means that it has ended.
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).output();
            }
        }
    }
}

#[test]
fn the_script_starts_a_cluster_and_ends_it() {
    let folder = folder();
    let [port, first, second] = ports();
    let mut script = Command::new("bash");
    script
        .arg(root().join("deploy/cluster/start.sh"))
        .arg(demo("models"))
        .args(["--threads", "1", "--work-dir"])
        .arg(folder.path())
        .env("TIDEGATE", binary())
        .env("TIDEGATE_CLUSTER_PORTS", format!("{port} {first} {second}"));
    let mut script = Script { script: Child::of(&mut script), pids: Vec::new() };
    script.script.wait_for("score with --cluster", SOON);
    let log = script.script.whole_log();
    let pids = log.lines().filter_map(|line| line.split_once(": pid ")?.1.parse().ok());
    script.pids = pids.collect();
    assert_eq!(script.pids.len(), 3, "{log}");
    for listen in [first, second] {
        let end = Instant::now() + SOON;
        while TcpStream::connect(("127.0.0.1", listen)).is_err() {
            assert!(Instant::now() < end, "{}", script.script.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    let to = folder.path().join("out");
    let url = format!("df://127.0.0.1:{port}");
    ended_with(&output(&mut on(&url, &demo("flights.parquet"), &to, &[])), 0);
    script.script.terminate();
    assert!(script.script.wait(SOON).success(), "{}", script.script.log());
    assert!(!script.runs(), "all have ended: {}", script.script.log());
    let left = fs::read_dir(folder.path()).expect("there");
    let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["out"], "executors remove their folders");
}
