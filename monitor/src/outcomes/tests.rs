//! Joins over real archive files, against a join by hand.

mod calibrated;
mod pairs;

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use batch::sql::SqlTable;
use batch::{Archive, ArchiveConfig, Table, TopicIdentity, topic_folder};
use schemas::{Contract, LabelMembers, LabelTable, MicroBatch, ResultsTable};

use super::{
    Answer, Kind, MAX_GROUPS, OutcomeRow, Outcomes, PerformanceFiles, Score, Settings, newest,
};
use crate::count::MICROS;
use crate::evaluate::Clock;
use crate::window::{Lagging, Windows};
use pairs::held_to_pairs;

const HOUR: i64 = 3_600;
const START: i64 = 480_000 * HOUR;
const FIRST: i64 = 480_000;
const TTL: i64 = 7_200;

#[derive(Clone, Debug)]
struct Scored {
    key: String,
    second: i64,
    version: &'static str,
    score: f32,
}

#[derive(Clone, Debug)]
struct Labelled {
    key: String,
    second: i64,
    text: String,
}

fn contract() -> Contract {
    let text = "name = \"c\"\nfields = [{ name = \"id\", type = \"string\", role = \"key\" }, \
                { name = \"at\", type = \"timestamp\", role = \"event_time\", \
                formats = [\"epoch_seconds\"] }]";
    Contract::from_toml(text).unwrap_or_else(|errors| panic!("{errors}"))
}

fn outputs() -> SchemaRef {
    let fields = [("late", DataType::Float32), ("verdict", DataType::Utf8)]
        .map(|(n, k)| Field::new(n, k, true));
    Arc::new(Schema::new(fields.to_vec()))
}

fn results_table() -> ResultsTable {
    ResultsTable::new(&contract(), &outputs(), b"").unwrap()
}

fn label_table() -> LabelTable {
    let members = LabelMembers { key: "id".into(), label: "was".into(), time: Some("t".into()) };
    LabelTable::new(&contract(), members, b"").unwrap()
}

fn publish(root: &Path, table: &str, rows: Table, partition: i32, values: &[(i64, String)]) {
    let topic = TopicIdentity { cluster_id: "c".into(), topic: "t".into(), topic_id: "i".into() };
    let config = ArchiveConfig::new(root.to_path_buf(), table, "test");
    let mut archive = Archive::open(config, topic, rows, SystemTime::now()).unwrap();
    let start = archive.position(partition).unwrap().unwrap_or(0);
    let mut batch = MicroBatch::with_capacity("t".into(), 0, 0);
    for (offset, (second, value)) in (start..).zip(values) {
        batch.push(partition, offset, second * 1_000, None, Some(value.as_bytes())).unwrap();
    }
    let _ = archive.append(&batch, Instant::now()).unwrap();
    assert_eq!(archive.finish().unwrap().published.len(), 1);
}

fn score(root: &Path, partition: i32, rows: &[Scored]) {
    let value = |row: &Scored| {
        let verdict = if row.score >= 0.5 { "late" } else { "on_time" };
        let text = format!(
            r#"{{"id":"{}","at":{},"prediction":{{"late":{},"verdict":"{verdict}"}},"model":{{"name":"m","version":"{}"}},"arm":"stable","scored_at":"2024-10-04T00:00:00Z","source":{{"topic":"in","partition":0,"offset":1,"timestamp":5}}}}"#,
            row.key, row.second, row.score, row.version
        );
        (row.second, text)
    };
    let values: Vec<_> = rows.iter().map(value).collect();
    publish(root, "results", results_table().into(), partition, &values);
}

fn label(root: &Path, partition: i32, rows: &[Labelled]) {
    let value = |row: &Labelled| {
        let Labelled { key, second, text } = row;
        (*second, format!(r#"{{"id":"{key}","was":{text},"t":{}}}"#, second * 1_000))
    };
    let values: Vec<_> = rows.iter().map(value).collect();
    publish(root, "labels", label_table().into(), partition, &values);
}

fn outcomes(root: &Path) -> Outcomes {
    let table =
        |name: &str, schema| SqlTable::folder(name, topic_folder(root, name, "t"), Some(schema));
    let settings = Settings {
        results: table("results", results_table().schema()),
        labels: table("labels", label_table().schema()),
        labels_folder: topic_folder(root, "labels", "t"),
        key_column: "id".into(),
        answer: Answer::Class {
            column: Some("prediction_verdict".into()),
            score: Some(Score {
                column: "prediction_late".into(),
                class: "late".into(),
                threshold: 0.5,
            }),
            classes: vec!["on_time".into(), "late".into()],
        },
        ttl_seconds: TTL as u32,
        // Every join goes to disk.
        memory_bytes: 4 << 10,
    };
    Outcomes::open(root, "t", clock(), "test", settings).unwrap()
}

fn clock() -> Clock {
    Clock {
        windows: Windows::new(3600, 3600, 60).unwrap(),
        previous_seconds: 3600,
        lateness_seconds: 0,
        idle_seconds: 600,
    }
}

/// Everything that is due, published.
fn drain(outcomes: &mut Outcomes, judged: std::ops::Range<i64>, now: i64) -> Vec<OutcomeRow> {
    let mut rows = Vec::new();
    while let Some(outcome) =
        outcomes.next(judged.clone(), now * MICROS, &Lagging::default()).unwrap()
    {
        outcomes.publish(&outcome).unwrap();
        rows.extend(outcome.rows);
    }
    rows
}

/// Whether a result has a label that came too late, by hand.
fn is_too_late(result: &Scored, labels: &[Labelled]) -> bool {
    let late = result.second + TTL + 1..=result.second + 2 * TTL;
    labels.iter().any(|it| it.key == result.key && late.contains(&it.second))
}

/// The label of each result, by hand: labels in the order of their offsets within one partition.
fn by_hand<'a>(result: &Scored, labels: &'a [Labelled]) -> Option<&'a str> {
    let counts = |it: &&Labelled| {
        it.key == result.key && (result.second..=result.second + TTL).contains(&it.second)
    };
    let last = labels.iter().filter(counts).enumerate().max_by_key(|(at, it)| (it.second, *at));
    last.map(|(_, it)| it.text.as_str()).filter(|text| *text != "null")
}

#[test]
fn realised_figures_are_those_of_a_join_by_hand() {
    let root = tempfile::tempdir().unwrap();
    let mut state = 7_u64;
    let mut roll = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    // Keys come again, so that labels of another event of the same key must not count.
    let results: Vec<Scored> = (0..600)
        .map(|_| Scored {
            key: format!("k'{}", roll(150)),
            second: START + roll(2 * HOUR as u64) as i64,
            version: if roll(4) == 0 { "2" } else { "1" },
            score: roll(100) as f32 / 100.0,
        })
        .collect();
    let texts = ["true", "false", "\"late\"", "\"on_time\"", "1", "0", "null"];
    let labels: Vec<Labelled> = (0..900)
        .map(|_| Labelled {
            key: format!("k'{}", roll(200)),
            second: START - HOUR + roll(6 * HOUR as u64) as i64,
            text: texts[roll(7) as usize].into(),
        })
        .collect();
    score(root.path(), 0, &results[..300]);
    score(root.path(), 1, &results[300..]);
    label(root.path(), 0, &labels);
    let end = Labelled { key: "end".into(), second: START + 8 * HOUR, text: "1".into() };
    label(root.path(), 0, &[end]);
    let rows = drain(&mut outcomes(root.path()), FIRST..FIRST + 2, START + 8 * HOUR);
    let realised: Vec<_> = rows.iter().filter(|row| row.kind == Kind::Realised).collect();
    assert_eq!(realised.len(), 4, "two windows of two versions");
    for row in realised {
        let start = row.start_us / MICROS;
        let version = row.model_version.as_deref().unwrap();
        let mine: Vec<&Scored> = results
            .iter()
            .filter(|it| (start..start + HOUR).contains(&it.second) && it.version == version)
            .collect();
        let pairs: Vec<(f64, bool)> = mine
            .iter()
            .filter_map(|it| {
                let late = matches!(by_hand(it, &labels)?, "true" | "\"late\"" | "1");
                Some((f64::from(it.score), late))
            })
            .collect();
        assert!(pairs.len() > 20, "a window with labels: {}", pairs.len());
        assert_eq!((row.n, row.labelled), (mine.len() as u64, pairs.len() as u64));
        let share = |part: usize, whole: usize| part as f64 / whole as f64;
        let count = |of: &dyn Fn(&(f64, bool)) -> bool| pairs.iter().filter(|it| of(it)).count();
        let right = count(&|(score, late)| (*score >= 0.5) == *late);
        assert_eq!(row.realised.accuracy, Some(share(right, pairs.len())));
        let found = count(&|(score, late)| *score >= 0.5 && *late);
        let answered = count(&|(score, _)| *score >= 0.5);
        assert_eq!(row.realised.precision, Some(share(found, answered)));
        assert_eq!(row.realised.recall, Some(share(found, count(&|(_, late)| *late))));
        let brier = pairs.iter().map(|(s, l)| (s - f64::from(u8::from(*l))).powi(2)).sum::<f64>();
        assert!((row.realised.brier.unwrap() - brier / pairs.len() as f64).abs() < 1e-9);
        held_to_pairs(row, &pairs);
        let expected =
            mine.iter().map(|it| f64::from(it.score)).map(|p| p.max(1.0 - p)).sum::<f64>();
        assert!((row.estimated.accuracy.unwrap() - expected / mine.len() as f64).abs() < 1e-6);
        assert_eq!(row.labels_until_us, Some((START + 8 * HOUR) * MICROS));
        let estimate = rows.iter().find(|it| {
            it.kind == Kind::Estimated
                && it.window == row.window
                && it.model_version == row.model_version
        });
        let estimate = estimate.expect("each was estimated, too");
        assert_eq!(estimate.n, row.n);
        // Sums of the same rows in another order.
        let (then, now) = (estimate.estimated, row.estimated);
        for (then, now) in [(then.accuracy, now.accuracy), (then.f1, now.f1), (then.auc, now.auc)] {
            assert!((then.unwrap() - now.unwrap()).abs() < 1e-12, "{then:?} {now:?}");
        }
        assert_eq!((estimate.realised, estimate.coverage()), (Default::default(), None));
        let late = rows.iter().find(|it| {
            it.kind == Kind::Late
                && it.window == row.window
                && it.model_version == row.model_version
        });
        let late = late.expect("another time-to-live has passed");
        let by_hand = mine.iter().filter(|it| is_too_late(it, &labels)).count() as u64;
        assert!(by_hand > 10, "{by_hand} labels came too late");
        assert_eq!((late.n, late.too_late), (row.n, by_hand));
        assert_eq!((late.realised, late.estimated), (Default::default(), Default::default()));
    }
}

#[test]
fn a_window_is_realised_once_when_no_label_can_be_missing() {
    let root = tempfile::tempdir().unwrap();
    let result = |key: &str, at: i64| Scored {
        key: key.into(),
        second: START + at,
        version: "1",
        score: 0.9,
    };
    score(root.path(), 0, &[result("a", 0), result("b", 3_599), result("c", 3_600)]);
    let of = |key: &str, at: i64, text: &str| Labelled {
        key: key.into(),
        second: START + at,
        text: text.into(),
    };
    // A second before the event; at the very end of the time-to-live; a second later.
    label(root.path(), 0, &[of("a", -1, "0"), of("b", 3_599 + TTL, "1")]);
    let mut open = outcomes(root.path());
    // Partition 0 has come as far as a second before the end.
    let early = drain(&mut open, FIRST..FIRST + 1, START + 3_599 + TTL);
    assert!(early.iter().all(|row| row.kind == Kind::Estimated) && early.len() == 1, "{early:?}");
    label(root.path(), 0, &[of("b", 3_600 + TTL, "0")]);
    let rows = drain(&mut open, FIRST..FIRST + 1, START + 3_600 + TTL);
    let [row] = rows.as_slice() else { panic!("one window of one version: {rows:?}") };
    assert_eq!((row.kind, row.n, row.labelled), (Kind::Realised, 2, 1));
    assert_eq!((row.coverage(), row.realised.accuracy), (Some(0.5), Some(1.0)));
    let confusion: serde_json::Value =
        serde_json::from_str(row.confusion.as_deref().unwrap()).unwrap();
    let expected = serde_json::json!([{ "label": "late", "answer": "late", "rows": 1 }]);
    assert_eq!(confusion, expected);
    let files = PerformanceFiles::open(root.path(), "t", clock(), "test").unwrap();
    let said = newest(&files).unwrap();
    let windows = said["m"]["windows"].as_array().unwrap();
    let kinds: Vec<_> = windows.iter().map(|it| (&it["kind"], &it["window_start"])).collect();
    let start = jiff::Timestamp::from_second(START).unwrap().to_string();
    let start = serde_json::Value::from(start);
    assert_eq!(kinds, [(&"realised".into(), &start), (&"estimated".into(), &start)]);
    assert_eq!(
        (&windows[0]["labelled"], &windows[0]["realised"]["accuracy"]),
        (&1.into(), &1.0.into())
    );
    // Later labels change nothing, for nobody: the files say what is done.
    label(root.path(), 0, &[of("a", 10, "0")]);
    let mut again = outcomes(root.path());
    assert_eq!(drain(&mut again, FIRST..FIRST + 1, START + 4_000 + TTL), []);
    // Killed before it was published, it comes again, and the same.
    let first = again
        .next(FIRST..FIRST + 2, (START + 4_000 + TTL) * MICROS, &Lagging::default())
        .unwrap()
        .unwrap();
    let mut second = outcomes(root.path());
    let repeated = second
        .next(FIRST..FIRST + 2, (START + 4_000 + TTL) * MICROS, &Lagging::default())
        .unwrap()
        .unwrap();
    assert_eq!((first.kind, first.rows), (repeated.kind, repeated.rows));
    // When another time-to-live has passed, what came late is counted: of `b`, within it; nothing of `a`.
    label(root.path(), 0, &[of("end", 3_600 + 2 * TTL, "0")]);
    let rows = drain(&mut again, FIRST..FIRST + 1, START + 3_600 + 2 * TTL);
    let late: Vec<_> = rows.iter().filter(|row| row.kind == Kind::Late).collect();
    let [late] = late.as_slice() else { panic!("one window of one version: {rows:?}") };
    assert_eq!((late.n, late.too_late, late.coverage()), (2, 1, None));
    assert_eq!(again.joined_until(), Some((START + HOUR) * MICROS));
    assert_eq!(drain(&mut again, FIRST..FIRST + 1, START + 3_600 + 2 * TTL), []);
}

#[test]
fn without_labels_there_are_estimates_only() {
    let root = tempfile::tempdir().unwrap();
    let rows: Vec<Scored> = (0..40)
        .map(|at| Scored {
            key: format!("k{at}"),
            second: START + at,
            version: if at == 0 { "odd'name" } else { "1" },
            score: at as f32 / 40.0,
        })
        .collect();
    score(root.path(), 0, &rows);
    let rows = drain(&mut outcomes(root.path()), FIRST - 1..FIRST + 1, START + 9 * HOUR);
    assert_eq!(rows.len(), 2, "the window before has no rows");
    assert!(rows.iter().all(|row| row.kind == Kind::Estimated && row.labels_until_us.is_none()));
    assert_eq!(rows.iter().map(|row| row.n).sum::<u64>(), 40);
}

#[test]
fn a_label_from_the_far_future_completes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let row = Scored { key: "a".into(), second: START, version: "1", score: 0.9 };
    score(root.path(), 0, &[row]);
    // Written ten seconds after the event, it says to be known in the year 2100.
    let text = r#"{"id":"b","was":1,"t":4102444800000}"#.to_owned();
    publish(root.path(), "labels", label_table().into(), 0, &[(START + 10, text)]);
    let rows = drain(&mut outcomes(root.path()), FIRST..FIRST + 1, START + 10);
    assert!(rows.iter().all(|row| row.kind == Kind::Estimated) && rows.len() == 1, "{rows:?}");
}

#[test]
fn versions_beyond_the_limit_are_one_group() {
    let root = tempfile::tempdir().unwrap();
    let rows: Vec<Scored> = (0..3 * MAX_GROUPS as i64)
        .map(|at| Scored {
            key: format!("k{at}"),
            second: START + at,
            version: format!("v{at}").leak(),
            score: 0.9,
        })
        .collect();
    score(root.path(), 0, &rows);
    let rows = drain(&mut outcomes(root.path()), FIRST..FIRST + 1, START + 9 * HOUR);
    assert_eq!(rows.len(), MAX_GROUPS + 1);
    assert_eq!(rows.iter().map(|row| row.n).sum::<u64>(), 3 * MAX_GROUPS as u64);
    let other = rows.iter().find(|row| row.model_version.as_deref() == Some("<other>"));
    assert_eq!(other.map(|row| row.n), Some(2 * MAX_GROUPS as u64));
}
