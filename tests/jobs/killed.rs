//! A run that is killed, wherever it stands: it goes on, each row is there once, and what is done is done.

use std::time::Duration;

use serde_json::Value;

use super::{Jobs, NEXT_MINUTE, SOON, names, rows, stop};
use crate::harness::{FLIGHTS, Kills, seed};

#[test]
fn killed_at_random_under_the_scheduler_each_row_is_there_once() {
    let jobs = Jobs::new(
        "[[jobs]]\nname = 'big'\ncron = '0 0 1 1 *'\ninput = 'in'\noutput = 'out/{date}'\nthreads = 2\n\
         include = ['source']\ndrift = true\nreference = 'in/000.parquet'\n",
    );
    let files = 60;
    jobs.flights(files);
    // Begun by hand and killed; from then on the scheduler goes on with it, and is killed
    let begun = [("TIDEGATE_FAILPOINT", "jobs.begun")];
    let mut child = jobs.spawn(&["jobs", "run", "big", "--date", "2026-01-01"], &begun);
    assert!(!child.wait(SOON).success());
    // at every step of a file,
    for step in ["created=2", "before_close=2", "before_publish=2", "published=2"] {
        let failpoint = format!("archive.{step}");
        let mut child =
            jobs.spawn(&["run", "--only", "jobs"], &[("TIDEGATE_FAILPOINT", &failpoint)]);
        assert!(!child.wait(SOON).success(), "it was killed at {step}");
    }
    // at random,
    let lives = Duration::from_millis(100)..Duration::from_millis(700);
    for life in Kills::new(seed(), lives).take(6) {
        let mut child = jobs.spawn(&["run", "--only", "jobs"], &[]);
        std::thread::sleep(life);
        child.kill();
        assert!(!jobs.path("out/2026-01-01").exists() || rows(&jobs.path("out/2026-01-01")) > 0);
    }
    // and at every step of the end.
    for step in ["jobs.before_publish", "jobs.made"] {
        // Where those starts were lucky, it is done, or published.
        let done = jobs.json(&["jobs", "history"])[0]["outcome"] == "succeeded";
        if done || (step == "jobs.before_publish" && jobs.path("out/2026-01-01").exists()) {
            continue;
        }
        let mut child = jobs.spawn(&["run", "--only", "jobs"], &[("TIDEGATE_FAILPOINT", step)]);
        assert!(!child.wait(NEXT_MINUTE).success(), "it was killed at {step}");
    }
    let child = jobs.spawn(&["run", "--only", "jobs"], &[]);
    let history = jobs.wait(&child, NEXT_MINUTE, |history| history[0]["outcome"] == "succeeded");
    stop(child);
    assert_eq!(history.len(), 1, "{history:#?}");
    let run = &history[0];
    assert_eq!((&run["failures"], &run["error"]), (&0.into(), &Value::Null), "{run:#}");
    assert!(run["interruptions"].as_u64().expect("a number") >= 5, "{run:#}");
    assert_eq!(run["made"]["scored"], files as u64 * FLIGHTS);
    assert_eq!(rows(&jobs.path("out/2026-01-01")), files as u64 * FLIGHTS);
    assert_eq!(names(&jobs.path("out")), ["2026-01-01"], "nothing unfinished is left");
    assert_eq!(run["made"]["drift"], false);
    assert!(jobs.path("out/2026-01-01/report.html").is_file());
    // What is made is made.
    assert_eq!(jobs.json(&["jobs", "run", "big", "--date", "2026-01-01"]), *run);
}

#[test]
fn killed_when_its_end_is_written_down_a_run_is_done() {
    let jobs = Jobs::new(
        "[[jobs]]\nname = 'one'\ncron = '0 0 1 1 *'\ninput = 'in'\noutput = 'out/{date}'\n\
         include = ['source']\n",
    );
    jobs.flights(1);
    let run = ["jobs", "run", "one", "--date", "2026-01-01"];
    let mut child = jobs.spawn(&run, &[("TIDEGATE_FAILPOINT", "jobs.ended")]);
    assert!(!child.wait(SOON).success(), "{}", child.log());
    let known = jobs.json(&["jobs", "history"])[0].clone();
    assert_eq!(known["outcome"], "succeeded", "{known:#}");
    assert_eq!(jobs.json(&run), known, "it was begun again");
    assert_eq!(rows(&jobs.path("out/2026-01-01")), FLIGHTS);
}
