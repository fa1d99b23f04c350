//! Without drift, alarms come no more often than the budget says; the effect is taken as given, so
//! that it is the significance alone that holds them back.

use super::*;
use crate::stats::benjamini_hochberg;

const WEEKS: i64 = 200;
const COLUMNS: usize = 20;

/// xorshift64*, as a number in (0, 1).
fn uniform(state: &mut u64) -> f64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    ((state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// Alarms a week, at a budget of `per_week` and hourly windows.
fn rate(breaches: u32, windows: u32, per_week: f64) -> f64 {
    let budget = Budget { alarms_per_week: per_week, step_ms: HOUR_MS, overlap: false, streams: 1 };
    let level = budget.level(breaches, windows);
    let rule =
        Rule { level: Some(level), breaches, windows, clear_windows: 1, critical: None, ..psi() };
    let mut book = Book::new([rule]);
    let (mut alarms, mut random) = (0, 42);
    for hour in 1..=WEEKS * 168 {
        let p: Vec<f64> = (0..COLUMNS).map(|_| uniform(&mut random)).collect();
        let findings = benjamini_hochberg(&p)
            .into_iter()
            .enumerate()
            .map(|(column, q)| Finding {
                q: Some(q),
                // What is not significant is over: every alarm is counted.
                value: if q <= level { 1.0 } else { 0.0 },
                ..finding("psi", &format!("c{column}"), 1.0)
            })
            .collect();
        let said = book.judge(&window(hour, findings));
        alarms += said.iter().filter(|one| matches!(one, Transition::Fired(_))).count();
    }
    alarms as f64 / WEEKS as f64
}

#[test]
fn one_window_is_enough_the_budget_is_spent_and_not_exceeded() {
    let rate = rate(1, 1, 1.0);
    assert!((0.7..=1.2).contains(&rate), "{rate} alarms a week, 1 allowed");
}

#[test]
fn two_of_three_stay_below_the_budget() {
    let rate = rate(2, 3, 1.0);
    assert!(rate <= 1.0, "{rate} alarms a week, 1 allowed");
}
