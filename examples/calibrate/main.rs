//! Whether the budget of false alarms holds, and what is found how soon: `make calibrate`.
//!
//! `calibrate [WEEKS [COLUMNS [SECTION.KEY=VALUE…]]]`, 500 weeks of 100 columns under the rules of `default.toml`
//! when left out. Ends with an error when a stream without drift raises more than twice the budget.
#![allow(dead_code, unused_imports, reason = "the binary uses the rest of what is shared with it")]

#[path = "../../src/config/mod.rs"]
mod config;
#[path = "../../src/hops/findings.rs"]
mod findings;
#[path = "simulation.rs"]
mod simulation;

use std::process::ExitCode;
use std::time::Instant;

use simulation::{
    CHANGES, NULL_COLUMNS, ROWS, STREAMS, Told, WINDOWS, configuration, delay, on_all_cores,
    quiet_weeks,
};

/// Weeks that a model is watched for with one reference; a new one has a reference of its own.
const MODEL_WEEKS: usize = 4;
/// Simulated changes of each kind.
const TRIALS: usize = 40;
/// Windows that a change may take to be found.
const PATIENCE: usize = 48;

#[allow(clippy::print_stdout)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| {
        arguments.get(at).map_or(default, |text| text.parse().expect("a number"))
    };
    let (models, columns) = (number(0, 500).div_ceil(MODEL_WEEKS), number(1, 100));
    let weeks = models * MODEL_WEEKS;
    let config = configuration(arguments.get(2..).unwrap_or_default());
    let budget = config.alerts.false_alarms_per_week;
    let started = Instant::now();
    println!(
        "{weeks} weeks ({MODEL_WEEKS} of each model) of {WINDOWS} windows of {ROWS} rows, {columns} columns (with nulls {NULL_COLUMNS} at most, few rows are 120); budget {budget} alarms a week\n"
    );
    println!("| rule | breaches of windows | q at most |\n|---|---|---|");
    for rule in config.alert_rules() {
        let Some(level) = rule.level else { continue };
        println!("| {} | {} of {} | {level:.5} |", rule.name, rule.breaches, rule.windows);
    }
    println!("\n| stream without drift | alarms | notes | both a week |\n|---|---|---|---|");
    let mut holds = true;
    for (place, (name, stream)) in STREAMS.into_iter().enumerate() {
        let seed = |at: usize| (place * models + at) as u64;
        let watch = |at| quiet_weeks(&config, stream, columns, MODEL_WEEKS, seed(at));
        let seen = on_all_cores(models, watch);
        let told: Told = seen.into_iter().sum();
        let rate = f64::from(told.all()) / weeks as f64;
        holds &= rate <= 2.0 * budget;
        println!("| {name} | {} | {} | {rate:.3} |", told.alarms, told.notes);
    }
    println!(
        "\n| change of one column | told | median delay in windows | alarmed | median delay |\n|---|---|---|---|---|"
    );
    for (place, (name, change)) in CHANGES.into_iter().enumerate() {
        let seed = |at: usize| (1_000_000 + place * TRIALS + at) as u64;
        let seen =
            on_all_cores(TRIALS, |at| delay(&config, change, columns.min(20), PATIENCE, seed(at)));
        let (words, alarms): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        let [told, alarmed] = [words, alarms].map(|delays| {
            let mut found: Vec<usize> = delays.into_iter().flatten().collect();
            found.sort_unstable();
            let median = found.get(found.len() / 2).map_or("–".to_owned(), ToString::to_string);
            format!("{} of {TRIALS} | {median}", found.len())
        });
        println!("| {name} | {told} | {alarmed} |");
    }
    println!("\n{:.0} s", started.elapsed().as_secs_f64());
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
