//! Runs whose time passed with nobody there, and jobs beside one that panics or cannot be looked after.

use std::fs;

use jiff::Timestamp;
use serde_json::Value;

use super::{Jobs, NEXT_MINUTE, SOON, said, stop};
use crate::harness::{ended_with, root, run_with};
use crate::monitor::archive_from;

#[test]
fn days_that_passed_with_nobody_there_are_scored_one_by_one() {
    let jobs = Jobs::new(
        "[archive]\ndirectory = 'data'\n\
         [[jobs]]\nname = 'daily'\nwatermark = true\ninput = 'data/results/flights-scored'\n\
         output = 'again/date={date}'\nwhere = \"event_time >= '{start}' AND event_time < '{start+1}'\"\n",
    );
    let succeeded = |history: &[Value], count: usize| {
        history.iter().filter(|run| run["outcome"] == "succeeded").count() == count
    };
    // Twenty hours of 1 June 2013, scored as far as days are complete.
    let start = 1_370_044_800;
    archive_from(start, &jobs.path("data"), 0..20, 99);
    let child = jobs.spawn(&["run", "--only", "jobs"], &[]);
    jobs.wait(&child, SOON, |history| succeeded(history, 1));
    stop(child);
    // The rest of it, two days and two hours.
    archive_from(start, &jobs.path("data"), 20..74, 99);
    let child = jobs.spawn(&["run", "--only", "jobs"], &[]);
    let history = jobs.wait(&child, NEXT_MINUTE, |history| succeeded(history, 4));
    stop(child);
    let days: Vec<&str> = history.iter().filter_map(|run| run["date"].as_str()).collect();
    assert_eq!(days, ["2013-06-03", "2013-06-02", "2013-06-01", "2013-05-31"]);
    let started = |run: &Value| -> Timestamp {
        run["started"].as_str().expect("a time").parse().expect("one")
    };
    assert!(history.is_sorted_by(|a, b| started(a) > started(b)), "{history:#?}");
    for run in &history[..3] {
        assert_eq!((&run["made"]["scored"], &run["missed"]), (&(24 * 600).into(), &0.into()));
    }
}

#[test]
fn a_run_that_panics_has_failed_and_holds_nobody_up() {
    let entry = |name: &str| {
        format!(
            "[[jobs]]\nname = '{name}'\ncron = '0 0 1 1 *'\ninput = 'in'\noutput = '{name}/{{date}}'\n\
             retry_seconds = 1\n"
        )
    };
    let jobs = Jobs::new(&(entry("one") + &entry("other")));
    jobs.flights(1);
    for name in ["one", "other"] {
        let begun = [("TIDEGATE_FAILPOINT", "jobs.begun")];
        let mut child = jobs.spawn(&["jobs", "run", name, "--date", "2026-01-01"], &begun);
        assert!(!child.wait(SOON).success());
    }
    let panics = [("TIDEGATE_FAILPOINT", "jobs.output=panic")];
    let child = jobs.spawn(&["run", "--only", "jobs"], &panics);
    child.wait_for("the run panicked", SOON);
    let history =
        jobs.wait(&child, SOON, |history| history.iter().all(|run| run["outcome"] == "succeeded"));
    assert!(!child.whole_log().contains("hop failed"), "{}", child.log());
    stop(child);
    let failures = history.iter().filter_map(|run| run["failures"].as_u64()).sum::<u64>();
    assert_eq!((history.len(), failures), (2, 1), "{history:#?}");
}

#[test]
fn damage_of_a_jobs_state_or_of_the_archive_holds_up_no_other_job() {
    let entry = |name: &str| {
        format!(
            "[[jobs]]\nname = '{name}'\ncron = '0 0 1 1 *'\ninput = 'in'\noutput = '{name}/{{date}}'\n"
        )
    };
    let jobs = Jobs::new(&format!(
        "[archive]\ndirectory = 'data'\n{}{}\
         [[jobs]]\nname = 'daily'\nwatermark = true\ninput = 'data/results/flights-scored'\n\
         output = 'again/{{date}}'\nwhere = \"event_time >= '{{start}}' AND event_time < '{{start+1}}'\"\n",
        entry("damaged"),
        entry("other")
    ));
    jobs.flights(1);
    for name in ["damaged", "other"] {
        let begun = [("TIDEGATE_FAILPOINT", "jobs.begun")];
        let mut child = jobs.spawn(&["jobs", "run", name, "--date", "2026-01-01"], &begun);
        assert!(!child.wait(SOON).success());
    }
    archive_from(1_370_044_800, &jobs.path("data"), 0..26, 99);
    let partition = jobs.path("data/results/flights-scored/source_partition=0");
    let archived = fs::read_dir(&partition).expect("archived").filter_map(Result::ok);
    let archived = archived.map(|entry| entry.path());
    let archived = archived.filter(|path| path.extension().is_some_and(|it| it == "parquet")).min();
    let damaged = [
        jobs.path("jobs/damaged/runs/2026-01-01T00-00-00Z.json"),
        archived.expect("an archived file"),
    ];
    let whole = damaged.each_ref().map(|path| fs::read(path).expect("it is there"));
    for (path, whole) in damaged.iter().zip(&whole) {
        fs::write(path, &whole[..whole.len() / 2]).expect("writable");
    }
    let child = jobs.spawn(&["run", "--only", "jobs"], &[]);
    child.wait_for("a run succeeded", SOON);
    // The watermark is looked up beside the jobs.
    child.wait_for("\"job\":\"daily\"", SOON);
    let log = child.whole_log();
    assert_eq!(log.matches("a job cannot go on").count(), 2, "{log}");
    assert!(!log.contains("hop failed"), "{log}");
    assert_eq!(jobs.json(&["jobs", "history", "other"])[0]["outcome"], "succeeded");
    for (path, whole) in damaged.iter().zip(&whole) {
        fs::write(path, whole).expect("writable");
    }
    let succeeded = |history: &[Value]| {
        history.len() == 3 && history.iter().all(|run| run["outcome"] == "succeeded")
    };
    jobs.wait(&child, NEXT_MINUTE, succeeded);
    assert_eq!(child.whole_log().matches("the job goes on").count(), 2, "{}", child.log());
    stop(child);
}

#[test]
fn the_words_of_a_panic_are_told_unless_the_contract_has_sensitive_fields() {
    let jobs = Jobs::new(
        "[[jobs]]\nname = 'one'\ncron = '0 0 1 1 *'\ninput = 'in'\noutput = 'one/{date}'\nretries = 0\n",
    );
    jobs.flights(1);
    let contract = fs::read_to_string(root().join("deploy/demo/contract.toml"));
    let (contract, tail) = (contract.expect("the demo's contract"), "name = \"tail\"\n");
    assert!(contract.contains(tail), "{contract}");
    let sensitive = contract.replace(tail, &format!("{tail}sensitive = \"drop\"\n"));
    for (contract, withheld) in [(contract, false), (sensitive, true)] {
        let path = jobs.path("contract.toml");
        fs::write(&path, contract).expect("writable");
        let file = format!("contract.file={}", path.display());
        let make = ["jobs", "run", "one", "--date", "2026-01-01", "--set", &file];
        let arguments = jobs.arguments(&make);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let panics = ("TIDEGATE_FAILPOINT".to_owned(), "jobs.output=panic".to_owned());
        let output = run_with(&arguments, &[panics]);
        ended_with(&output, 1);
        let told = said(&output);
        assert!(told.contains("panicked at"), "{told}");
        assert_eq!(told.contains("failpoint jobs.output"), !withheld, "{told}");
        assert_eq!(told.contains("withheld"), withheld, "{told}");
        let history = jobs.json(&["jobs", "history", "one"])[0]["error"].to_string();
        assert_eq!(history.contains("withheld"), withheld, "{history}");
    }
}
