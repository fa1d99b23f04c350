//! Paths and conditions of a job with places for its run's date.
//!
//! Only what is declared here is a place, and only dates and instants are put there: nothing that a run
//! brings can leave a folder or become SQL. A brace that is none is written twice.

use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// Ten years: an offset beyond is a mistake.
const MAX_DAYS: i32 = 3_660;

/// What a run is for.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// When it was to start; it names the run.
    pub time: Timestamp,
    /// The day that it is about.
    pub date: Date,
    /// Where that day begins and ends.
    pub zone: TimeZone,
}

/// What is wrong with a template, and what would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

/// A text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `{date}`, `{date-1}`: the day, so many days on: 2026-01-31.
    Date(i32),
    /// `{start}`, `{start+1}`: the instant at which that day begins: 2026-01-30T23:00:00Z.
    Start(i32),
    /// `{time}`: when the run was to start: 20260131T013000Z.
    Time,
}

impl Template {
    /// Reads a text; `{{` and `}}` are braces.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let (mut pieces, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let (brace, behind) = rest[at..].split_at(1);
            if let Some(behind) = behind.strip_prefix(brace) {
                plain.push_str(brace);
                rest = behind;
                continue;
            }
            let (place, behind) = match behind.split_once('}') {
                Some((place, behind)) if brace == "{" => (place, behind),
                _ => return Err(TemplateError(format!("{brace:?} stands alone: {BRACES}"))),
            };
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(piece(place)?);
            rest = behind;
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        Ok(Self(pieces))
    }

    /// The text of one run.
    pub fn render(&self, of: &Moment) -> Result<String, TemplateError> {
        let mut text = String::new();
        for piece in &self.0 {
            let written = match piece {
                Piece::Text(plain) => write!(text, "{plain}"),
                Piece::Date(days) => write!(text, "{}", shifted(of.date, *days)?),
                Piece::Start(days) => {
                    write!(text, "{}", day_start(shifted(of.date, *days)?, &of.zone)?)
                }
                Piece::Time => write!(text, "{}", of.time.strftime("%Y%m%dT%H%M%SZ")),
            };
            written.expect("a String takes everything");
        }
        Ok(text)
    }

    /// Whether runs of different days have different texts.
    #[must_use]
    pub fn tells_days(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Date(_) | Piece::Start(_)))
    }

    /// Whether runs of different times have different texts.
    #[must_use]
    pub fn tells_runs(&self) -> bool {
        self.0.contains(&Piece::Time)
    }
}

/// When a day begins: at midnight, or as soon as the clock shows it.
pub(super) fn day_start(day: Date, zone: &TimeZone) -> Result<Timestamp, TemplateError> {
    let start = zone.to_ambiguous_timestamp(day.at(0, 0, 0, 0)).compatible();
    start.map_err(|_| out_of_calendar(day))
}

fn shifted(day: Date, days: i32) -> Result<Date, TemplateError> {
    day.checked_add(Span::new().days(days)).map_err(|_| out_of_calendar(day))
}

fn out_of_calendar(day: Date) -> TemplateError {
    TemplateError(format!("{day} is at the end of the calendar: name another date"))
}

const BRACES: &str =
    "write {date}, {date-1}, {start}, {start+1} or {time}; a brace itself is {{ or }}";

fn piece(place: &str) -> Result<Piece, TemplateError> {
    let unknown = || TemplateError(format!("{{{place}}} is no place: {BRACES}"));
    let at = place.find(['+', '-']).unwrap_or(place.len());
    let (name, offset) = place.split_at(at);
    let days = match offset.split_at_checked(1) {
        None => 0,
        Some((sign, digits)) => {
            let digits_only = digits.bytes().all(|byte| byte.is_ascii_digit());
            let days: i32 = digits.parse().ok().filter(|_| digits_only).ok_or_else(unknown)?;
            if days > MAX_DAYS {
                let limit =
                    format!("{{{place}}}: {days} days are more than {MAX_DAYS} (ten years)");
                return Err(TemplateError(limit));
            }
            if sign == "-" { -days } else { days }
        }
    };
    match name {
        "date" => Ok(Piece::Date(days)),
        "start" => Ok(Piece::Start(days)),
        "time" if offset.is_empty() => Ok(Piece::Time),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn moment(zone: &str) -> Moment {
        Moment {
            time: "2026-03-29T01:30:00Z".parse().unwrap(),
            date: date(2026, 3, 29),
            zone: TimeZone::get(zone).unwrap(),
        }
    }

    #[test]
    fn places_are_dates() {
        for (text, expected) in [
            ("plain", "plain"),
            ("in/date={date}/*.parquet", "in/date=2026-03-29/*.parquet"),
            ("{date-1}{date+3}", "2026-03-282026-04-01"),
            ("{date-29}", "2026-02-28"),
            ("{time}", "20260329T013000Z"),
            (
                "t >= '{start}' AND t < '{start+1}'",
                "t >= '2026-03-28T23:00:00Z' AND t < '2026-03-29T22:00:00Z'",
            ),
            ("{{date}} }}{date}", "{date} }2026-03-29"),
            ("{{{date}}}", "{2026-03-29}"),
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.render(&moment("Europe/Berlin")).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn nothing_else_is_a_place() {
        for text in [
            "{",
            "}",
            "{}",
            "{date",
            "date}",
            "{ date }",
            "{Date}",
            "{date-}",
            "{date-x}",
            "{date--1}",
            "{date+1-1}",
            "{time-1}",
            "{date;DROP TABLE x}",
            "{../../etc}",
            "{name}",
            "{date'}",
            "{date-9999}",
            "{date+99999999999}",
            "{date+\u{661}}",
            "{{date}",
            "{date}}",
        ] {
            let error = Template::parse(text).expect_err(text).to_string();
            assert!(error.contains("{date}") || error.contains("3660"), "{text}: {error}");
        }
    }

    #[test]
    fn a_day_begins_when_the_clock_shows_it() {
        for (zone, day, expected) in [
            ("Africa/Cairo", date(2026, 4, 24), "2026-04-23T22:00:00Z"),
            ("UTC", date(2026, 4, 24), "2026-04-24T00:00:00Z"),
            ("Asia/Kolkata", date(2024, 2, 29), "2024-02-28T18:30:00Z"),
        ] {
            let start = day_start(day, &TimeZone::get(zone).unwrap()).unwrap();
            assert_eq!(start.to_string(), expected, "{zone}");
        }
    }

    #[test]
    fn the_calendar_ends() {
        let last = Moment { date: Date::MAX, ..moment("UTC") };
        assert!(Template::parse("{date+1}").unwrap().render(&last).is_err());
    }

    proptest::proptest! {
        /// Whatever is a template, a run puts nothing but these characters into it.
        #[test]
        fn a_run_brings_digits_and_dashes(text in "[{}a-z0-9+/'.-]{0,20}", days in -700_000..700_000) {
            let of = Moment { date: date(1970, 1, 1).saturating_add(Span::new().days(days)), ..moment("UTC") };
            if let Ok(Ok(rendered)) = Template::parse(&text).map(|template| template.render(&of)) {
                let plain = text.replace("{{", "").replace("}}", "");
                let brought = rendered.chars().filter(|c| !plain.contains(*c) && !"{}".contains(*c));
                proptest::prop_assert!(brought.into_iter().all(|c| "0123456789-:TZ".contains(c)));
            }
        }
    }
}
