//! Runs whose time passed with nobody there: which of them are made, and in which order.

use super::*;
use crate::jobs::state::KEPT_RUNS;

/// Runs all that is due, as the scheduler does: scheduled day of each, and the missed runs before it.
fn all(job: &JobSpec, have: &[Run], world: World<'_>) -> Vec<(i8, u32)> {
    let (mut runs, mut made) = (runs(have), Vec::new());
    while let Some(found) = due(job, &runs, world) {
        made.push((found.moment.date.day(), found.missed));
        let new = Run { missed: found.missed, ..run("2026-01-01T00:00:00Z", Outcome::Succeeded) };
        let time = found.moment.time;
        runs.insert(time, Run { scheduled: time, date: found.moment.date, ..new });
        assert!(made.len() <= 2 * MOST_CAUGHT_UP, "{made:?}");
    }
    made
}

fn each(job: JobSpec) -> JobSpec {
    JobSpec { reads: Reads::PerDay, ..job }
}

#[test]
fn days_that_were_missed_are_made_one_by_one_where_each_reads_its_own() {
    let job = each(by_clock("30 2 * * *", "UTC"));
    let done = run("2026-01-05T02:30:00Z", Outcome::Succeeded);
    let world = world("2026-01-09T20:00:00Z");
    let days = [(6, 0), (7, 0), (8, 0), (9, 0)];
    assert_eq!(all(&job, std::slice::from_ref(&done), world), days);
    // A job that is new has missed nothing, and nothing is made twice.
    assert_eq!(all(&job, &[], World { since: at("2026-01-08T12:00:00Z"), ..world }), [(9, 0)]);
    // One that waits for its next try keeps nobody waiting.
    let waits = Run {
        retry_at: Some(at("2026-02-01T00:00:00Z")),
        ..run("2026-01-06T02:30:00Z", Outcome::Failed)
    };
    assert_eq!(all(&job, &[done.clone(), waits], world), [(7, 0), (8, 0), (9, 0)]);
    // What a person made is made, and says nothing about the days before it.
    let by_hand = Run { by_hand: true, ..run("2026-01-08T02:30:00Z", Outcome::Succeeded) };
    assert_eq!(all(&job, &[done.clone(), by_hand.clone()], world), [(6, 0), (7, 0), (9, 0)]);
    let newest = JobSpec { reads: Reads::Same, ..job };
    assert_eq!(all(&newest, &[done.clone(), by_hand], world), [(9, 2)]);
    // A clock that was ahead once keeps nothing from being made.
    let ahead = run("2026-03-01T02:30:00Z", Outcome::Succeeded);
    assert_eq!(all(&newest, &[done, ahead], world), [(9, 3)]);
}

#[test]
fn of_the_runs_of_a_day_that_read_the_same_the_newest_is_made() {
    let job = each(by_clock("0 */6 * * *", "UTC"));
    let done = run("2026-01-05T06:00:00Z", Outcome::Succeeded);
    let now = world("2026-01-07T13:00:00Z");
    assert_eq!(all(&job, std::slice::from_ref(&done), now), [(5, 1), (6, 3), (7, 2)]);
    let lost = due(&job, &runs(std::slice::from_ref(&done)), now).map(|due| due.lost);
    assert_eq!(lost, Some(0), "another run of their day stands for them");
    // One that is in time is made, whatever the day has already.
    let before = run("2026-01-07T06:00:00Z", Outcome::Succeeded);
    let noon = Some(("2026-01-07T12:00:00Z", date(2026, 1, 7), 0));
    check(&job, &[before], now, noon);
    let by_time = JobSpec { reads: Reads::PerRun, ..job };
    let days = [5, 5, 6, 6, 6, 6, 7, 7, 7].map(|day| (day, 0));
    assert_eq!(all(&by_time, &[done], now), days);
    // A follower that has made the newest does not go back to those before it.
    let follower = each(super::job(Trigger::After("first".into()), "UTC"));
    let first = ["00", "06", "12"]
        .map(|hour| run(&format!("2026-01-06T{hour}:00:00Z"), Outcome::Succeeded));
    let first = runs(&first);
    let now = World { before: Some(&first), ..now };
    assert_eq!(all(&follower, &[], now), [(6, 2)]);
}

#[test]
fn what_is_too_far_behind_is_passed_over_and_counted_once() {
    let done = run("2026-01-05T02:30:00Z", Outcome::Succeeded);
    let job = each(by_clock("30 2 * * *", "UTC"));
    let most = MOST_CAUGHT_UP as u32;
    let last = at("2026-01-05T02:30:00Z") + SignedDuration::from_hours(24 * (i64::from(most) + 7));
    let world = World { now: last, ..world("2026-01-05T02:30:00Z") };
    let lost = due(&job, &runs(std::slice::from_ref(&done)), world).map(|due| due.lost);
    assert_eq!(lost, Some(7), "no run stands for them");
    let made = all(&job, &[done], world);
    assert_eq!(made.len(), MOST_CAUGHT_UP);
    assert_eq!(made.iter().map(|(_, missed)| missed).sum::<u32>(), 7);
    assert_eq!(made[0].1, 7, "with the run after them");
}

#[test]
fn a_follower_makes_every_day_that_the_other_has_made() {
    let follower = each(job(Trigger::After("first".into()), "UTC"));
    let succeeded = |day: &str| run(day, Outcome::Succeeded);
    // The sixth came good after the seventh, and both while nobody followed.
    let late = Run { ended: Some(at("2026-01-08T09:00:00Z")), ..succeeded("2026-01-06T02:00:00Z") };
    let first = runs(&[
        succeeded("2026-01-05T02:00:00Z"),
        late,
        succeeded("2026-01-07T02:00:00Z"),
        run("2026-01-08T02:00:00Z", Outcome::Failed),
    ]);
    let world = World { before: Some(&first), ..world("2026-01-08T12:00:00Z") };
    assert_eq!(all(&follower, &[succeeded("2026-01-05T02:00:00Z")], world), [(6, 0), (7, 0)]);
    let have = [succeeded("2026-01-05T02:00:00Z"), succeeded("2026-01-07T02:00:00Z")];
    assert_eq!(all(&follower, &have, world), [(6, 0)]);
    // One that is new follows what succeeds from now on, and the newest of what there is.
    let new = |since: &str| all(&follower, &[], World { since: at(since), ..world });
    assert_eq!(new("2026-01-08T10:00:00Z"), [(7, 0)]);
    assert_eq!(new("2026-01-07T12:00:00Z"), [(6, 0), (7, 0)]);
}

#[test]
fn a_follower_does_not_go_back_behind_a_full_history() {
    let start = at("2026-01-02T00:00:00Z");
    let hour = |hours: i64| {
        let scheduled = start + SignedDuration::from_hours(hours);
        Run { scheduled, started: scheduled, ..run("2026-01-02T00:00:00Z", Outcome::Succeeded) }
    };
    let by_hand = |hours: i64| Run { by_hand: true, ..hour(hours) };
    let full = i64::try_from(KEPT_RUNS).unwrap();
    let follower = JobSpec { reads: Reads::PerRun, ..job(Trigger::After("first".into()), "UTC") };
    let first: Vec<Run> = (0..full).map(hour).collect();
    let first = runs(&first);
    let world = World { before: Some(&first), ..world("2026-06-01T00:00:00Z") };
    let check = |by_hand: &[Run], left_out: i64, expected: &[i64]| {
        let have: Vec<Run> = (1..full).filter(|hours| *hours != left_out).map(hour).collect();
        let (mut runs, mut made) = (runs(&[&have[..], by_hand].concat()), Vec::new());
        while let Some(found) = due(&follower, &runs, world) {
            let hours = found.moment.time.duration_since(start).as_hours();
            made.push(hours);
            // As the state does it.
            if runs.len() >= KEPT_RUNS {
                runs.pop_first();
            }
            runs.insert(found.moment.time, hour(hours));
            assert!(made.len() <= 3, "{made:?}");
        }
        assert_eq!(made, expected, "{by_hand:?} {left_out}");
    };
    check(&[], 0, &[0]);
    // One that a person made took the place of the first, and whether it is older makes no difference.
    check(&[by_hand(full + 5)], 0, &[]);
    check(&[by_hand(-5)], 0, &[]);
    // What is missing in between is made.
    check(&[by_hand(full + 5), by_hand(full + 6)], 500, &[500]);
    check(&[by_hand(-5), by_hand(full + 5)], 500, &[500]);
}

#[test]
fn days_that_the_watermark_passed_at_once_are_made_one_by_one() {
    let newest = job(Trigger::Watermark, "Europe/Berlin");
    let job = each(newest.clone());
    let world =
        World { watermark: Some(at("2026-03-31T22:30:00Z")), ..world("2026-05-01T00:00:00Z") };
    let done = run("2026-03-28T23:00:00Z", Outcome::Succeeded);
    let days = [(29, 0), (30, 0), (31, 0)];
    assert_eq!(all(&job, std::slice::from_ref(&done), world), days);
    assert_eq!(all(&newest, std::slice::from_ref(&done), world), [(31, 2)]);
    // A job that is new begins with the newest day, whatever older one a person made.
    let by_hand = Run { by_hand: true, ..done.clone() };
    assert_eq!(all(&job, &[by_hand], world), [(31, 0)]);
    // A watermark that went back makes nothing again.
    let back = World { watermark: Some(at("2026-03-28T22:00:00Z")), ..world };
    let before = run("2026-03-27T23:00:00Z", Outcome::Succeeded);
    assert!(all(&job, &[before, done], back).is_empty());
}
