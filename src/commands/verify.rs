//! `tidegate verify`: counts the user's own topics and tables.

use std::io::Write as _;
use std::time::{Duration, Instant};

use ingest::AdminError;

use crate::cli::VerifyArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::pipeline::{self, DEAD_LETTERS, LABELS, RESULTS};
use crate::verify::{Archived, Claim, Verdict, verify};

/// Pause between counts while waiting for the pipeline to catch up.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let config = super::resolve(&args.config)?;
    let archives = if args.topics_only { Vec::new() } else { archives(&config) };
    let claim = Claim {
        connection: pipeline::connection(&config),
        input: config.input.topic.clone(),
        output: config.output.topic.clone(),
        dead_letters: config.dead_letters.topic.clone(),
        group: Some(pipeline::score_group(&config)),
        archives,
    };
    let verdict = wait_and_verify(&claim, Duration::from_secs(args.wait))?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&verdict.to_json())?)?;
    } else {
        writeln!(out, "{verdict}")?;
    }
    Ok(verdict.exit())
}

/// The archived topics of a configuration.
pub(super) fn archives(config: &Config) -> Vec<Archived> {
    let mut tables = vec![(RESULTS, &config.output.topic)];
    if config.archive.dead_letters {
        tables.push((DEAD_LETTERS, &config.dead_letters.topic));
    }
    if !config.labels.topic.is_empty() {
        tables.push((LABELS, &config.labels.topic));
    }
    let archived = |(table, topic): (&'static str, &String)| Archived {
        table,
        topic: topic.clone(),
        root: config.archive.directory.clone(),
    };
    tables.into_iter().map(archived).collect()
}

/// Counts again while records are only waiting to be processed, topics to be created, or brokers to answer.
fn wait_and_verify(claim: &Claim, bound: Duration) -> anyhow::Result<Verdict> {
    let until = Instant::now() + bound;
    loop {
        let verdict = verify(claim);
        let may_change = match &verdict {
            Ok(verdict) => {
                verdict.exit() == Exit::Unchecked
                    && (verdict.all_waiting() > 0 || !verdict.absent.is_empty())
            }
            Err(error) => matches!(
                error.downcast_ref(),
                Some(AdminError::NoTopic(_) | AdminError::Unreachable(_))
            ),
        };
        if !may_change || Instant::now() >= until {
            return verdict;
        }
        std::thread::sleep(PAUSE);
    }
}
