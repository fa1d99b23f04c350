//! `baseline` and `drift` as a user runs them: on files of three formats, without Kafka.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::harness::{ended_with, folder, root, run};

const CONTRACT: &str = r#"
name = "t"
[[fields]]
name = "name"
type = "string"
sensitive = "hash"
[[fields]]
name = "card"
type = "string"
sensitive = "drop"
[[fields]]
name = "grade"
type = "int8"
categories = [0, 1, 2]
"#;

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

fn demo(name: &str) -> String {
    root().join("deploy/demo").join(name).to_string_lossy().into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("standard output is JSON")
}

/// `rows` rows of x (shifted), grade, name and card; x is null in every `null_every`th row.
fn csv(folder: &Path, name: &str, rows: usize, shift: f64, null_every: usize) -> String {
    let mut text = String::from("x,grade,name,card\n");
    for n in 0..rows {
        let x = (n as f64 * 0.618_033_988_749_895).fract() + shift;
        let x = if n % null_every == 0 { String::new() } else { x.to_string() };
        let _ = writeln!(text, "{x},{},secret{},4111{n}", n % 3, n % 7);
    }
    let file = path(folder, name);
    std::fs::write(&file, text).expect("the test's folder is writable");
    file
}

fn column<'a>(report: &'a Value, name: &str) -> &'a Value {
    let columns = report["columns"].as_array().expect("a report has columns");
    columns.iter().find(|column| column["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn a_profile_and_raw_rows_say_the_same_of_the_bins() {
    let folder = folder();
    let before = csv(folder.path(), "before.csv", 4000, 0.0, 50);
    let now = csv(folder.path(), "now.csv", 3000, 0.4, 60);
    let profile = path(folder.path(), "reference.parquet");
    let columns = ["--columns", "x,grade"];
    ended_with(&run(&[&["baseline", "fit", &before, "-o", &profile][..], &columns].concat()), 0);

    let drift = |reference: &str| {
        let output =
            run(&[&["drift", reference, &now, "--json", "--fail-on-drift"][..], &columns].concat());
        ended_with(&output, 7);
        json(&output)
    };
    let (raw, profiled) = (drift(&before), drift(&profile));
    for name in ["x", "grade"] {
        for statistic in ["psi", "chi_square", "distances", "histogram", "phi", "verdict"] {
            let (a, b) = (&column(&raw, name)[statistic], &column(&profiled, name)[statistic]);
            assert_eq!(a, b, "{name}: {statistic}");
        }
    }
    let (x, of_profile) = (column(&raw, "x"), column(&profiled, "x"));
    assert_eq!(x["verdict"], "drift");
    assert_eq!(column(&raw, "grade")["verdict"], "stable");
    assert_eq!((&x["reference"]["n"], &x["reference"]["nulls"]), (&4000.into(), &80.into()));
    assert_eq!(x["ks"]["binned"], of_profile["ks"]["binned"]);
    assert!(x["ks"]["exact"]["d"].as_f64() >= x["ks"]["binned"]["d"].as_f64());
    assert!(of_profile["ks"]["exact"].is_null());
    assert!(profiled["reference"]["profile"].is_string());
}

#[test]
fn the_same_data_do_not_drift() {
    let folder = folder();
    let profile = path(folder.path(), "reference.parquet");
    let flights = demo("flights.parquet");
    let output = run(&["baseline", "fit", &flights, "-o", &profile, "--json"]);
    ended_with(&output, 0);
    let fitted = json(&output);
    for reference in [&flights, &profile] {
        let output = run(&["drift", reference, &flights, "--json", "--fail-on-drift"]);
        ended_with(&output, 0);
        assert_eq!(json(&output)["drift"], false);
    }
    let again = run(&["baseline", "show", &profile, "--json"]);
    ended_with(&again, 0);
    assert_eq!(json(&again), fitted);
    let table = run(&["baseline", "show", &profile]);
    ended_with(&table, 0);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains(fitted["id"].as_str().expect("an id")) && table.contains("dep_delay"));
    // A second fit has the same id, and does not replace the first unasked.
    ended_with(&run(&["baseline", "fit", &flights, "-o", &profile]), 2);
    let forced = run(&["baseline", "fit", &flights, "-o", &profile, "--force", "--json"]);
    ended_with(&forced, 0);
    assert_eq!(json(&forced), fitted);
}

#[test]
fn conditions_choose_the_rows_of_each_side() {
    let flights = demo("flights.parquet");
    let output = run(&[
        "drift",
        &flights,
        &flights,
        "--reference-where",
        "origin = 'JFK'",
        "--where",
        "origin <> 'JFK' and distance > 500",
        "--json",
        "--independent",
    ]);
    ended_with(&output, 0);
    let report = json(&output);
    assert_eq!(column(&report, "origin")["verdict"], "drift");
    assert_eq!(column(&report, "origin")["distances"]["total_variation"], 1.0);
    assert_eq!(column(&report, "distance")["current"]["n"], report["current"]["rows"]);
    assert_eq!(column(&report, "id")["verdict"], "not_compared");
}

/// 400 rows of one column; the first `of_400` in every 400, evenly spread, are `a`, the others `b`.
fn two_kinds(folder: &Path, name: &str, of_400: usize) -> String {
    let kind = |n: usize| if n * of_400 % 400 < of_400 { "a\n" } else { "b\n" };
    let file = path(folder, name);
    let text: String = std::iter::once("kind\n").chain((0..400).map(kind)).collect();
    assert_eq!(text.matches("a\n").count(), of_400);
    std::fs::write(&file, text).expect("the test's folder is writable");
    file
}

#[test]
fn the_limits_of_effect_and_significance_decide_what_a_drift_is() {
    let folder = folder();
    let before = two_kinds(folder.path(), "before.csv", 200);
    let now = two_kinds(folder.path(), "now.csv", 133);
    let profile = path(folder.path(), "reference.parquet");
    ended_with(&run(&["baseline", "fit", &before, "-o", &profile]), 0);
    // Half a row more in each cell, and (B - 1)(1/n + 1/m) off.
    let (a, b) = (133.5_f64 / 401.0, 267.5_f64 / 401.0);
    let psi = (a - 0.5) * (a / 0.5).ln() + (b - 0.5) * (b / 0.5).ln() - 2.0 / 400.0;
    assert!((0.1..0.12).contains(&psi), "{psi}");
    for reference in [&before, &profile] {
        for (limits, verdict, said) in [
            (&[][..], "drift", "≥ 0.1"),
            (&["--psi-threshold", "0.05"], "drift", "≥ 0.05"),
            (&["--psi-threshold", "0.12"], "stable", "< 0.12"),
            (&["--alpha", "0.00001"], "drift", "≥ 0.1"),
            (&["--alpha", "0.0000001"], "stable", "not significant"),
            (&["--alpha", "0.0000001", "--psi-threshold", "0.05"], "stable", "not significant"),
            (&["--alpha", "0.00001", "--psi-threshold", "0.12"], "stable", "< 0.12"),
        ] {
            let arguments = ["drift", reference, &now, "--json", "--fail-on-drift"];
            let output = run(&[&arguments[..], limits].concat());
            ended_with(&output, if verdict == "drift" { 7 } else { 0 });
            let report = json(&output);
            let kind = column(&report, "kind");
            assert_eq!(kind["verdict"], verdict, "{reference} {limits:?}: {kind}");
            assert_eq!(report["drift"], verdict == "drift", "{limits:?}");
            assert!(kind["reason"].as_str().is_some_and(|it| it.contains(said)), "{kind}");
            let corrected = kind["psi"]["corrected"].as_f64().expect("a number");
            assert!((corrected - psi).abs() < 1e-12, "{corrected} is not {psi}");
            // Chi-square of (200, 200) and (133, 267) is 23.09; one column needs no correction.
            let q = kind["chi_square"]["q"].as_f64().expect("a number");
            assert!((1.5e-6..1.6e-6).contains(&q), "{q}");
        }
    }
}

#[test]
fn what_is_sensitive_stays_out_of_everything() {
    let folder = folder();
    let before = csv(folder.path(), "before.csv", 2000, 0.0, 50);
    let now = csv(folder.path(), "now.csv", 2000, 0.0, 50);
    let at = |name: &str| path(folder.path(), name);
    let (contract, salt, profile, html) =
        (at("contract.toml"), at("salt"), at("reference.parquet"), at("page.html"));
    std::fs::write(&contract, CONTRACT).expect("writable");
    std::fs::write(&salt, "pepper\n").expect("writable");
    let fit = ["baseline", "fit", &before, "-o", &profile, "--contract", &contract, "--json"];
    let unsalted = run(&fit);
    ended_with(&unsalted, 2);
    assert!(String::from_utf8_lossy(&unsalted.stderr).contains("--salt-file"));
    let salted = run(&[&fit[..], &["--salt-file", &salt]].concat());
    ended_with(&salted, 0);
    let shown = json(&salted);
    assert_eq!(column(&shown, "name")["kind"], "hashed");
    assert_eq!(column(&shown, "card")["kind"], "left_out");
    assert_eq!(column(&shown, "grade")["kind"], "categorical");

    let with = ["--contract", &contract, "--salt-file", &salt, "--json", "--html", &html];
    let output = run(&[&["drift", &profile, &now][..], &with].concat());
    ended_with(&output, 0);
    let report = json(&output);
    assert_eq!(column(&report, "name")["verdict"], "stable");
    // Without the contract the hashes are not compared with what is in the clear.
    let bare = run(&["drift", &profile, &now, "--json"]);
    ended_with(&bare, 0);
    assert_eq!(column(&json(&bare), "name")["verdict"], "not_compared");

    let stored = std::fs::read(&profile).expect("the profile is there");
    let page = std::fs::read(&html).expect("the page is there");
    for text in [&salted.stdout, &output.stdout, &bare.stdout, &stored, &page] {
        let text = String::from_utf8_lossy(text);
        assert!(!text.contains("secret") && !text.contains("4111"), "a sensitive value is told");
    }
}

#[test]
fn json_lines_folders_and_missing_columns() {
    let folder = folder();
    for (name, members) in [("before", "\"x\":1,\"gone\":\"a\""), ("now", "\"x\":1,\"new\":true")] {
        let inside = folder.path().join(name).join("deep");
        std::fs::create_dir_all(&inside).expect("writable");
        std::fs::write(inside.join("a.jsonl"), format!("{{{members}}}\n").repeat(600))
            .expect("writable");
    }
    let (before, now) = (path(folder.path(), "before"), path(folder.path(), "now"));
    let output = run(&["drift", &before, &now, "--fail-on-drift", "--json"]);
    ended_with(&output, 7);
    let report = json(&output);
    assert_eq!(column(&report, "x")["verdict"], "stable");
    assert_eq!(column(&report, "gone")["verdict"], "missing");
    assert_eq!(column(&report, "new")["verdict"], "new");
    let table = run(&["drift", &before, &now]);
    ended_with(&table, 0);
    assert!(String::from_utf8_lossy(&table.stdout).contains("1 of 2 columns drifted"));
}

#[test]
fn mistakes_are_named() {
    let folder = folder();
    let data = csv(folder.path(), "data.csv", 100, 0.0, 50);
    let at = |name: &str| path(folder.path(), name);
    std::fs::write(at("bad.csv"), "x\n1\nmany\n").expect("writable");
    std::fs::write(at("wrong.csv"), format!("x\n{}many\n", "1\n".repeat(20_000)))
        .expect("writable");
    std::fs::write(at("no.parquet"), "no").expect("writable");
    let profile = at("p.parquet");
    ended_with(&run(&["baseline", "fit", &data, "-o", &profile, "--columns", "x"]), 0);
    for (arguments, code, said) in [
        (vec!["drift", &data, &at("none.csv")], 1, "no such file"),
        (vec!["drift", &data, &data, "--columns", "y"], 2, "\"y\""),
        (vec!["drift", &profile, &data, "--columns", "grade"], 2, "\"grade\""),
        (vec!["drift", &profile, &data, "--reference-where", "x > 1"], 2, "is a profile"),
        (vec!["drift", &data, &data, "--where", "y > 1"], 1, "`y > 1`"),
        (vec!["drift", &data, &data, "--alpha", "0"], 2, "above 0"),
        (vec!["drift", &data, &data, "--psi-threshold", "NaN"], 2, "above 0"),
        (vec!["drift", &data, &at("wrong.csv")], 1, "wrong.csv"),
        (vec!["baseline", "show", &at("no.parquet")], 1, "no.parquet"),
        (vec!["baseline", "show", &demo("flights.parquet")], 1, "no profile"),
        (vec!["baseline", "fit", &data, "-o", &at("q"), "--bins", "10"], 2, "256"),
        (vec!["baseline", "fit", &data, "-o", &at("q"), "--where", "x > 9"], 1, "no rows"),
        (vec!["baseline", "fit", &data, "-o", &at("q"), "--memory", "0"], 2, "--memory"),
    ] {
        let output = run(&arguments);
        ended_with(&output, code);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(said), "{arguments:?}: {text}");
    }
}
