//! Hop 3: counts what is archived, judges complete windows, and hands them to the alerts, which reach
//! people on threads of their own.
//!
//! A window is handed to the alerts *before* its report is published: killed in between, it is judged
//! again, and a window taken twice changes nothing. Of several processes one holds the alerts' state;
//! the others wait to take over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ingest::Stop;
use monitor::alerts::{Alerts, AlertsError, Settings, TICK_MS};
use monitor::dashboard::DriftGauges;
use monitor::deliver::{GuardSettings, ModelFacts};
use monitor::evaluate::{ReportRow, Reports, State, Watched};
use monitor::outcomes::Outcome;
use monitor::policy::{Budget, Finding, JudgedWindow, Measure, Rule, Subject, Time};
use monitor::state::{Holder, StateError};
use prometheus::Registry;
use serde_json::{Value, json};

use super::pulse::Pulse;
use super::stretch::{Measured, Stretch};
use crate::alerting;
use crate::config::{self, Config};
use crate::health::{Health, Part};
use crate::labels;
use crate::monitoring::{self, count, instant, judge, reports, threads, watched};
use crate::pipeline::{self, Pipeline};
use crate::supervise::{Trouble, keep_running};

/// From one look at the archive to the next.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long another process may hold the state before it is asked for again.
const STANDBY: Duration = Duration::from_secs(10);
/// Pause after performance could not be measured: a join that failed costs as much again.
const MEASURE_AGAIN: Duration = Duration::from_secs(300);
/// From one look at what is due to the next.
const NAP: Duration = Duration::from_millis(100);
/// Values of a segment column that are judged apart, and the rest.
const SEGMENT_VALUES: usize = 33;

/// How each model did last, as a request to train it again says it.
type Newest = BTreeMap<String, Value>;

/// Watches until `stop`. Only for pipelines with a reference.
pub(crate) fn watch(
    pipeline: &Pipeline,
    health: &Health,
    registry: &Registry,
    stop: &Stop,
) -> anyhow::Result<()> {
    let part = health.part("monitor");
    let rules = alert_rules(&pipeline.config);
    let gauges = DriftGauges::default();
    let mut said = false;
    keep_running(&health.hop("monitor"), stop, || {
        let Some(alerts) = open(pipeline, &rules, &part, stop, &mut said)? else { return Ok(()) };
        part.set(true);
        let ended = std::thread::scope(|scope| {
            let deliveries = scope.spawn(|| alerts.run_deliveries());
            let pulse = Pulse::new(pipeline, health, registry);
            let ended = rounds(pipeline, &rules, &alerts, (&gauges, pulse), stop);
            alerts.end_deliveries();
            let delivered =
                deliveries.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            ended.and(delivered.context("delivering alerts"))
        });
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
    stop: &Stop,
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

/// The rules in force; their significance follows from the budget of false alarms.
fn alert_rules(config: &Config) -> Vec<Rule> {
    let of = &config.monitor;
    let budget = Budget {
        alarms_per_week: config.alerts.false_alarms_per_week,
        step_ms: i64::from(of.slide_seconds) * 1_000,
        overlap: of.slide_seconds < of.window_seconds,
        streams: (1 + of.segments.len() * SEGMENT_VALUES) as u32,
    };
    config.rules.iter().filter_map(|rule| rule.rule(&budget)).collect()
}

fn rounds(
    pipeline: &Pipeline,
    rules: &[Rule],
    alerts: &Alerts,
    (gauges, mut pulse): (&DriftGauges, Pulse<'_>),
    stop: &Stop,
) -> anyhow::Result<()> {
    let tick = Duration::from_millis(TICK_MS.unsigned_abs());
    let (mut ticked, mut looked): (Option<Instant>, Option<Instant>) = (None, None);
    // Opened once: they know which footers they have read.
    let (mut watched, mut reports) = (watched(pipeline)?, reports(&pipeline.config)?);
    gauges.follow(monitoring::reports(&pipeline.config)?);
    let mut outcomes = labels::outcomes(pipeline)?;
    let mut newest = labels::newest(pipeline);
    let mut measure_from = Instant::now();
    let past = |since: Option<Instant>, every| since.is_none_or(|at| at.elapsed() >= every);
    loop {
        if past(ticked, tick) {
            alerts.tick()?;
            ticked = Some(Instant::now());
        }
        if past(looked, LOOK_EVERY) {
            round(pipeline, rules, alerts, (&mut watched, &mut reports), &newest, stop)?;
            gauges.look()?;
            if let Some(outcomes) = outcomes.as_mut().filter(|_| Instant::now() >= measure_from) {
                let mut measured = Measured::default();
                let looked = labels::look(outcomes, &reports, |outcome| {
                    tell_performance(pipeline, rules, alerts, outcome)?;
                    measured.add(outcome);
                    Ok(!stop.is_raised())
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
            pulse.take(&watched, rules, alerts)?;
        }
        if stop.sleep(NAP) {
            return Ok(());
        }
    }
}

/// Counts what is new and judges every window that is complete.
fn round(
    pipeline: &Pipeline,
    rules: &[Rule],
    alerts: &Alerts,
    (watched, reports): (&mut [Watched], &mut Reports),
    newest: &Newest,
    stop: &Stop,
) -> anyhow::Result<()> {
    for one in &mut *watched {
        count(&mut one.counter, threads(&pipeline.config), &|_| {})?;
    }
    let mut empty = Stretch::default();
    let ended = judge(&pipeline.config, watched, reports, |round| {
        for (window, rows) in by_window(&round.rows) {
            let judged = judged(&rows, rules);
            let changes = alerts.judge(&judged, &facts(pipeline, &rows, newest))?.len();
            let findings = judged.findings.len();
            if rows.iter().all(|row| row.n == 0) {
                Stretch::tell(empty.add(window, findings, changes));
            } else {
                Stretch::tell(empty.end());
                tracing::info!(window, findings, changes, "a window is judged");
            }
        }
        Ok(!stop.is_raised())
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
    for (window, facts) in labels::judged(pipeline, outcome, rules, &baseline) {
        alerts.judge(&window, &facts)?;
    }
    Ok(())
}

fn by_window(rows: &[ReportRow]) -> BTreeMap<i64, Vec<&ReportRow>> {
    let mut windows: BTreeMap<i64, Vec<&ReportRow>> = BTreeMap::new();
    rows.iter().for_each(|row| windows.entry(row.window).or_default().push(row));
    windows
}

/// A window's rows as the policy reads them: each rule finds its own number in each row.
fn judged(rows: &[&ReportRow], rules: &[Rule]) -> JudgedWindow {
    let (start_us, end_us) = rows.first().map_or((0, 0), |row| (row.start_us, row.end_us));
    let findings = rows.iter().flat_map(|row| {
        rules.iter().filter_map(|rule| {
            let (value, q) = measured(rule, row)?;
            let model = row.group.model_name.clone().unwrap_or_default();
            let subject = row.column.clone().unwrap_or_else(|| "rows".to_owned());
            rule.applies(&model, &subject).then(|| Finding {
                of: Subject {
                    model,
                    version: row.group.model_version.clone().unwrap_or_default(),
                    arm: row.group.arm.clone().unwrap_or_default(),
                    segment: segment(row),
                    rule: rule.name.clone(),
                    subject,
                },
                value,
                q,
                rows: row.n,
                reason: row.reason.clone(),
            })
        })
    });
    JudgedWindow {
        start_ms: start_us.div_euclid(1_000),
        end_ms: end_us.div_euclid(1_000),
        time: Time::Event,
        findings: findings.collect(),
    }
}

fn segment(row: &ReportRow) -> String {
    match (&row.group.segment, &row.group.segment_value) {
        (Some(name), Some(value)) => format!("{name}={value}"),
        _ => String::new(),
    }
}

/// What `rule` measures in `row`, and its q-value; `None` where it measures nothing.
fn measured(rule: &Rule, row: &ReportRow) -> Option<(f64, Option<f64>)> {
    let of = &row.statistics;
    if row.column.is_none() {
        let known = rule.measure == Measure::Volume && row.reference_n > 0;
        return known.then(|| (row.n as f64 / row.reference_n as f64, None));
    }
    let (same, faults) = (row.reference == rule.reference, row.speaks_for_quality());
    let drift = |value: Option<f64>, q| value.filter(|_| same).map(|value| (value, q));
    let fault = |value: Option<f64>| value.filter(|_| faults).map(|value| (value, None));
    match rule.measure {
        Measure::Psi => drift(of.psi_corrected, of.q),
        Measure::CramersV => drift(of.cramers_v, of.q),
        Measure::JensenShannon => drift(of.jensen_shannon, of.q),
        Measure::Ks => drift(of.ks_d, of.ks_q),
        Measure::Wasserstein => drift(of.wasserstein, of.ks_q),
        Measure::NullShare => {
            fault(row.null_share.zip(row.reference_null_share).map(|(a, b)| a - b))
        }
        Measure::NewCategories => fault(row.new_share),
        Measure::OutOfRange => fault(row.out_of_range_share),
        Measure::SchemaChange => fault(Some(f64::from(u8::from(row.state == State::Missing)))),
        // By the clock on the wall that is `Pulse`'s; of labels nothing is known.
        _ => None,
    }
}

/// What a request to train a window's models again says of them.
fn facts(pipeline: &Pipeline, rows: &[&ReportRow], newest: &Newest) -> Vec<ModelFacts> {
    let mut models: BTreeMap<&str, (u64, BTreeMap<&str, u64>)> = BTreeMap::new();
    // A group's row without a column holds its number of rows; segments are parts of it.
    for row in rows.iter().filter(|row| row.column.is_none() && row.group.segment.is_none()) {
        let (total, versions) = models.entry(named(&row.group.model_name)).or_default();
        *total += row.n;
        *versions.entry(named(&row.group.model_version)).or_default() += row.n;
    }
    let profiles: BTreeMap<&str, &str> =
        rows.iter().map(|row| (named(&row.group.model_version), row.profile.as_str())).collect();
    let (from, to) = rows.first().map_or((0, 0), |row| (row.start_us, row.end_us));
    let sql = format!(
        "SELECT * FROM results WHERE event_time >= '{}' AND event_time < '{}'",
        instant(from),
        instant(to)
    );
    models
        .into_iter()
        .map(|(model, (rows, versions))| ModelFacts {
            model: model.to_owned(),
            rows,
            versions: json!(versions),
            reference: json!(profiles),
            performance: newest.get(model).cloned().unwrap_or(Value::Null),
            data: json!({ "folder": pipeline.config.archive.directory, "sql": sql }),
        })
        .collect()
}

fn named(name: &Option<String>) -> &str {
    name.as_deref().unwrap_or_default()
}
