//! From "so many false alarms a week" to the significance level of one window.
//!
//! A *stream* is one run of windows that is tested by itself: a model, or a segment of it, a reference,
//! a rule. Its columns, of all versions and arms, are tested together: their p-values become q-values
//! by Benjamini-Hochberg, and where nothing drifts, the chance that *any* column of a window has
//! q ≤ α is at most α. A rule fires at a window that breaches when at least k − 1 of the n − 1
//! before it did; with independent windows that has, per window, a chance of at most
//!
//! ```text
//! a(α) = α · P[Binomial(n − 1, α) ≥ k − 1]
//! ```
//!
//! so W windows a week in S streams give at most `S · W · a(α)` alarms, and α is the solution of
//! `S · W · a(α) = budget`. It is a bound from above: k of n is counted per column and arm, which is
//! rarer than over any columns; the effect must be there, too; an open episode cannot fire again.
//!
//! Windows that overlap are not independent: their k breaches may be the same rows. Then a(α) = α.
//! Autocorrelation inside the windows is not the budget's business: p-values are deflated by the
//! over-dispersion before they come here.

/// Milliseconds of a week.
pub const WEEK_MS: i64 = 7 * 24 * 3_600_000;

/// What is spent, and on how much testing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Expected false alarms per model and week.
    pub alarms_per_week: f64,
    /// Milliseconds from the start of one window to the start of the next.
    pub step_ms: i64,
    /// Whether a window begins before the last one ended.
    pub overlap: bool,
    /// Streams of the model.
    pub streams: u32,
}

impl Budget {
    /// The level α of one window for a rule that wants `breaches` of `windows`; at most 0.05, so
    /// that a generous budget never makes "significant" meaningless.
    ///
    /// # Panics
    /// When a part is not positive.
    pub fn level(&self, breaches: u32, windows: u32) -> f64 {
        assert!(self.step_ms > 0 && self.streams > 0, "windows and streams exist");
        assert!(self.alarms_per_week > 0.0, "no false alarm ever means no alarm ever");
        let tests = f64::from(self.streams) * (WEEK_MS as f64 / self.step_ms as f64);
        let share = self.alarms_per_week / tests;
        let fires = |level: f64| {
            if self.overlap { level } else { level * at_least(breaches - 1, windows - 1, level) }
        };
        let (mut low, mut high) = (0.0, MAX_LEVEL);
        if fires(high) <= share {
            return high;
        }
        // 60 halvings of 0.05 leave less than 1e-19.
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if fires(middle) <= share {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// The highest level ever used.
const MAX_LEVEL: f64 = 0.05;

/// P[Binomial(`trials`, `p`) ≥ `least`].
fn at_least(least: u32, trials: u32, p: f64) -> f64 {
    let mut term = (1.0 - p).powi(trials as i32);
    let mut below = 0.0;
    for hits in 0..least {
        below += term;
        term *= f64::from(trials - hits) / f64::from(hits + 1) * p / (1.0 - p);
    }
    // Far tails cancel: sum them from above instead.
    if below < 0.9 {
        return 1.0 - below;
    }
    let mut above = 0.0;
    for hits in least..=trials {
        above += term;
        term *= f64::from(trials - hits) / f64::from(hits + 1) * p / (1.0 - p);
    }
    above
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_spends_the_budget() {
        let hourly =
            Budget { alarms_per_week: 0.1, step_ms: 3_600_000, overlap: false, streams: 1 };
        // 1 of 1: the budget over 168 windows.
        assert!((hourly.level(1, 1) - 0.1 / 168.0).abs() < 1e-12);
        // 2 of 2: the square root of it.
        assert!((hourly.level(2, 2) - (0.1f64 / 168.0).sqrt()).abs() < 1e-9);
        // 2 of 3: α(1 − (1 − α)²) = share.
        let level = hourly.level(2, 3);
        assert!((level * (1.0 - (1.0 - level).powi(2)) - 0.1 / 168.0).abs() < 1e-9, "{level}");
        assert!(level < hourly.level(2, 2), "more chances, a smaller level");
        let twice = Budget { streams: 2, ..hourly };
        assert!(twice.level(2, 3) < level);
        let sliding = Budget { overlap: true, ..hourly };
        assert!((sliding.level(2, 3) - 0.1 / 168.0).abs() < 1e-12);
        let generous = Budget { alarms_per_week: 1e6, ..hourly };
        assert!((generous.level(1, 1) - 0.05).abs() < 1e-15);
    }

    #[test]
    fn tails_of_the_binomial() {
        for (least, trials, p, expected) in
            [(0, 5, 0.3, 1.0), (1, 2, 0.1, 0.19), (2, 4, 0.01, 5.920_3e-4), (4, 4, 1e-3, 1e-12)]
        {
            let have = at_least(least, trials, p);
            assert!((have / expected - 1.0).abs() < 1e-6, "{least} of {trials}: {have}");
        }
    }
}
