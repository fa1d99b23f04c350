//! The monitor of a pipeline: its references, counts and reports, as the configuration names them.
//!
//! What a round of hop 3 does is here once, for `tidegate monitor` and for whoever runs it on and on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use anyhow::Context as _;
use batch::sql::SqlTable;
use infer::Package;
use monitor::count::{Counted, Counter, Settings};
use monitor::dashboard::{self, Dashboard};
use monitor::evaluate::{
    Clock, Reports, Round, Versions, Watched, complete, publish, report_schema,
};
use monitor::profile::Profile;
use monitor::state::{EpisodeView, StateError, Store, table};
use monitor::window::{Lagging, Windows};
use schemas::Contract;

use crate::commands::baseline;
use crate::config::Config;
use crate::exit;
use crate::pipeline::{Pipeline, RESULTS};

/// Name of the profile in a model's package.
const PACKAGED: &str = "reference.parquet";

/// A profile of the configuration: where it lies and whose it is.
struct Named {
    path: PathBuf,
    versions: Versions,
}

/// The references that the configuration names; none when there is no profile at all.
fn named(pipeline: &Pipeline) -> Vec<Named> {
    let config = &pipeline.config.monitor;
    let own = config.references.iter();
    let mut named: Vec<Named> = own
        .map(|(version, path)| Named {
            path: path.clone(),
            versions: Versions::Only(version.clone()),
        })
        .collect();
    let others = Versions::AllBut(config.references.keys().cloned().collect());
    let packaged = pipeline.package.folder().join(PACKAGED);
    if !config.reference.as_os_str().is_empty() {
        named.push(Named { path: config.reference.clone(), versions: others });
    } else if packaged.is_file() {
        named.push(Named { path: packaged, versions: others });
    }
    named
}

/// What a model's input is compared with, where there is something: the configuration's word on the
/// configured model, else what lies in the package.
pub(crate) fn reference_of(config: &Config, package: &Package) -> Option<PathBuf> {
    let of = &config.monitor;
    let own = package.name() == config.model.name;
    let configured = || Some(&of.reference).filter(|path| !path.as_os_str().is_empty());
    let said = own.then(|| of.references.get(package.version()).or_else(configured)).flatten();
    let packaged = || Some(package.folder().join(PACKAGED)).filter(|path| path.is_file());
    said.cloned().or_else(packaged)
}

/// Where the reference of a model version lies.
pub(crate) fn reference_path(pipeline: &Pipeline, version: &str) -> Option<PathBuf> {
    let mut named = named(pipeline).into_iter();
    named.find(|named| named.versions.contains(version)).map(|named| named.path)
}

/// Whether there is anything to compare with.
pub(crate) fn has_reference(pipeline: &Pipeline) -> bool {
    !named(pipeline).is_empty()
}

/// What is watched, ready to count; empty when the configuration names no reference.
pub(crate) fn watched(pipeline: &Pipeline) -> anyhow::Result<Vec<Watched>> {
    let named = named(pipeline).into_iter();
    named
        .map(|named| {
            let settings = settings(pipeline, &named)?;
            let Config { archive, output, .. } = &pipeline.config;
            let counter = Counter::open(
                settings,
                &archive.directory,
                RESULTS,
                &output.topic,
                &pipeline.config.instance(),
            )?;
            Ok(Watched { counter, versions: named.versions })
        })
        .collect()
}

fn settings(pipeline: &Pipeline, named: &Named) -> anyhow::Result<Settings> {
    let path = named.path.display();
    let profile: Option<Profile> = baseline::find(&named.path)?;
    let profile = profile.ok_or_else(|| {
        exit::usage(format!("{path} is no profile; `tidegate baseline fit` writes one"))
    })?;
    let config = &pipeline.config.monitor;
    let settings = Settings::new(
        Arc::new(profile),
        Some(&pipeline.contract),
        config.pane_seconds,
        &config.segments,
        &config.columns,
    );
    settings
        .map_err(|error| exit::usage(error.to_string()))
        .with_context(|| format!("profile {path}"))
}

/// When windows are complete.
pub(crate) fn clock(config: &Config) -> anyhow::Result<Clock> {
    let of = &config.monitor;
    Ok(Clock {
        windows: Windows::new(of.window_seconds, of.slide_seconds, of.pane_seconds)?,
        previous_seconds: of.previous_seconds,
        lateness_seconds: of.lateness_seconds,
        idle_seconds: of.idle_seconds,
    })
}

/// Where the reports lie.
pub(crate) fn reports(config: &Config) -> anyhow::Result<Reports> {
    let (root, topic) = (&config.archive.directory, &config.output.topic);
    Ok(Reports::open(root, topic, clock(config)?, &config.instance())?)
}

/// Threads for counting and judging.
pub(crate) fn threads(config: &Config) -> usize {
    match config.monitor.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    }
}

/// Counts what is not counted, on `threads` threads; answers the new count files. Whoever else counts
/// at the same time shares the work: a file that they published is theirs.
pub(crate) fn count(
    counter: &mut Counter,
    threads: usize,
    done: &(dyn Fn(&Counted) + Sync),
) -> anyhow::Result<Vec<Counted>> {
    counter.sweep(SystemTime::now())?;
    let mut new = Vec::new();
    loop {
        let jobs = counter.refresh()?;
        if jobs.is_empty() {
            return Ok(new);
        }
        let (next, made) = (Mutex::new(jobs.iter()), Mutex::new(Vec::new()));
        let work = || -> anyhow::Result<()> {
            loop {
                let job = next.lock().expect("nobody panics with it").next();
                let Some(job) = job else { return Ok(()) };
                let counted = counter
                    .count(job)
                    .with_context(|| format!("counting {}", job.path.display()))?;
                if let Some(counted) = counted {
                    done(&counted);
                    made.lock().expect("nobody panics with it").push(counted);
                }
            }
        };
        let ended: anyhow::Result<Vec<()>> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mine = work();
            let others = others.into_iter().map(|other| other.join().expect("no panic"));
            std::iter::once(mine).chain(others).collect()
        });
        let made = made.into_inner().expect("nobody panics with it");
        made.iter().for_each(|counted| counter.add(counted.clone()));
        new.extend(made);
        ended?;
    }
}

/// Judges every window that is complete. What was judged is told before it is published: whoever is
/// killed in between is told again. `lagging` was found out before everything archived was counted. `tell`
/// answers whether to go on.
pub(crate) fn judge(
    config: &Config,
    watched: &[Watched],
    reports: &mut Reports,
    lagging: &Lagging,
    mut tell: impl FnMut(&Round) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let (clock, rules, threads) = (clock(config)?, config.monitor.rules(), threads(config));
    loop {
        let now = jiff::Timestamp::now().as_microsecond();
        let round = complete(watched, reports, clock, rules, now, lagging, threads)?;
        let goes_on = tell(&round)?;
        publish(reports, clock, &round)?;
        if !round.more || !goes_on {
            return Ok(());
        }
    }
}

/// What is shown of the monitor; nothing is read yet.
pub(crate) fn dashboard(pipeline: &Pipeline) -> anyhow::Result<Dashboard> {
    let config = &pipeline.config;
    Ok(Dashboard::new(dashboard::Settings {
        pipeline: config.pipeline.name.clone(),
        reports: reports(config)?,
        watched: watched(pipeline)?,
        windows: clock(config)?.windows,
        rules: config.monitor.rules(),
        alerts: config.alerts.state.clone(),
        performance: crate::labels::performance_files(pipeline)?,
    }))
}

/// An instant of the reports, for people.
pub(crate) fn instant(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros)
        .map_or_else(|_| micros.to_string(), |instant| instant.to_string())
}

/// The time that windows are made of, in SQL over the results: of the event, else of its record.
pub(crate) fn window_time(contract: &Contract) -> &'static str {
    match contract.event_time() {
        Some(_) => "event_time",
        None => "COALESCE(input_timestamp, \"timestamp\")",
    }
}

/// The monitor's tables under their SQL names, those of counts and reports where there is a reference. One that cannot be
/// read is said on standard error: the other tables can be asked all the same.
pub(crate) fn sql_tables(pipeline: &Pipeline) -> Vec<SqlTable> {
    let config = &pipeline.config;
    let mut tables = Vec::new();
    match episodes(&config.alerts.state) {
        Ok(episodes) => tables.push(SqlTable::rows("alerts", table::rows(&episodes))),
        Err(error) => eprintln!("tidegate: there is no table alerts: {error}"),
    }
    match counted(pipeline) {
        Ok(counted) => tables.extend(counted),
        Err(error) => eprintln!("tidegate: there are no tables counts and reports: {error:#}"),
    }
    tables
}

/// Counts and reports; none where there is no reference.
fn counted(pipeline: &Pipeline) -> anyhow::Result<Vec<SqlTable>> {
    let watched = watched(pipeline)?;
    let Some(one) = watched.last() else { return Ok(Vec::new()) };
    let table = |name: &str, folder: &Path, schema| {
        SqlTable::folder(name, folder.to_path_buf(), Some(schema))
    };
    let reports = reports(&pipeline.config)?;
    Ok(vec![
        table("counts", one.counter.folder(), monitor::count::schema()),
        table("reports", reports.folder(), report_schema()),
    ])
}

/// Episodes of the state file; none before there is one.
fn episodes(state: &Path) -> Result<Vec<EpisodeView>, StateError> {
    if state.exists() { Store::beside(state)?.episodes(true) } else { Ok(Vec::new()) }
}
