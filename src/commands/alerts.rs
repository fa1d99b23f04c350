//! `tidegate alerts`: the state file beside the running monitor, for people and scripts.
//!
//! Writes silences and acknowledgements only; delivers nothing but test messages.

use std::io::Write as _;

use monitor::alerts::test_route;
use monitor::deliver::Outcome;
use monitor::state::{DeliveryView, EpisodeView, HistoryLine, Silence, Store};
use serde::Serialize;
use serde_json::json;

use crate::alerting;
use crate::cli::{
    AlertsAckArgs, AlertsCommand, AlertsListArgs, AlertsShowArgs, AlertsSilenceArgs,
    AlertsTestRouteArgs, AlertsUnsilenceArgs,
};
use crate::config::Config;
use crate::exit::{self, Exit};
use crate::pipeline;

pub(crate) fn run(command: &AlertsCommand) -> anyhow::Result<Exit> {
    match command {
        AlertsCommand::List(args) => list(args),
        AlertsCommand::Show(args) => show(args),
        AlertsCommand::Silence(args) => silence(args),
        AlertsCommand::Unsilence(args) => unsilence(args),
        AlertsCommand::Ack(args) => ack(args),
        AlertsCommand::TestRoute(args) => try_routes(args),
    }
}

/// What `list` says.
#[derive(Serialize)]
struct Listed {
    alerts: Vec<EpisodeView>,
    silences: Vec<Silence>,
    undelivered: Vec<DeliveryView>,
}

/// What `show` says.
#[derive(Serialize)]
struct Shown {
    alert: EpisodeView,
    history: Vec<HistoryLine>,
    deliveries: Vec<DeliveryView>,
}

fn list(args: &AlertsListArgs) -> anyhow::Result<Exit> {
    let store = Store::beside(&super::resolve(&args.config)?.alerts.state)?;
    let listed = Listed {
        alerts: store.episodes(args.all)?,
        silences: store.silences(now_ms())?,
        undelivered: store.dead()?,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&listed)?)?;
        return Ok(Exit::Fine);
    }
    if listed.alerts.is_empty() {
        writeln!(out, "no alert{}", if args.all { "" } else { " is open" })?;
    }
    for alert in &listed.alerts {
        let state = if alert.silenced { "silenced" } else { &alert.state };
        let by =
            alert.acknowledged_by.as_ref().map_or(String::new(), |by| format!("  ({by} is on it)"));
        writeln!(
            out,
            "{}  {state:<8}  {:<8}  {}  {}{by}",
            &alert.episode.id[..8],
            alert.episode.severity.name(),
            time(alert.fired_at_ms),
            alert.episode.summary(),
        )?;
    }
    for silence in &listed.silences {
        let Silence { id, model, class, rule, subject, reason, created_by, .. } = silence;
        let of: Vec<String> =
            [("model", model), ("class", class), ("rule", rule), ("column", subject)]
                .into_iter()
                .filter(|(_, pattern)| !pattern.is_empty())
                .map(|(what, pattern)| format!("{what} {pattern}"))
                .collect();
        let of = if of.is_empty() { "everything".into() } else { of.join(", ") };
        let until = time(silence.until_ms);
        writeln!(out, "silence {id} until {until}: {of} ({created_by}: {reason})")?;
    }
    for dead in &listed.undelivered {
        let DeliveryView { kind, route, error, episode, .. } = dead;
        writeln!(out, "undelivered {kind} of {episode} to {route}: {error}")?;
    }
    Ok(Exit::Fine)
}

fn show(args: &AlertsShowArgs) -> anyhow::Result<Exit> {
    let store = Store::beside(&super::resolve(&args.config)?.alerts.state)?;
    let id = store.find(&args.id)?;
    let shown = Shown {
        alert: store.episode(&id)?,
        history: store.history(&id)?,
        deliveries: store.deliveries(&id)?,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&shown)?)?;
        return Ok(Exit::Fine);
    }
    let episode = &shown.alert.episode;
    writeln!(out, "{}", episode.summary())?;
    let state = &shown.alert.state;
    writeln!(out, "{}  {state}  {}  {}", episode.id, episode.severity.name(), episode.versions())?;
    writeln!(out, "window {} to {}", time(episode.window_start_ms), time(episode.window_end_ms))?;
    if let Some(retraining) = &shown.alert.retraining {
        writeln!(out, "retraining {retraining}")?;
    }
    writeln!(out, "\ncolumns ({})", episode.subjects)?;
    for concern in &episode.concerns {
        let q = concern.q.map_or(String::new(), |q| format!("  q {q:.2e}"));
        let (line, rows, reason) = (concern.line(), concern.rows, &concern.reason);
        writeln!(out, "  {line}{q}  {rows} rows  {reason}")?;
    }
    writeln!(out, "\nhistory")?;
    for line in &shown.history {
        writeln!(out, "  {}  {}  {}", time(line.at_ms), line.what, line.detail)?;
    }
    writeln!(out, "\ndeliveries")?;
    for one in &shown.deliveries {
        let DeliveryView { kind, route, state, attempts, error, .. } = one;
        let tries = if *attempts == 1 { "try" } else { "tries" };
        let at = time(one.finished_ms.unwrap_or(one.due_ms));
        writeln!(out, "  {at}  {kind} to {route}: {state} after {attempts} {tries}  {error}")?;
    }
    Ok(Exit::Fine)
}

fn silence(args: &AlertsSilenceArgs) -> anyhow::Result<Exit> {
    let mut store = Store::beside(&super::resolve(&args.config)?.alerts.state)?;
    let now_ms = now_ms();
    let mut silence = Silence {
        id: 0,
        model: args.model.clone(),
        class: args.class.map_or(String::new(), |class| class.name().to_owned()),
        rule: args.rule.clone(),
        subject: args.column.clone(),
        until_ms: now_ms + args.for_ms,
        created_ms: now_ms,
        created_by: args.by.clone(),
        reason: args.reason.clone(),
    };
    silence.id = store.silence(&silence)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&silence)?)?;
    } else {
        writeln!(out, "silence {} until {}", silence.id, time(silence.until_ms))?;
    }
    Ok(Exit::Fine)
}

fn unsilence(args: &AlertsUnsilenceArgs) -> anyhow::Result<Exit> {
    let mut store = Store::beside(&super::resolve(&args.config)?.alerts.state)?;
    store.unsilence(args.number, now_ms())?;
    writeln!(std::io::stdout(), "silence {} has ended", args.number)?;
    Ok(Exit::Fine)
}

fn ack(args: &AlertsAckArgs) -> anyhow::Result<Exit> {
    let config = super::resolve(&args.config)?;
    let mut store = Store::beside(&config.alerts.state)?;
    let by = if args.by.is_empty() { "somebody" } else { &args.by };
    let episode = store.acknowledge(&args.id, by, &config.pipeline.name, now_ms())?;
    writeln!(std::io::stdout(), "{} is on {}", by, episode.summary())?;
    Ok(Exit::Fine)
}

fn try_routes(args: &AlertsTestRouteArgs) -> anyhow::Result<Exit> {
    let config = super::resolve(&args.config)?;
    let routes = alerting::routes(&config);
    let named: Vec<_> = routes
        .iter()
        .filter(|route| args.name.as_ref().is_none_or(|name| *name == route.name))
        .collect();
    if named.is_empty() {
        let have: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
        let message = match (&args.name, have.is_empty()) {
            (_, true) => "the configuration has no [[routes]]".to_owned(),
            (name, false) => {
                format!(
                    "no route {:?}; there are {}",
                    name.as_deref().unwrap_or(""),
                    have.join(", ")
                )
            }
        };
        return Err(exit::usage(message));
    }
    let (http, rendering) = (alerting::http(&config)?, alerting::rendering(&config));
    let publish = alerting::publish(pipeline::connection(&config));
    let mut out = std::io::stdout().lock();
    let (mut all_fine, mut results) = (true, Vec::new());
    for route in named {
        let name = &config.pipeline.name;
        let outcome = test_route(route, name, &http, &publish, &rendering, now_ms());
        let error = match outcome {
            Outcome::Delivered => None,
            Outcome::Refused { error }
            | Outcome::Gone { error }
            | Outcome::Failed { error, .. } => Some(error),
        };
        all_fine &= error.is_none();
        if error.is_none() {
            enable_again(&config, &route.name);
        }
        if args.json {
            results
                .push(json!({ "route": route.name, "delivered": error.is_none(), "error": error }));
        } else {
            let said = error.map_or_else(|| "delivered".into(), |error| format!("failed: {error}"));
            writeln!(out, "{}: {said}", route.name)?;
        }
    }
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&results)?)?;
    }
    Ok(if all_fine { Exit::Fine } else { Exit::Failed })
}

/// A route that was disabled because its receiver was gone is used again: it has just answered.
fn enable_again(config: &Config, route: &str) {
    // Without a state nothing is disabled.
    if let Ok(mut store) = Store::beside(&config.alerts.state)
        && store.enable(route).unwrap_or(false)
    {
        eprintln!("{route} had been disabled and is used again");
    }
}

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// To the second, for people.
fn time(ms: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
