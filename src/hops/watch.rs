//! Hop 3: counts what is archived, judges complete windows, and hands them to the alerts, which reach
//! people on threads of their own.
//!
//! A window is handed to the alerts *before* its report is published: killed in between, it is judged
//! again, and a window taken twice changes nothing. Of several processes one holds the alerts' state;
//! the others wait to take over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ingest::Stop;
use monitor::alerts::{Alerts, AlertsError, Settings};
use monitor::dashboard::DriftGauges;
use monitor::deliver::GuardSettings;
use monitor::evaluate::{Reports, Watched, again};
use monitor::outcomes::Outcome;
use monitor::policy::Rule;
use monitor::state::{Holder, StateError};
use monitor::window::CountedRows;
use prometheus::Registry;
use schemas::failpoint;

use super::Waiting;
use super::facts::{Newest, facts};
use super::findings::{by_window, judged};
use super::late::Late;
use super::pulse::{Pulse, Seen};
use super::stretch::{Measured, Stretch};
use super::together::together;
use crate::alerting;
use crate::config::{self, Config};
use crate::health::{Health, Part};
use crate::labels;
use crate::monitoring::{self, count, judge, reports, threads, watched};
use crate::pipeline::{self, LABELS, Pipeline, RESULTS};
use crate::supervise::{Trouble, keep_running};

/// From one look at the archive to the next.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long another process may hold the state before it is asked for again.
const STANDBY: Duration = Duration::from_secs(10);
/// How long windows are joined with labels before drift is looked at again: a month of labels that are switched
/// on late takes half an hour.
const MEASURE_LIMIT: Duration = Duration::from_secs(5);
/// Pause after performance could not be measured: a join that failed costs as much again.
const MEASURE_AGAIN: Duration = Duration::from_secs(300);
/// So far back windows are taken in where the alerts' state was lost: episodes that are older and open get
/// another id.
const RESTORED_SECONDS: i64 = 30 * 86_400;
/// From one look at what is due to the next.
const NAP: Duration = Duration::from_millis(100);

/// Watches until `stop`. Only for pipelines with a reference.
pub(crate) fn watch(
    pipeline: &Pipeline,
    health: &Health,
    registry: &Registry,
    stop: &Stop,
) -> anyhow::Result<()> {
    let part = health.part("monitor");
    let rules = pipeline.config.alert_rules();
    let gauges = DriftGauges::default();
    let (mut said, seen) = (false, Seen::default());
    let mut pulse = Pulse::new(pipeline, health, registry);
    let mut late = Late::new(monitoring::clock(&pipeline.config)?.windows);
    keep_running(&health.hop("monitor"), stop, || {
        let Some(alerts) = open(pipeline, &rules, &part, (stop, &seen), &mut said)? else {
            return Ok(());
        };
        part.set(true);
        let over = Stop::new();
        let run = || {
            let goes_on = || !stop.is_raised() && !over.is_raised();
            seen.begin(Instant::now());
            let parts = (&gauges, &seen, &health.waiting, &mut late);
            let ended = rounds(pipeline, &rules, &alerts, parts, &goes_on);
            seen.stop();
            ended
        };
        let ended = together(&alerts, &over, run, || pulse.beat(&seen, &rules, &alerts, &over));
        part.set(false);
        gauges.end();
        ended.map_err(Trouble::Again)
    })
}

/// The alerts' state, as soon as no other process holds it; `None` when asked to stop before.
fn open(
    pipeline: &Pipeline,
    rules: &[Rule],
    part: &Part,
    (stop, seen): (&Stop, &Seen),
    said: &mut bool,
) -> Result<Option<Alerts>, Trouble> {
    loop {
        let settings = settings(pipeline, rules).map_err(Trouble::Final)?;
        match Alerts::open(settings) {
            Ok(alerts) => {
                if std::mem::take(said) {
                    tracing::info!("taking over: the alerts' state is free");
                }
                return Ok(Some(alerts));
            }
            Err(AlertsError::State(held @ StateError::Held { .. })) => {
                // Standing by is what it is to do, too: whoever waits for this process must not wait for the other.
                part.set(true);
                seen.forget();
                if !std::mem::replace(said, true) {
                    tracing::info!(reason = %held, "standing by: another process watches");
                }
            }
            Err(error) => return Err(Trouble::Again(error.into())),
        }
        if stop.sleep(STANDBY) {
            return Ok(None);
        }
    }
}

fn settings(pipeline: &Pipeline, rules: &[Rule]) -> anyhow::Result<Settings> {
    let config = &pipeline.config;
    let alerts = &config.alerts;
    if let Some(folder) = alerts.state.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("alerts.state: making {}", folder.display()))?;
    }
    Ok(Settings {
        pipeline: config.pipeline.name.clone(),
        state: alerts.state.clone(),
        holder: Holder {
            instance: config.instance(),
            host: config::host().unwrap_or_default(),
            pid: std::process::id(),
        },
        rules: rules.to_vec(),
        routes: alerting::routes(config),
        rendering: alerting::rendering(config),
        guards: GuardSettings {
            cool_down_ms: i64::from(alerts.retraining.cool_down_hours) * 3_600_000,
            min_rows: alerts.retraining.min_rows,
        },
        http: alerts.http_settings().context("alerts.http.ca_file")?,
        publish: Some(alerting::publish(pipeline::connection(config))),
        offsets: Some(alerting::offsets(pipeline)?),
        clock: Arc::new(|| jiff::Timestamp::now().as_millisecond()),
    })
}

fn rounds(
    pipeline: &Pipeline,
    rules: &[Rule],
    alerts: &Alerts,
    (gauges, seen, waiting, late): (&DriftGauges, &Seen, &Waiting, &mut Late),
    goes_on: &dyn Fn() -> bool,
) -> anyhow::Result<()> {
    let mut looked: Option<Instant> = None;
    // Opened once: they know which footers they have read.
    let (mut watched, mut reports) = (watched(pipeline)?, reports(&pipeline.config)?);
    gauges.follow(monitoring::reports(&pipeline.config)?);
    let mut outcomes = labels::outcomes(pipeline)?;
    let mut newest = labels::newest(pipeline);
    let mut measure_from = Instant::now();
    restore(&pipeline.config, rules, alerts, (&mut watched, &reports), goes_on)?;
    while goes_on() {
        if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            seen.begin(Instant::now());
            let known = (&newest, waiting);
            let judging = (&mut *watched, &mut reports, &mut *late);
            round(pipeline, rules, alerts, judging, known, goes_on)?;
            // Every reference counts all rows.
            gauges.look(watched.first().map(|one| CountedRows::of(one.counter.counted())))?;
            if let Some(outcomes) = outcomes.as_mut().filter(|_| Instant::now() >= measure_from) {
                let (mut measured, begun) = (Measured::default(), Instant::now());
                let looked = labels::look(outcomes, &reports, &waiting.of(LABELS), |outcome| {
                    tell_performance(pipeline, rules, alerts, outcome)?;
                    measured.add(outcome);
                    Ok(goes_on() && begun.elapsed() < MEASURE_LIMIT)
                });
                if measured.tell() {
                    newest = labels::newest(pipeline);
                }
                // A join that memory does not hold must not keep drift from being watched.
                if let Err(error) = looked {
                    let error = format!("{error:#}");
                    tracing::error!(error, "performance was not measured; it is tried again");
                    measure_from = Instant::now() + MEASURE_AGAIN;
                }
            }
            looked = Some(Instant::now());
            seen.end(&watched);
        }
        std::thread::sleep(NAP);
    }
    Ok(())
}

/// Makes a state that was lost again from the windows that have a report.
fn restore(
    config: &Config,
    rules: &[Rule],
    alerts: &Alerts,
    (watched, reports): (&mut [Watched], &Reports),
    goes_on: &dyn Fn() -> bool,
) -> anyhow::Result<()> {
    let Some(mut past) = alerts.past()?.filter(|_| reports.position().is_some()) else {
        return Ok(());
    };
    for one in &mut *watched {
        count(&mut one.counter, threads(config), &|_| {})?;
    }
    let (mut windows, thresholds) = (0, config.monitor.rules());
    let how = (monitoring::clock(config)?, thresholds, threads(config));
    let all = again(watched, reports, how, RESTORED_SECONDS, |rows| {
        for rows in by_window(rows).values() {
            past.take(&judged(rows, rules, thresholds.min_rows));
            windows += 1;
        }
        goes_on()
    })?;
    if !all {
        return Ok(());
    }
    let open = alerts.restore(past)?.len();
    tracing::info!(windows, open, "the alerts' state is new: past windows were taken in");
    Ok(())
}

/// Counts what is new and judges every window that is complete.
fn round(
    pipeline: &Pipeline,
    rules: &[Rule],
    alerts: &Alerts,
    (watched, reports, late): (&mut [Watched], &mut Reports, &mut Late),
    (newest, waiting): (&Newest, &Waiting),
    goes_on: &dyn Fn() -> bool,
) -> anyhow::Result<()> {
    // Before the count: what it does not know of was published since, and is counted.
    let lagging = waiting.of(RESULTS);
    for one in &mut *watched {
        count(&mut one.counter, threads(&pipeline.config), &|_| {})?;
    }
    if let Some(one) = watched.first() {
        late.tell(one, reports)?;
    }
    let (mut empty, min_rows) = (Stretch::default(), pipeline.config.monitor.min_rows);
    let ended = judge(&pipeline.config, watched, reports, &lagging, |round| {
        for (window, rows) in by_window(&round.rows) {
            let judged = judged(&rows, rules, min_rows);
            let changes = alerts.judge(&judged, &facts(pipeline, &rows, newest))?.len();
            failpoint::pass("monitor.told");
            let findings = judged.findings.len();
            if rows.iter().all(|row| row.n == 0) {
                Stretch::tell(empty.add(window, findings, changes));
            } else {
                Stretch::tell(empty.end());
                tracing::info!(window, findings, changes, "a window is judged");
            }
        }
        Ok(goes_on())
    });
    Stretch::tell(empty.end());
    ended
}

/// Hands windows of performance to the alerts, before they are published.
fn tell_performance(
    pipeline: &Pipeline,
    rules: &[Rule],
    alerts: &Alerts,
    outcome: &Outcome,
) -> anyhow::Result<()> {
    let baseline = labels::baseline(pipeline);
    for window in labels::judged(pipeline, outcome, rules, &baseline) {
        // What a request to train says is of the window that drifted.
        alerts.judge(&window, &[])?;
    }
    Ok(())
}
