//! Jobs that failed, as the monitor's process tells of them.

use std::sync::mpsc;
use std::time::Duration;

use super::{SOON, arguments, body, receiver, watching_with};
use crate::harness::{Child, Request, ended_with, run};
use crate::monitor::{Monitored, archive};

/// A job that finds no input.
fn nightly(monitored: &Monitored) -> [String; 2] {
    let (input, output) = (monitored.path("nowhere"), monitored.path("out"));
    [
        format!(
            "jobs=[{{name=\"nightly\",cron=\"0 0 1 1 *\",retries=0,input=\"{input}\",output=\"{output}/{{date}}\"}}]"
        ),
        format!("scheduler.state={}", monitored.path("jobs")),
    ]
}

fn fail_nightly(monitored: &Monitored, address: &str, jobs: &[String]) {
    let by_hand = ["jobs", "run", "nightly", "--date", "2026-01-01"];
    let by_hand = arguments(&by_hand, monitored, address, jobs);
    let failed = run(&by_hand.iter().map(String::as_str).collect::<Vec<_>>());
    ended_with(&failed, 1);
}

fn hears_of_nightly(heard: &mpsc::Receiver<Request>, child: &Child, within: Duration) {
    let about = loop {
        let request = heard.recv_timeout(within);
        let body = body(&request.unwrap_or_else(|_| panic!("not heard:\n{}", child.log())));
        // The archive's last record is old, which is told, too.
        if body.to_string().contains("nightly") {
            break body.to_string();
        }
    };
    assert!(about.contains("job-failed") && about.contains("of 2026-01-01"), "{about}");
}

#[test]
fn a_job_that_failed_wakes_somebody() {
    let monitored = Monitored::new();
    archive(&monitored.folder.path().join("data"), 0..2, 99);
    monitored.fit(&[]);
    let (address, heard) = receiver();
    let jobs = nightly(&monitored);
    fail_nightly(&monitored, &address, &jobs);
    let child = watching_with(&monitored, &address, &jobs);
    hears_of_nightly(&heard, &child, SOON);
}

/// A disk that fails, or a bucket that is away.
#[test]
fn a_job_that_failed_wakes_somebody_while_the_archive_cannot_be_read() {
    let monitored = Monitored::new();
    archive(&monitored.folder.path().join("data"), 0..4, 99);
    monitored.fit(&[]);
    let (address, heard) = receiver();
    let jobs = nightly(&monitored);
    let child = watching_with(&monitored, &address, &jobs);
    child.wait_for("a window is judged", SOON);
    let counts = monitored.path("data/counts");
    std::fs::rename(&counts, monitored.path("away")).expect("the counts' folder");
    std::fs::write(&counts, "no folder").expect("a file in its place");
    child.wait_for("hop failed", SOON);
    fail_nightly(&monitored, &address, &jobs);
    // A pulse, and the longest wait from one life of the hop to the next.
    hears_of_nightly(&heard, &child, 3 * SOON);
}
