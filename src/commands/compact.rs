//! `tidegate compact`: the results once more by day and in order, beside the archive; and what is old
//! goes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use batch::StoreError;
use batch::compact::{Amount, CompactConfig, Compacted, Compaction, Expired, Expiry};
use monitor::evaluate::Watched;
use schemas::FooterPosition;
use serde::Serialize;

use super::verify::archives;
use crate::cli::CompactArgs;
use crate::exit::{self, Exit};
use crate::pipeline::{DEAD_LETTERS, Pipeline, RESULTS};
use crate::progress::Progress;
use crate::{labels, monitoring};

/// What was done, for people and scripts.
#[derive(Serialize)]
struct Summary<'a> {
    topic: &'a str,
    dry_run: bool,
    /// Not compacted when it began.
    pending: Amount,
    #[serde(flatten)]
    done: Compacted,
    /// Rows of the results that were too old.
    expired: Expired,
    /// Rows of other tables that were too old.
    others: BTreeMap<&'static str, Expired>,
    /// Files of results/ whose rows lie in the compacted table.
    originals: Expired,
    /// The compacted table, now.
    compacted: Amount,
    seconds: f64,
    folder: &'a Path,
}

/// What may go, as far as the command line does not say it.
struct Limits {
    watched: Vec<Watched>,
    keep_events_from_us: Option<i64>,
    now_us: i64,
    dry_run: bool,
}

pub(crate) fn run(args: &CompactArgs) -> anyhow::Result<Exit> {
    let pipeline = Pipeline::open(super::resolve(&args.config)?)?;
    let limits = Limits::of(&pipeline, args)?;
    let topic = &pipeline.config.output.topic;
    let started = Instant::now();
    let open = |table: &str, topic: &str| {
        let config = CompactConfig {
            root: pipeline.config.archive.directory.clone(),
            table: table.to_owned(),
            topic: topic.to_owned(),
            file_bytes: args.file_bytes,
            memory_bytes: usize::try_from(args.memory << 20).unwrap_or(usize::MAX),
        };
        Compaction::open(config).map_err(usage)
    };
    let mut others = BTreeMap::new();
    for archived in archives(&pipeline.config).iter().filter(|archived| archived.table != RESULTS) {
        if args.expire.is_some() {
            let mut table = open(archived.table, &archived.topic)?;
            others.insert(
                archived.table,
                limits.expire(archived.table, &mut table, args.expire, None)?,
            );
        }
    }
    let mut compaction = open(RESULTS, topic)?;
    // What is too old need not be compacted before it goes.
    let expired = limits.expire(RESULTS, &mut compaction, args.expire, None)?;
    let pending = compaction.pending()?;
    let done = if args.dry_run { Compacted::default() } else { compact(&mut compaction, pending)? };
    let originals = limits.expire(RESULTS, &mut compaction, None, args.expire_originals)?;
    let summary = Summary {
        topic,
        dry_run: args.dry_run,
        pending,
        done,
        expired,
        others,
        originals,
        compacted: compaction.compacted(),
        seconds: started.elapsed().as_secs_f64(),
        folder: compaction.folder(),
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&summary)?)?;
    } else {
        write!(out, "{}", said(&summary))?;
    }
    Ok(Exit::Fine)
}

fn compact(compaction: &mut Compaction, pending: Amount) -> anyhow::Result<Compacted> {
    let mut progress = Progress::start("rows", Some(pending.rows));
    let done = compaction.run(&mut |rows| progress.add(rows));
    progress.finish();
    Ok(done?)
}

impl Limits {
    fn of(pipeline: &Pipeline, args: &CompactArgs) -> anyhow::Result<Self> {
        let mut limits = Self {
            watched: Vec::new(),
            keep_events_from_us: None,
            now_us: jiff::Timestamp::now().as_microsecond(),
            dry_run: args.dry_run,
        };
        // Without a reference nothing is counted, and no window waits for labels.
        if args.expire.or(args.expire_originals).is_some() && monitoring::has_reference(pipeline) {
            limits.watched = monitoring::watched(pipeline)?;
            let outcomes = labels::outcomes(pipeline)?;
            limits.keep_events_from_us =
                outcomes.map(|outcomes| outcomes.joined_until().unwrap_or(i64::MIN));
        }
        Ok(limits)
    }

    fn expire(
        &self,
        table: &str,
        compaction: &mut Compaction,
        age: Option<Duration>,
        originals: Option<Duration>,
    ) -> anyhow::Result<Expired> {
        if age.or(originals).is_none() {
            return Ok(Expired::default());
        }
        let before = |age: Duration| {
            self.now_us.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX))
        };
        let counted = |source: &FooterPosition| -> Result<bool, StoreError> {
            let mut watched = self.watched.iter().filter(|_| table == RESULTS);
            watched.try_fold(true, |all, watched| Ok(all && watched.counter.is_counted(source)?))
        };
        Ok(compaction.expire(&Expiry {
            older_than_us: age.map(before),
            originals_older_than_us: originals.map(before),
            keep_events_from_us: self.keep_events_from_us.filter(|_| table != DEAD_LETTERS),
            may_go: &counted,
            dry_run: self.dry_run,
        })?)
    }
}

fn said(summary: &Summary<'_>) -> String {
    let Summary { pending, done, expired, others, originals, compacted, folder, .. } = summary;
    let would = if summary.dry_run { "would be " } else { "" };
    let mut text = String::new();
    let mut line = |said: String| writeln!(text, "{said}").expect("a string grows");
    match (summary.dry_run, pending.files) {
        (_, 0) => line("nothing is new".to_owned()),
        (true, _) => line(format!("{} would be compacted", amount(pending))),
        (false, _) => line(format!(
            "{} compacted to {} in {:.1} s",
            amount(&done.read),
            amount(&done.written),
            summary.seconds
        )),
    }
    for (gone, what) in [
        (&expired.archive, "removed from results, too old"),
        (&expired.compacted, "removed from the compacted table, too old"),
        (&originals.archive, "removed from results, compacted"),
    ] {
        if gone.files > 0 {
            line(format!("{} {would}{what}", amount(gone)));
        }
    }
    for (table, gone) in others.iter().filter(|(_, gone)| gone.archive.files > 0) {
        line(format!("{} {would}removed from {table}, too old", amount(&gone.archive)));
    }
    let unlabelled = others.values().map(|other| other.kept.unlabelled).sum::<u64>();
    for (kept, why) in [
        (expired.kept.uncounted + originals.kept.uncounted, "hop 3 has not counted them"),
        (expired.kept.unlabelled + unlabelled, "results wait for labels"),
    ] {
        if kept > 0 {
            line(format!("{kept} files, and those behind them, stay: {why}"));
        }
    }
    line(format!("{}: {}", folder.display(), amount(compacted)));
    text
}

fn amount(of: &Amount) -> String {
    let mib = of.bytes as f64 / f64::from(1 << 20);
    format!("{} files with {} rows ({mib:.1} MiB)", of.files, of.rows)
}

/// A name or a folder that cannot be used is the caller's to mend.
fn usage(error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Config { .. } | StoreError::Place { .. } => exit::usage(error.to_string()),
        other => other.into(),
    }
}
