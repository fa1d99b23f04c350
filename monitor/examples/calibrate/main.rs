//! Whether the budget of false alarms holds, and what is found how soon: `make calibrate`.
//!
//! `calibrate [WEEKS] [COLUMNS]`, 500 × 100 when left out. Ends with an error when a stream without drift
//! raises more than twice the budget.

#[path = "simulation.rs"]
mod simulation;

use std::process::ExitCode;
use std::time::Instant;

use simulation::{BUDGET, CHANGES, OF, STREAMS, WINDOWS, delay, level, on_all_cores, week};

/// Simulated changes of each kind.
const TRIALS: usize = 40;
/// Windows that a change may take to be found.
const PATIENCE: usize = 48;

#[allow(clippy::print_stdout)]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let (weeks, columns) = (arguments.next().unwrap_or(500), arguments.next().unwrap_or(100));
    let started = Instant::now();
    println!(
        "{weeks} weeks of {WINDOWS} windows of 500 rows, {columns} columns; {} of {} windows at q ≤ {:.4}; \
         budget {BUDGET} alarms a week\n",
        OF.0,
        OF.1,
        level(BUDGET, WINDOWS, OF)
    );
    println!("| stream without drift | alarms a week | windows with a crossing |\n|---|---|---|");
    let mut holds = true;
    for (place, (name, stream)) in STREAMS.into_iter().enumerate() {
        let seen = on_all_cores(weeks, |at| week(stream, columns, (place * weeks + at) as u64));
        let alarms: u32 = seen.iter().map(|(alarms, _)| alarms).sum();
        let noisy: u32 = seen.iter().map(|(_, noisy)| noisy).sum();
        let rate = f64::from(alarms) / weeks as f64;
        holds &= rate <= 2.0 * BUDGET;
        let share = f64::from(noisy) / (weeks * WINDOWS) as f64 * 100.0;
        println!("| {name} | {rate:.3} | {share:.2} % |");
    }
    println!("\n| change of one column | found | median delay in windows |\n|---|---|---|");
    for (place, (name, change)) in CHANGES.into_iter().enumerate() {
        let seen = on_all_cores(TRIALS, |at| {
            delay(change, columns.min(20), PATIENCE, (1_000_000 + place * TRIALS + at) as u64)
        });
        let mut found: Vec<usize> = seen.into_iter().flatten().collect();
        found.sort_unstable();
        let median = found.get(found.len() / 2).map_or("–".to_owned(), ToString::to_string);
        println!("| {name} | {} of {TRIALS} | {median} |", found.len());
    }
    println!("\n{:.0} s", started.elapsed().as_secs_f64());
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
