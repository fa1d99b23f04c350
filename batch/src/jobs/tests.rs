//! Jobs by a clock that is set by hand, and their state on a real disk.

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::*;

mod missed;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn job(trigger: Trigger, zone: &str) -> JobSpec {
    let zone = TimeZone::get(zone).unwrap();
    let retry_after = SignedDuration::from_secs(60);
    JobSpec { name: "j".into(), trigger, zone, reads: Reads::Same, retries: 2, retry_after }
}

fn by_clock(cron: &str, zone: &str) -> JobSpec {
    let calendar =
        Calendar { cron: Cron::parse(cron).unwrap(), zone: TimeZone::get(zone).unwrap() };
    job(Trigger::Cron(calendar), zone)
}

fn run(scheduled: &str, outcome: Outcome) -> Run {
    Run {
        job: "j".into(),
        scheduled: at(scheduled),
        date: at(scheduled).to_zoned(TimeZone::UTC).date(),
        outcome,
        started: at(scheduled),
        ended: None,
        starts: 1,
        failures: 0,
        interruptions: 0,
        missed: 0,
        by_hand: false,
        retry_at: None,
        made: None,
        error: None,
        output: String::new(),
        by: "test".into(),
    }
}

fn runs(of: &[Run]) -> Runs {
    of.iter().map(|run| (run.scheduled, run.clone())).collect()
}

fn world(now: &str) -> World<'static> {
    World { now: at(now), since: at("2026-01-01T00:00:00Z"), watermark: None, before: None }
}

/// Scheduled time, day and missed runs of what is due.
#[track_caller]
fn check(job: &JobSpec, have: &[Run], world: World<'_>, expected: Option<(&str, Date, u32)>) {
    let found = due(job, &runs(have), world);
    let found = found.map(|due| (due.moment.time, due.moment.date, due.missed));
    let expected = expected.map(|(time, date, missed)| (at(time), date, missed));
    assert_eq!(found, expected, "{have:?} {world:?}");
}

#[test]
fn the_clock_starts_a_run_once_and_the_latest_of_those_missed() {
    let job = by_clock("30 2 * * *", "UTC");
    let done = run("2026-01-05T02:30:00Z", Outcome::Succeeded);
    // A job that is new has missed nothing.
    let new = World { since: at("2026-01-05T12:00:00Z"), ..world("2026-01-05T12:00:00Z") };
    check(&job, &[], new, None);
    check(&job, &[], World { now: at("2026-01-06T02:29:59.999Z"), ..new }, None);
    let first = Some(("2026-01-06T02:30:00Z", date(2026, 1, 6), 0));
    check(&job, &[], World { now: at("2026-01-06T02:30:00Z"), ..new }, first);
    // Once.
    let have = [done.clone(), run("2026-01-06T02:30:00Z", Outcome::Succeeded)];
    check(&job, &have, world("2026-01-06T02:30:00Z"), None);
    check(&job, &have, world("2026-01-07T02:29:00Z"), None);
    // After a stop of days the last one only.
    let late = Some(("2026-01-09T02:30:00Z", date(2026, 1, 9), 3));
    check(&job, std::slice::from_ref(&done), world("2026-01-09T20:00:00Z"), late);
    // A clock that went back starts nothing again.
    check(&job, &have, world("2026-01-06T01:00:00Z"), None);
    check(&job, &have[1..], world("2026-01-01T01:00:00Z"), None);
}

#[test]
fn a_day_of_23_hours_has_its_run_and_one_of_25_has_one() {
    let job = by_clock("30 2 * * *", "Europe/Berlin");
    let night = |day: &str| run(day, Outcome::Succeeded);
    let spring = [night("2026-03-28T01:30:00Z")];
    check(&job, &spring, world("2026-03-29T01:29:59Z"), None);
    let due = Some(("2026-03-29T01:30:00Z", date(2026, 3, 29), 0));
    check(&job, &spring, world("2026-03-29T01:30:00Z"), due);
    let autumn = [night("2026-10-25T00:30:00Z")];
    check(&job, &autumn, world("2026-10-25T01:30:00Z"), None);
    check(&job, &autumn, world("2026-10-25T23:00:00Z"), None);
}

#[test]
fn what_was_begun_is_ended_first_and_what_failed_is_tried_as_often_as_said() {
    let job = by_clock("@daily", "UTC");
    let now = "2026-01-07T12:00:00Z";
    let open = Some(("2026-01-05T00:00:00Z", date(2026, 1, 5), 0));
    for outcome in [Outcome::Running, Outcome::Interrupted] {
        check(&job, &[run("2026-01-05T00:00:00Z", outcome)], world(now), open);
    }
    let mut failed = run("2026-01-07T00:00:00Z", Outcome::Running);
    failed.fail("no input", &job, at("2026-01-07T00:00:10Z"));
    assert_eq!(failed.retry_at, Some(at("2026-01-07T00:01:10Z")));
    check(&job, &[failed.clone()], world("2026-01-07T00:01:09Z"), None);
    let again = Some(("2026-01-07T00:00:00Z", date(2026, 1, 7), 0));
    check(&job, &[failed.clone()], world("2026-01-07T00:01:10Z"), again);
    assert!(failed.begin("a", at("2026-01-07T00:01:10Z")));
    failed.fail("no input", &job, at("2026-01-07T00:02:00Z"));
    assert_eq!(failed.retry_at, Some(at("2026-01-07T00:04:00Z")), "the wait doubles");
    assert!(failed.begin("a", at("2026-01-07T00:04:00Z")));
    failed.fail("no input", &job, at("2026-01-07T00:05:00Z"));
    assert_eq!((failed.retry_at, failed.is_over(), failed.starts), (None, true, 3));
    check(&job, &[failed.clone()], world("2026-01-07T23:59:59Z"), None);
    // A new day is not kept from its run by an old failure.
    let new = Some(("2026-01-08T00:00:00Z", date(2026, 1, 8), 0));
    check(&job, &[failed], world("2026-01-08T00:00:00Z"), new);
}

#[test]
fn a_run_that_ends_its_process_again_and_again_is_given_up() {
    let mut one = run("2026-01-07T00:00:00Z", Outcome::Running);
    for _ in 0..MAX_INTERRUPTIONS {
        assert!(one.begin("a", one.scheduled));
    }
    assert!(!one.begin("a", one.scheduled));
    assert_eq!((one.outcome, one.is_over()), (Outcome::Failed, true));
    assert!(one.error.as_deref().unwrap().contains("cut off"));
    assert!(one.begin("by hand", one.scheduled), "a person may try again");
}

#[test]
fn one_job_follows_another_for_the_same_day() {
    let follower = job(Trigger::After("first".into()), "UTC");
    let succeeded = |day: &str| run(day, Outcome::Succeeded);
    let first = runs(&[
        succeeded("2026-01-05T02:00:00Z"),
        succeeded("2026-01-06T02:00:00Z"),
        run("2026-01-07T02:00:00Z", Outcome::Failed),
    ]);
    let world = World { before: Some(&first), ..world("2026-01-07T12:00:00Z") };
    let latest = |missed| Some(("2026-01-06T02:00:00Z", date(2026, 1, 6), missed));
    check(&follower, &[], world, latest(1));
    check(&follower, &[succeeded("2026-01-05T02:00:00Z")], world, latest(0));
    check(&follower, &[succeeded("2026-01-06T02:00:00Z")], world, None);
    check(&follower, &[], World { before: Some(&Runs::new()), ..world }, None);
    check(&follower, &[], World { before: None, ..world }, None);
}

#[test]
fn a_day_is_complete_when_the_watermark_has_passed_its_end() {
    let job = job(Trigger::Watermark, "Europe/Berlin");
    for (mark, expected) in [
        ("2026-03-29T21:59:59.999999Z", Some(("2026-03-28T23:00:00Z", date(2026, 3, 28), 0))),
        ("2026-03-29T22:00:00Z", Some(("2026-03-29T22:00:00Z", date(2026, 3, 29), 0))),
    ] {
        let world = World { watermark: Some(at(mark)), ..world("2026-05-01T00:00:00Z") };
        check(&job, &[], world, expected);
        let have = [run(expected.unwrap().0, Outcome::Succeeded)];
        check(&job, &have, world, None);
    }
    check(&job, &[], world("2026-05-01T00:00:00Z"), None);
}

#[test]
fn a_run_by_hand_is_named_by_its_day_or_its_time() {
    let time = |found: Result<Option<Moment>, Vec<Timestamp>>| found.unwrap().unwrap().time;
    let nightly = by_clock("30 2 * * 1-5", "Europe/Berlin");
    assert_eq!(time(of_date(&nightly, date(2026, 3, 27))), at("2026-03-27T01:30:00Z"));
    // A Sunday has no run of its own.
    assert_eq!(time(of_date(&nightly, date(2026, 3, 29))), at("2026-03-28T23:00:00Z"));
    let hourly = by_clock("@hourly", "UTC");
    assert_eq!(of_date(&hourly, date(2026, 3, 29)).unwrap_err().len(), 24);
    let found = of_time(&hourly, at("2026-03-29T07:00:00Z")).unwrap();
    assert_eq!((found.time, found.date), (at("2026-03-29T07:00:00Z"), date(2026, 3, 29)));
    assert_eq!(of_time(&hourly, at("2026-03-29T07:00:01Z")), None);
    let daily = job(Trigger::Watermark, "UTC");
    assert_eq!(time(of_date(&daily, date(2026, 3, 29))), at("2026-03-30T00:00:00Z"));
}

#[test]
fn the_newest_run_is_that_of_the_latest_time_made_or_not() {
    let time = |job: &JobSpec, world: World<'_>| latest(job, world).map(|moment| moment.time);
    let now = world("2026-01-09T20:00:00Z");
    let daily = by_clock("30 2 * * *", "UTC");
    assert_eq!(time(&daily, now), Some(at("2026-01-09T02:30:00Z")));
    let before = runs(&[
        run("2026-01-05T02:00:00Z", Outcome::Succeeded),
        run("2026-01-06T02:00:00Z", Outcome::Failed),
    ]);
    let follower = job(Trigger::After("first".into()), "UTC");
    let world = World { before: Some(&before), ..now };
    assert_eq!(time(&follower, world), Some(at("2026-01-05T02:00:00Z")));
    let complete = job(Trigger::Watermark, "UTC");
    let world = World { watermark: Some(at("2026-01-08T01:00:00Z")), ..now };
    assert_eq!(time(&complete, world), Some(at("2026-01-08T00:00:00Z")));
    assert_eq!(time(&complete, now), None);
}

#[test]
fn a_run_that_was_written_before_runs_by_hand_were_told_apart_is_read() {
    let mut text = serde_json::to_value(run("2026-01-05T02:00:00Z", Outcome::Succeeded)).unwrap();
    text.as_object_mut().unwrap().remove("by_hand").unwrap();
    let read: Run = serde_json::from_value(text).unwrap();
    assert!(!read.by_hand);
}

#[test]
fn the_state_is_one_processs_and_a_run_is_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::at(&folder.path().join("state"));
    assert_eq!(state.runs("j").unwrap(), Runs::new());
    let held = state.hold("first").unwrap();
    let refused = state.hold("second").unwrap_err().to_string();
    assert!(refused.contains("held by first"), "{refused}");
    drop(held);
    drop(state.hold("second").unwrap());
    let job = state.hold_job("j", "first").unwrap();
    assert!(state.is_held("j") && state.hold_job("j", "second").is_err());
    let mut ledger = Ledger::of(&state, "j");
    assert!(ledger.look().unwrap().is_empty());
    let mut one = run("2026-01-07T02:30:00Z", Outcome::Running);
    state.write(&one).unwrap();
    assert_eq!(ledger.look().unwrap().values().collect::<Vec<_>>(), [&one]);
    one.succeed(Made { rows: 7, scored: 7, ..Made::default() }, at("2026-01-07T02:31:00Z"));
    state.write(&one).unwrap();
    assert_eq!(ledger.look().unwrap().values().collect::<Vec<_>>(), [&one]);
    drop(job);
    assert!(!state.is_held("j"));
    let path = folder.path().join("state/j/runs/2026-01-07T02-30-00Z.json");
    std::fs::write(&path, "{").unwrap();
    assert!(state.runs("j").unwrap_err().to_string().contains("2026-01-07T02-30-00Z.json"));
}

#[test]
fn a_job_is_looked_after_since_it_had_this_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::at(folder.path());
    let (first, later) = (at("2026-01-07T00:00:00Z"), at("2026-01-09T00:00:00Z"));
    for (schedule, now, expected) in [
        ("@daily", first, first),
        ("@daily", later, first),
        ("@hourly", later, later),
        // The clock was two days ahead.
        ("@hourly", first, first),
    ] {
        assert_eq!(state.since("j", schedule, now).unwrap(), expected, "{schedule} at {now}");
    }
}

#[test]
fn the_oldest_runs_that_are_over_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let state = State::at(folder.path());
    let runs_folder = folder.path().join("j/runs");
    std::fs::create_dir_all(&runs_folder).unwrap();
    let start = at("2026-01-01T00:00:00Z");
    for minute in 0..1_000 {
        let scheduled = start + SignedDuration::from_mins(minute);
        let outcome = if minute == 0 { Outcome::Interrupted } else { Outcome::Succeeded };
        let one = Run { scheduled, ..run("2026-01-01T00:00:00Z", outcome) };
        let name = format!("{}.json", scheduled.strftime("%Y-%m-%dT%H-%M-%SZ"));
        std::fs::write(runs_folder.join(name), serde_json::to_string(&one).unwrap()).unwrap();
    }
    let new = run("2026-02-01T00:00:00Z", Outcome::Running);
    state.write(&new).unwrap();
    state.write(&new).unwrap();
    let kept = state.runs("j").unwrap();
    assert_eq!(kept.len(), 1_000);
    assert!(kept.contains_key(&start), "it is not over");
    assert!(!kept.contains_key(&(start + SignedDuration::from_mins(1))));
}

#[test]
fn a_folder_is_published_whole_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path(".out")).unwrap();
    std::fs::write(path(".out/a"), "1").unwrap();
    publish_folder(&path(".out"), &path("out")).unwrap();
    assert_eq!(std::fs::read_to_string(path("out/a")).unwrap(), "1");
    std::fs::create_dir(path(".out")).unwrap();
    assert!(publish_folder(&path(".out"), &path("out")).is_err());
}
