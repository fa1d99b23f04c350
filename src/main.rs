//! The `tidegate` binary: read the command line, run one command, say how it ended.

mod alerting;
mod cli;
mod commands;
mod config;
mod events;
mod exit;
mod feed;
mod health;
mod hops;
mod jobs;
mod labels;
mod models;
mod monitoring;
mod panics;
mod pipeline;
mod process;
mod progress;
mod prompt;
mod score;
mod server;
mod signals;
mod supervise;
mod tables;
mod telemetry;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let started = std::time::Instant::now();
    let result = match Cli::parse().command {
        Command::Demo(args) => commands::demo::run(&args),
        Command::Run(args) => commands::run::run(&args, started),
        Command::Check(args) => commands::check::run(&args),
        Command::Verify(args) => commands::verify::run(&args),
        Command::Produce(args) => commands::produce::run(&args),
        Command::Bench(args) => commands::bench::run(&args),
        Command::Model(command) => commands::model::run(&command),
        Command::Schema(command) => commands::schema::run(&command),
        Command::Score(args) => commands::score::run(&args),
        Command::Scheduler(args) => commands::cluster::scheduler(&args),
        Command::Executor(args) => commands::cluster::executor(&args),
        Command::Sql(args) => commands::sql::run(&args),
        Command::Baseline(command) => commands::baseline::run(&command),
        Command::Drift(args) => commands::drift::run(&args),
        Command::Compact(args) => commands::compact::run(&args),
        Command::Archive(command) => commands::archive::run(&command),
        Command::Alerts(command) => commands::alerts::run(&command),
        Command::Monitor(command) => commands::monitor::run(&command),
        Command::Jobs(command) => commands::jobs::run(&command),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("tidegate: {error:#}");
            exit::of(&error).into()
        }
    }
}
