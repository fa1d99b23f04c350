//! Settings of a connection: what client libraries set when they connect is taken and kept for the
//! connection; everything else, DataFusion's own settings above all, is refused.

use std::str::FromStr as _;
use std::time::Duration;

use arrow::array::timezone::Tz;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{Expr, Set, TransactionAccessMode, TransactionMode, Value};
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::api::auth::DefaultServerParameterProvider;
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::startup::Startup;

use super::errors::{INVALID_VALUE, NO_SETTING, NOT_SUPPORTED, READ_ONLY, error, fatal};

/// Of PostgreSQL, so far as clients choose their questions by it.
const SERVER_VERSION: &str = "16.6";

/// Longest value that is kept.
const VALUE_BYTES: usize = 256;

/// What may be set to what.
#[derive(Clone, Copy)]
enum Kind {
    /// Kept as it is; has an effect on how values are written, or none.
    Text,
    /// UTF-8 under any of its names.
    Encoding,
    /// A number of milliseconds, or with a unit.
    Time,
    /// A time zone's name or offset.
    Zone,
    /// A whole number from the first to the second.
    Whole(i64, i64),
    /// One of these.
    Words(&'static [&'static str]),
}

struct Setting {
    name: &'static str,
    /// As clients are told of it, when they are told of its changes at all.
    told_as: Option<&'static str>,
    default: &'static str,
    kind: Kind,
}

const ON: Kind = Kind::Words(&["on", "true", "yes", "1"]);
const SWITCH: Kind = Kind::Words(&["on", "off", "true", "false", "yes", "no", "1", "0"]);

const fn setting(name: &'static str, default: &'static str, kind: Kind) -> Setting {
    Setting { name, told_as: None, default, kind }
}

const fn told(
    name: &'static str,
    told_as: &'static str,
    default: &'static str,
    kind: Kind,
) -> Setting {
    Setting { name, told_as: Some(told_as), default, kind }
}

/// What may be set and shown. `search_path` and those that are of writing have no effect.
const SETTINGS: &[Setting] = &[
    told("application_name", "application_name", "", Kind::Text),
    told("client_encoding", "client_encoding", "UTF8", Kind::Encoding),
    told("datestyle", "DateStyle", "ISO, YMD", Kind::Text),
    told("intervalstyle", "IntervalStyle", "postgres", Kind::Text),
    told("timezone", "TimeZone", "Etc/UTC", Kind::Zone),
    told("standard_conforming_strings", "standard_conforming_strings", "on", ON),
    told("default_transaction_read_only", "default_transaction_read_only", "on", ON),
    told("search_path", "search_path", "public", Kind::Text),
    setting("extra_float_digits", "1", Kind::Whole(-15, 3)),
    setting("bytea_output", "hex", Kind::Words(&["hex", "escape"])),
    setting("statement_timeout", "0", Kind::Time),
    setting("lock_timeout", "0", Kind::Time),
    setting("idle_session_timeout", "0", Kind::Time),
    setting("idle_in_transaction_session_timeout", "0", Kind::Time),
    setting("transaction_read_only", "on", ON),
    setting("transaction_isolation", "repeatable read", Kind::Text),
    setting("default_transaction_isolation", "repeatable read", Kind::Text),
    setting("client_min_messages", "notice", Kind::Text),
    setting("escape_string_warning", "on", SWITCH),
    setting("row_security", "on", SWITCH),
    setting("synchronous_commit", "on", Kind::Text),
    setting("jit", "off", SWITCH),
];

/// What is only shown.
const SHOWN: &[(&str, &str)] = &[
    ("server_version", SERVER_VERSION),
    ("server_version_num", "160006"),
    ("server_encoding", "UTF8"),
    ("integer_datetimes", "on"),
    ("in_hot_standby", "off"),
    ("is_superuser", "off"),
    ("max_identifier_length", "63"),
    ("lc_collate", "C"),
    ("lc_ctype", "C"),
];

/// What a client is told when it connects.
pub(super) fn parameters() -> DefaultServerParameterProvider {
    let mut parameters = DefaultServerParameterProvider::default();
    parameters.server_version =
        format!("{SERVER_VERSION} (Tidegate {})", env!("CARGO_PKG_VERSION"));
    parameters.is_superuser = false;
    parameters.default_transaction_read_only = true;
    parameters
}

/// Leaves in a connection's first message who it is and the settings that may be set there.
pub(super) fn sift(startup: &mut Startup) -> PgWireResult<()> {
    let given = std::mem::take(&mut startup.parameters);
    let options = given.get("options").map_or("", String::as_str).to_owned();
    let options = options.split_ascii_whitespace().filter(|word| *word != "-c");
    let options = options
        .filter_map(|word| word.trim_start_matches("-c").trim_start_matches("--").split_once('='));
    let named = given.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in named.chain(options) {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "user" | "database" => drop(startup.parameters.insert(name, value.to_owned())),
            // `options` is taken apart above; what begins so is of the protocol, not a setting.
            "options" | "replication" => {}
            name if name.starts_with("_pq_.") => {}
            name => {
                let value = checked(name, value).map_err(as_fatal)?;
                startup.parameters.insert(name.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn as_fatal(found: PgWireError) -> PgWireError {
    match found {
        PgWireError::UserError(told) => fatal(&told.code, told.message),
        other => other,
    }
}

/// Sets what `set` says; answers the settings that the client must be told of, with their values.
pub(super) fn set<C: ClientInfo>(
    client: &mut C,
    context: &SessionContext,
    set: &Set,
) -> PgWireResult<Option<(&'static str, String)>> {
    match set {
        Set::SingleAssignment { scope, variable, values, .. } => {
            use datafusion::sql::sqlparser::ast::ContextModifier;
            if matches!(scope, Some(ContextModifier::Local | ContextModifier::Global)) {
                return Err(error(
                    NOT_SUPPORTED,
                    "SET LOCAL and SET GLOBAL: use SET, for the connection",
                ));
            }
            let words: Vec<String> = values.iter().map(word).collect();
            assign(client, context, &variable.to_string().to_lowercase(), &words.join(", "))
        }
        Set::SetTimeZone { value, .. } => assign(client, context, "timezone", &word(value)),
        Set::SetNames { charset_name, .. } => {
            assign(client, context, "client_encoding", &charset_name.value)
        }
        Set::SetTransaction { modes, .. } => {
            allowed(modes)?;
            Ok(None)
        }
        other => Err(error(NO_SETTING, format!("{other} is not taken here"))),
    }
}

/// Whether a transaction may be of these modes.
pub(super) fn allowed(modes: &[TransactionMode]) -> PgWireResult<()> {
    let writes = TransactionMode::AccessMode(TransactionAccessMode::ReadWrite);
    if modes.contains(&writes) {
        return Err(error(READ_ONLY, "only READ ONLY transactions: nothing can be written here"));
    }
    Ok(())
}

/// Takes every setting back, or one.
pub(super) fn reset<C: ClientInfo>(
    client: &mut C,
    context: &SessionContext,
    name: Option<&str>,
) -> PgWireResult<Option<(&'static str, String)>> {
    if let Some(name) = name {
        return assign(client, context, &name.to_lowercase(), "default");
    }
    for setting in SETTINGS.iter().filter(|setting| setting.name != "application_name") {
        client.metadata_mut().remove(setting.name);
    }
    apply_zone(context, "UTC");
    Ok(None)
}

/// What begins with the connection.
pub(super) fn begin<C: ClientInfo>(client: &C, context: &SessionContext) {
    if let Some(zone) = client.metadata().get("timezone") {
        apply_zone(context, zone);
    }
}

fn assign<C: ClientInfo>(
    client: &mut C,
    context: &SessionContext,
    name: &str,
    value: &str,
) -> PgWireResult<Option<(&'static str, String)>> {
    let setting = find(name)?;
    let value = match value.to_ascii_lowercase().as_str() {
        "default" => setting.default.to_owned(),
        _ => checked(name, value)?,
    };
    client.metadata_mut().insert(setting.name.to_owned(), value.clone());
    if setting.name == "timezone" {
        apply_zone(context, &value);
    }
    Ok(setting.told_as.map(|name| (name, value)))
}

fn apply_zone(context: &SessionContext, zone: &str) {
    let state = context.state_ref();
    let mut state = state.write();
    state.config_mut().options_mut().execution.time_zone = Some(zone.to_owned());
}

fn find(name: &str) -> PgWireResult<&'static Setting> {
    let name = if name == "time zone" { "timezone" } else { name };
    SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
        let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        let known = known.join(", ");
        error(NO_SETTING, format!("\"{name}\" cannot be set here; what can be: {known}"))
    })
}

/// A value as it is kept.
fn checked(name: &str, value: &str) -> PgWireResult<String> {
    let setting = find(name)?;
    let value = value.trim_matches(['\'', '"']);
    let lower = value.to_ascii_lowercase();
    let refused =
        |expected: &str| Err(error(INVALID_VALUE, format!("{name} = \"{value}\": {expected}")));
    if value.len() > VALUE_BYTES {
        return refused("is too long");
    }
    match setting.kind {
        Kind::Text => Ok(value.to_owned()),
        Kind::Encoding if ["utf8", "utf-8", "unicode"].contains(&lower.as_str()) => {
            Ok("UTF8".into())
        }
        Kind::Encoding => refused("only UTF8"),
        Kind::Time if milliseconds(&lower).is_some() => Ok(lower),
        Kind::Time => refused("milliseconds, or a number with ms, s, min, h or d"),
        Kind::Zone if Tz::from_str(value).is_ok() => Ok(value.to_owned()),
        Kind::Zone => refused("no time zone of that name is known"),
        Kind::Whole(low, high) => match value.parse::<i64>() {
            Ok(number) if (low..=high).contains(&number) => Ok(number.to_string()),
            Ok(_) | Err(_) => refused(&format!("a whole number from {low} to {high}")),
        },
        Kind::Words(words) if words.contains(&lower.as_str()) => Ok(lower),
        Kind::Words(words) => refused(&format!("one of {}", words.join(", "))),
    }
}

/// The connection's own limit of a query's time.
pub(super) fn statement_timeout<C: ClientInfo>(client: &C) -> Option<Duration> {
    let text = client.metadata().get("statement_timeout")?;
    milliseconds(text).filter(|time| !time.is_zero())
}

fn milliseconds(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit: u64 = match unit.trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.parse::<u32>().ok()? as u64 * unit))
}

/// What `SHOW name` shows; none where it is none of ours.
pub(super) fn shown<C: ClientInfo>(client: &C, name: &str) -> Option<String> {
    let name = match name {
        "time zone" => "timezone",
        "transaction isolation level" => "transaction_isolation",
        other => other,
    };
    if let Some((_, value)) = SHOWN.iter().find(|(shown, _)| *shown == name) {
        return Some((*value).to_owned());
    }
    let setting = SETTINGS.iter().find(|setting| setting.name == name)?;
    Some(client.metadata().get(name).map_or(setting.default, String::as_str).to_owned())
}

/// Whether `SHOW name` is ours to answer.
pub(super) fn shows(name: &str) -> bool {
    SHOWN.iter().any(|(shown, _)| *shown == name)
        || SETTINGS.iter().any(|setting| setting.name == name)
        || ["time zone", "transaction isolation level"].contains(&name)
}

fn word(value: &Expr) -> String {
    match value {
        Expr::Identifier(name) => name.value.clone(),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => text.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_as_clients_write_them_or_refused() {
        for (name, value, kept) in [
            ("client_encoding", "'utf-8'", Some("UTF8")),
            ("client_encoding", "LATIN1", None),
            ("extra_float_digits", "3", Some("3")),
            ("extra_float_digits", "4", None),
            ("timezone", "Europe/Oslo", Some("Europe/Oslo")),
            ("timezone", "+02:00", Some("+02:00")),
            ("timezone", "Middle/Earth", None),
            ("statement_timeout", "5s", Some("5s")),
            ("statement_timeout", "soon", None),
            ("default_transaction_read_only", "off", None),
            ("datafusion.execution.batch_size", "1", None),
            ("work_mem", "1", None),
        ] {
            assert_eq!(checked(name, value).ok().as_deref(), kept, "{name} = {value}");
        }
    }

    #[test]
    fn the_first_message_keeps_what_may_be_set() {
        let mut startup = Startup::new();
        for (name, value) in [
            ("user", "u"),
            ("DateStyle", "ISO"),
            ("options", "-c statement_timeout=100 --search_path=x -cjit=off"),
            ("_pq_.x", "y"),
        ] {
            startup.parameters.insert(name.into(), value.into());
        }
        sift(&mut startup).unwrap();
        let kept: Vec<_> = startup.parameters.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let expected =
            ["datestyle=ISO", "jit=off", "search_path=x", "statement_timeout=100", "user=u"];
        assert_eq!(kept, expected);
        startup.parameters.insert("options".into(), "-c datafusion.x=1".into());
        assert!(sift(&mut startup).is_err());
    }

    #[test]
    fn times_have_units() {
        let seconds = |text| milliseconds(text).map(|time| time.as_secs_f64());
        assert_eq!(seconds("1500"), Some(1.5));
        assert_eq!(seconds("2min"), Some(120.0));
        assert_eq!(seconds("1 s"), Some(1.0));
        assert_eq!(seconds("-1"), None);
        assert_eq!(seconds(""), None);
    }
}
