//! Each failpoint is a promise that the process may be killed there: a test holds it.

use std::collections::BTreeSet;

use crate::{none, tree};

/// Passed to panic or to take time, and not to be killed at, each with the reason.
const NOT_KILLED_AT: &[(&str, &str)] =
    &[("jobs.output", "nothing was done since jobs.begun, at which a test kills")];

/// What a test names a place for besides ending the process there.
const OTHERWISE: &[&str] = &["run_hanging(", "run_panicking(", "=hang", "=delay", "=panic"];

#[test]
fn a_test_kills_at_every_failpoint() {
    let sources = tree::paths(&[".rs"]);
    let (tests, product): (Vec<_>, Vec<_>) =
        sources.into_iter().partition(|path| path.split('/').any(|folder| folder == "tests"));
    let places: BTreeSet<String> = product.iter().flat_map(|path| passed(path)).collect();
    assert!(places.len() > 10, "the places are no longer found: {places:?}");
    let others = tests.iter().filter(|path| !path.starts_with("tests/tidy/"));
    let killing: Vec<String> = others.flat_map(|path| killing(path)).collect();
    let is_killed_at = |place: &str| {
        let (whole, counted) = (format!("\"{place}\""), format!("\"{place}="));
        killing.iter().any(|line| line.contains(&whole) || line.contains(&counted))
    };
    let excepted = |place: &str| NOT_KILLED_AT.iter().any(|(name, _)| *name == place);
    let mut breaches: Vec<String> = places
        .iter()
        .filter(|place| is_killed_at(place) == excepted(place))
        .map(|place| match excepted(place) {
            true => format!("{place}: a test kills there; it is no exception"),
            false => place.clone(),
        })
        .collect();
    let gone = NOT_KILLED_AT.iter().filter(|(place, _)| !places.contains(*place));
    breaches.extend(gone.map(|(place, _)| format!("{place}: there is no such place")));
    none("a failpoint at which no test kills", &breaches);
}

/// Names of the places that a source file passes.
fn passed(path: &str) -> Vec<String> {
    let text = tree::product_text(path);
    let calls = text.split("failpoint::pass(\"").skip(1);
    calls.filter_map(|rest| rest.split_once('"')).map(|(name, _)| name.to_owned()).collect()
}

/// Lines of a test that may name a place to kill at.
fn killing(path: &str) -> Vec<String> {
    let text = tree::text(path).unwrap_or_default();
    let lines = text.lines().filter(|line| !OTHERWISE.iter().any(|word| line.contains(word)));
    lines.map(str::to_owned).collect()
}
