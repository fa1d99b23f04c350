//! `tidegate alerts …` as it is said.

use clap::{Args, Subcommand, ValueEnum};

use super::ConfigArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// Open alerts, silences that last, and what could not be delivered
    List(AlertsListArgs),
    /// One alert: its columns, its history, what became of its deliveries
    Show(AlertsShowArgs),
    /// Tell nobody about matching alerts for a while; what still fires then is told
    Silence(AlertsSilenceArgs),
    /// End a silence now
    Unsilence(AlertsUnsilenceArgs),
    /// Say that somebody has taken an alert on
    Ack(AlertsAckArgs),
    /// Send a test message on one route, or on all
    TestRoute(AlertsTestRouteArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AlertsListArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Those that are over, too
    #[arg(long)]
    pub(crate) all: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AlertsShowArgs {
    /// Its id, or the beginning of it
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AlertsSilenceArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// For so long: 30m, 2h, 1d
    #[arg(long = "for", value_name = "TIME", value_parser = time_ms)]
    pub(crate) for_ms: i64,
    /// Models, with *
    #[arg(long, value_name = "PATTERN", default_value = "", hide_default_value = true)]
    pub(crate) model: String,
    /// Only this class
    #[arg(long, value_enum)]
    pub(crate) class: Option<AlertsClass>,
    /// Rules, with *
    #[arg(long, value_name = "PATTERN", default_value = "", hide_default_value = true)]
    pub(crate) rule: String,
    /// Columns or hops, with *
    #[arg(long, value_name = "PATTERN", default_value = "", hide_default_value = true)]
    pub(crate) column: String,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Who
    #[arg(long, env = "USER", default_value = "", hide_default_value = true)]
    pub(crate) by: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AlertsClass {
    /// Distributions moved
    Drift,
    /// The data are broken
    Quality,
    /// The model answers worse
    Performance,
    /// The pipeline itself
    Service,
}

#[derive(Debug, Args)]
pub(crate) struct AlertsUnsilenceArgs {
    /// The silence's number, as `list` shows it
    pub(crate) number: i64,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AlertsAckArgs {
    /// The alert's id, or the beginning of it
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Who
    #[arg(long, env = "USER", default_value = "", hide_default_value = true)]
    pub(crate) by: String,
}

#[derive(Debug, Args)]
pub(crate) struct AlertsTestRouteArgs {
    /// The route's name; all of them when left out
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl AlertsClass {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Quality => "quality",
            Self::Performance => "performance",
            Self::Service => "service",
        }
    }
}

/// Longest silence: what is to be quiet for longer is a rule to be switched off.
const MAX_SILENCE_MS: i64 = 90 * 24 * 3_600_000;

fn time_ms(text: &str) -> Result<i64, String> {
    let ms = span_ms(text).filter(|ms| (1..=MAX_SILENCE_MS).contains(ms));
    ms.ok_or_else(|| format!("{text:?} is no time: write 45s, 30m, 2h or 1d, at most 90d"))
}

/// A number and its unit, in milliseconds.
pub(super) fn span_ms(text: &str) -> Option<i64> {
    let unit_ms = match text.chars().last()? {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 24 * 3_600_000,
        _ => return None,
    };
    text[..text.len() - 1].parse::<i64>().ok()?.checked_mul(unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, expected) in [
            ("45s", Some(45_000)),
            ("30m", Some(1_800_000)),
            ("90d", Some(MAX_SILENCE_MS)),
            ("91d", None),
            ("0h", None),
            ("-1h", None),
            ("h", None),
            ("5", None),
            ("5é", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(time_ms(text).ok(), expected, "{text}");
        }
    }
}
