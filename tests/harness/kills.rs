//! When to kill: random instants that a seed repeats.

use std::ops::Range;
use std::time::Duration;

/// How many kills a test makes: `TIDEGATE_TEST_KILLS`, or as many as it is given.
pub(crate) fn kills(unless_told: u64) -> u64 {
    std::env::var("TIDEGATE_TEST_KILLS")
        .map_or(unless_told, |text| text.parse().expect("a number of kills"))
}

/// An endless schedule of how long to let a process live; the same seed gives the same schedule.
pub(crate) struct Kills {
    dice: Dice,
    lives: Range<Duration>,
}

impl Kills {
    /// Lives drawn evenly from `lives`.
    pub(crate) fn new(seed: u64, lives: Range<Duration>) -> Self {
        assert!(!lives.is_empty(), "lives of {lives:?} are none");
        Self { dice: Dice::new(seed), lives }
    }
}

impl Iterator for Kills {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.lives.start + (self.lives.end - self.lives.start).mul_f64(self.dice.share()))
    }
}

/// Random numbers that a seed repeats.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of these.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[(self.share() * from.len() as f64) as usize]
    }

    /// Evenly drawn from 0 to below 1.
    pub(crate) fn share(&mut self) -> f64 {
        // SplitMix64: any seed will do, and its state is one number.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The seed of this run: `TIDEGATE_TEST_SEED`, else from the clock; printed, so that a failure can
/// be repeated.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("TIDEGATE_TEST_SEED") {
        Ok(text) => text.parse().expect("TIDEGATE_TEST_SEED is a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().expect("the clock is past 1970").as_secs(),
    };
    eprintln!("repeat with TIDEGATE_TEST_SEED={seed}");
    seed
}

#[test]
fn a_seed_repeats_its_schedule_within_its_bounds() {
    let lives = Duration::from_millis(200)..Duration::from_millis(900);
    let draw = |seed| Kills::new(seed, lives.clone()).take(1000).collect::<Vec<_>>();
    let (first, again, other) = (draw(1), draw(1), draw(2));
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert!(first.iter().all(|life| lives.contains(life)));
    let mean = first.iter().sum::<Duration>() / 1000;
    assert!((500..600).contains(&mean.as_millis()), "evenly drawn, but their mean is {mean:?}");
}
