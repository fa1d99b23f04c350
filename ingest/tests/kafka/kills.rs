//! kill -9 at seeded instants while records flow: every id once, or, in the control arm, doubled.

use std::thread;
use std::time::Duration;

use crate::harness::{Chance, Stage, Tally, kafka};

/// Feeds `ids` in small portions over about `seconds`.
fn feed_slowly(stage: &Stage, ids: usize, seconds: u64) {
    let portions = 100;
    for portion in 0..portions {
        stage.feed(portion * ids / portions, (portion + 1) * ids / portions);
        thread::sleep(Duration::from_millis(seconds * 1000 / portions as u64));
    }
}

/// Each life ends at an instant, but the third, which ends `at` a place where there is one.
fn killed(
    test: &str,
    seed: u64,
    (ids, kills): (usize, u32),
    more: &[&str],
    at: Option<&str>,
) -> Option<Tally> {
    let stage = Stage::new(kafka()?, test, 4);
    let mut chance = Chance::new(seed);
    thread::scope(|scope| {
        scope.spawn(|| feed_slowly(&stage, ids, u64::from(kills)));
        for life in 0..kills {
            if let Some(place) = at.filter(|_| life == 2) {
                assert_ne!(stage.start_at("one", more, place).wait().0, 0);
                continue;
            }
            let mut pipe = stage.start("one", more);
            chance.pause(150, 1600);
            pipe.kill();
        }
    });
    let pipe = stage.start("one", more);
    stage.wait_until_done();
    assert_eq!(pipe.stop().0, 0);
    Some(stage.tally(ids))
}

#[test]
fn exactly_once_across_kills() {
    if let Some(tally) = killed("kills", 11, (200_000, 20), &[], None) {
        assert_eq!(tally, Tally::EXACT);
    }
}

#[test]
fn exactly_once_across_kills_with_many_small_transactions() {
    if let Some(tally) =
        killed("kills-small", 12, (60_000, 15), &["max_rows=50", "interval_ms=5"], None)
    {
        assert_eq!(tally, Tally::EXACT);
    }
}

#[test]
fn the_control_arm_doubles_and_loses_nothing() {
    // Offsets lag behind by up to a second, so that a kill leaves work that was done and not noted.
    let more = ["mode=at_least_once", "interval_ms=1000"];
    // On a slow machine no other life may come so far.
    let at = Some("pipe.acknowledged=3");
    if let Some(tally) = killed("control", 13, (100_000, 10), &more, at) {
        assert_eq!(tally.missing, 0);
        assert!(tally.doubled > 0, "the oracle must be able to see duplicates");
    }
}
