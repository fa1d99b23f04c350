//! Counting on real archive files, written by the archive itself.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use batch::{Archive, ArchiveConfig, Table, TopicIdentity};
use schemas::{Contract, MicroBatch};

use super::{Counted, Counter, Group, MICROS, Settings};
use crate::columns::{Gathered, Planned, Treatment};
use crate::profile::{FitOptions, Profile, Shape, fit};
use crate::window::{ColumnSums, CountedRows, GroupSums, Windows, ends, late_rows, sums};

/// A row of the archive.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Event time and time of scoring, in seconds.
    pub(crate) event: Option<i64>,
    pub(crate) scored: i64,
    pub(crate) version: &'static str,
    pub(crate) arm: &'static str,
    pub(crate) x: Option<f64>,
    pub(crate) city: Option<&'static str>,
}

/// Seconds that are the start of an hour.
pub(crate) const HOUR: i64 = 1_700_002_800;

pub(crate) const CITIES: [&str; 4] = ["Bern", "Cork", "Oslo", "Rome"];

/// A generator of the tests' own, so that they are the same everywhere.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// About normal.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.below(1 << 30) as f64 / f64::from(1 << 30)).sum::<f64>() - 6.0
    }

    pub(crate) fn row(&mut self, event: i64) -> Row {
        let x = match self.below(50) {
            0 => None,
            1 => Some(f64::INFINITY),
            2 => Some(f64::NAN),
            3 => Some(-0.0),
            _ => Some(self.normal()),
        };
        Row {
            event: Some(event),
            scored: event + 1,
            version: "1",
            arm: "stable",
            x,
            city: Some(CITIES[self.below(4) as usize]),
        }
    }
}

/// Publishes one archive file of a partition; offsets go on from the last file's.
pub(crate) fn archive(root: &Path, partition: i32, rows: &[Row]) {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let schema = Arc::new(Schema::new(vec![
        Field::new("partition", DataType::Int32, false),
        Field::new("offset", DataType::Int64, false),
        Field::new("timestamp", instant.clone(), true),
        Field::new("event_time", instant.clone(), true),
        Field::new("scored_at", instant, true),
        Field::new("model_name", DataType::Utf8, true),
        Field::new("model_version", DataType::Utf8, true),
        Field::new("arm", DataType::Utf8, true),
        Field::new("x", DataType::Float64, true),
        Field::new("city", DataType::Utf8, true),
    ]));
    let next = Arc::new(Mutex::new(Vec::from(rows).into_iter()));
    let of = schema.clone();
    let table = Table::new(schema, "counted", move |batch| {
        let rows: Vec<Row> = next.lock().unwrap().by_ref().take(batch.len()).collect();
        let times = |of: &dyn Fn(&Row) -> Option<i64>| -> ArrayRef {
            let times = rows.iter().map(|row| of(row).map(|seconds| seconds * MICROS));
            Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        };
        let texts = |of: &dyn Fn(&Row) -> Option<&'static str>| -> ArrayRef {
            Arc::new(rows.iter().map(of).collect::<StringArray>())
        };
        let offsets = batch.records().iter().map(|record| record.offset);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from_iter_values(batch.records().iter().map(|it| it.partition))),
            Arc::new(Int64Array::from_iter_values(offsets)),
            times(&|row| Some(row.scored)),
            times(&|row| row.event),
            times(&|row| Some(row.scored)),
            texts(&|_| Some("model")),
            texts(&|row| Some(row.version)),
            texts(&|row| Some(row.arm)),
            Arc::new(rows.iter().map(|row| row.x).collect::<Float64Array>()),
            texts(&|row| row.city),
        ];
        RecordBatch::try_new(of.clone(), columns).unwrap()
    });
    let topic =
        TopicIdentity { cluster_id: "c".into(), topic: "scored".into(), topic_id: "t".into() };
    let config = ArchiveConfig::new(root.to_path_buf(), "results", "test");
    let mut archive = Archive::open(config, topic, table, SystemTime::now()).unwrap();
    let start = archive.position(partition).unwrap().unwrap_or(0);
    let mut batch = MicroBatch::with_capacity("scored".into(), 0, 0);
    for offset in 0..rows.len() as i64 {
        batch.push(partition, start + offset, 0, None, None).unwrap();
    }
    let _ = archive.append(&batch, Instant::now()).unwrap();
    assert_eq!(archive.finish().unwrap().published.len(), 1);
}

/// A profile of 4000 rows as [`Dice::row`] makes them.
pub(crate) fn profile() -> Arc<Profile> {
    let mut dice = Dice(99);
    let rows: Vec<Row> = (0..4000).map(|_| dice.row(HOUR)).collect();
    let planned =
        |name: &str, treatment| Planned { name: name.into(), type_name: "any".into(), treatment };
    let numbers = Gathered::Numbers(rows.iter().map(|row| row.x.unwrap_or(f64::NAN)).collect());
    let treatment = Treatment::Categorical(crate::columns::Hashing::No);
    let mut cities = Gathered::new(&treatment, 4000).unwrap();
    let texts: ArrayRef = Arc::new(rows.iter().map(|row| row.city).collect::<StringArray>());
    cities.push(&texts, &treatment, &[]).unwrap();
    let options = FitOptions::default();
    let x = fit(&planned("x", Treatment::Numeric), Some(&numbers), 4000, options).0;
    let city = fit(&planned("city", treatment), Some(&cities), 4000, options).0;
    Arc::new(Profile { rows: 4000, columns: vec![x, city] })
}

pub(crate) fn counter(root: &Path, pane_seconds: u32) -> Counter {
    let settings = Settings::new(profile(), None, pane_seconds, &["city".to_owned()], &[]).unwrap();
    Counter::open(settings, root, "results", "scored", "test").unwrap()
}

/// Counts what is not counted; answers the new ones.
pub(crate) fn count(counter: &mut Counter) -> Vec<Counted> {
    let jobs = counter.refresh().unwrap();
    let new: Vec<Counted> = jobs.iter().map(|job| counter.count(job).unwrap().unwrap()).collect();
    new.iter().for_each(|counted| counter.add(counted.clone()));
    assert!(counter.refresh().unwrap().is_empty());
    new
}

fn group(row: &Row, segment: Option<&str>) -> Group {
    Group {
        model: Some("model".into()),
        version: Some(row.version.into()),
        arm: Some(row.arm.into()),
        segment: segment.map(|value| ("city".into(), value.into())),
    }
}

/// What the sums must be, counted row by row by what the profile itself offers.
fn expected(rows: &[Row], windows: Windows) -> HashMap<(i64, Group), GroupSums> {
    let profile = profile();
    let mut sums: HashMap<(i64, Group), Vec<&Row>> = HashMap::new();
    for row in rows {
        let city =
            row.city.map_or("<null>", |city| if CITIES.contains(&city) { city } else { "<other>" });
        for window in windows.of(row.event.unwrap() * MICROS) {
            sums.entry((window, group(row, None))).or_default().push(row);
            sums.entry((window, group(row, Some(city)))).or_default().push(row);
        }
    }
    let of = |rows: Vec<&Row>| {
        let columns = profile.columns.iter().map(|column| {
            let (cells, numbers) = match &column.shape {
                Shape::Numeric(shape) => {
                    let finite = || rows.iter().filter_map(|row| row.x).filter(|x| x.is_finite());
                    let numbers = (finite().count() > 0).then(|| {
                        let ends = |f: fn(f64, f64) -> f64| finite().reduce(f).unwrap();
                        (finite().sum(), ends(f64::min), ends(f64::max))
                    });
                    (shape.bins.count(rows.iter().map(|row| row.x)).with_special(), numbers)
                }
                Shape::Categorical(shape) => {
                    (shape.categories.count(rows.iter().map(|row| row.city)).with_special(), None)
                }
                Shape::LeftOut(_) => unreachable!(),
            };
            ColumnSums { rows: rows.len() as u64, out_of_range: 0, numbers, cells }
        });
        GroupSums { rows: rows.len() as u64, columns: columns.collect() }
    };
    sums.into_iter().map(|(key, rows)| (key, of(rows))).collect()
}

fn near(a: &GroupSums, b: &GroupSums) -> bool {
    let strip = |sums: &GroupSums| {
        let mut sums = sums.clone();
        for column in &mut sums.columns {
            column.numbers = column.numbers.map(|(sum, min, max)| ((sum * 1e9).round(), min, max));
        }
        sums
    };
    strip(a) == strip(b)
}

#[test]
fn sums_of_panes_are_the_rows_counted_one_by_one() {
    let root = tempfile::tempdir().unwrap();
    let mut dice = Dice(1);
    let mut all = Vec::new();
    for file in 0..5 {
        let mut rows: Vec<Row> = (0..3000)
            .map(|_| HOUR + file * 900 + dice.below(1200).cast_signed())
            .collect::<Vec<_>>()
            .into_iter()
            .map(|event| dice.row(event))
            .collect();
        for (place, row) in rows.iter_mut().enumerate() {
            row.version = if place % 3 == 0 { "2" } else { "1" };
            row.arm = if place % 5 == 0 { "canary" } else { "stable" };
            row.city = match place % 40 {
                0 => None,
                1 => Some("Atlantis"),
                _ => row.city,
            };
        }
        archive(root.path(), (file % 2) as i32, &rows);
        all.extend(rows);
    }
    let mut counter = counter(root.path(), 60);
    assert_eq!(count(&mut counter).len(), 5);
    for (length, slide) in [(3600, 3600), (1800, 300)] {
        let windows = Windows::new(length, slide, 60).unwrap();
        let expected = expected(&all, windows);
        let mut wanted: Vec<i64> = expected.keys().map(|(window, _)| *window).collect();
        wanted.sort_unstable();
        for threads in [1, 3] {
            let found =
                sums(counter.counted(), counter.settings(), windows, &wanted, threads).unwrap();
            let found: HashMap<(i64, Group), GroupSums> = found
                .into_iter()
                .flat_map(|(window, groups)| {
                    groups.into_iter().map(move |(group, sums)| ((window, group), sums))
                })
                .collect();
            assert_eq!(found.len(), expected.len());
            for (key, sums) in &expected {
                assert!(near(&found[key], sums), "{key:?}: {:?} {sums:?}", found[key]);
            }
        }
    }
}

#[test]
fn absurd_times_have_panes_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let mut dice = Dice(2);
    let mut rows: Vec<Row> = (0..10).map(|second| dice.row(HOUR + second)).collect();
    rows[1].event = Some(0);
    rows[2].event = Some(HOUR + 100 * 86_400);
    rows[3].event = None;
    archive(root.path(), 0, &rows);
    let mut counter = counter(root.path(), 3600);
    let counted = count(&mut counter);
    let footer = &counted[0].footer;
    // Without an event time the record's own time is taken.
    assert_eq!((footer.early, footer.late, footer.untimed), (1, 1, 0));
    let twice = CountedRows::of(counted.iter().chain(&counted));
    assert_eq!(twice, CountedRows { rows: 20, early: 2, ahead: 2, untimed: 0 });
    assert_eq!(footer.first_pane_us, Some(HOUR * MICROS));
    assert_eq!(footer.last_pane_us, Some(HOUR * MICROS));
    let windows = Windows::new(3600, 3600, 3600).unwrap();
    let window = windows.of(HOUR * MICROS).start;
    let sums = sums(counter.counted(), counter.settings(), windows, &[window], 1).unwrap();
    assert_eq!(sums[&window][&group(&rows[0], None)].rows, 8);
    let late = |upto: &[(i32, i64)], judged: i64| {
        let upto = upto.iter().copied().collect();
        late_rows(counted.iter(), &upto, judged * MICROS).unwrap()
    };
    assert_eq!(ends(counted.iter()).into_iter().collect::<Vec<_>>(), [(0, 10)]);
    assert_eq!((late(&[(0, 0)], HOUR), late(&[(0, 0)], HOUR + 3600)), (0, 8));
    assert_eq!(late(&[(1, 7)], HOUR + 3600), 8, "a partition that is new");
    assert_eq!(late(&[(0, 10)], HOUR + 3600), 0, "counted when it was judged");
    assert_eq!(late(&[], HOUR + 3600), 0, "nobody knows");
}

#[test]
fn counts_of_something_else_are_made_again_and_old_ones_outlive_the_archive() {
    let root = tempfile::tempdir().unwrap();
    let mut dice = Dice(3);
    for _ in 0..3 {
        let rows: Vec<Row> = (0..100).map(|second| dice.row(HOUR + second)).collect();
        archive(root.path(), 0, &rows);
    }
    assert_eq!(count(&mut counter(root.path(), 60)).len(), 3);
    assert_eq!(count(&mut counter(root.path(), 60)).len(), 0, "they are there");
    assert_eq!(count(&mut counter(root.path(), 300)).len(), 3, "other panes");

    // The archive is made anew: same names, other rows.
    let folder = batch::topic_folder(root.path(), "results", "scored");
    std::fs::remove_dir_all(&folder).unwrap();
    for rows in [100, 150, 100] {
        let rows: Vec<Row> = (0..rows).map(|second| dice.row(HOUR + second)).collect();
        archive(root.path(), 0, &rows);
    }
    let mut again = counter(root.path(), 300);
    let made: Vec<i64> = count(&mut again).iter().map(|it| it.footer.source.start).collect();
    assert_eq!(made, [100, 250], "the first file covers the same offsets");

    // Retention takes the oldest file; its counts stay and are part of the whole.
    std::fs::remove_file(folder.join(format!("source_partition=0/{:020}.parquet", 0))).unwrap();
    let mut after = counter(root.path(), 300);
    assert_eq!(count(&mut after).len(), 0);
    assert_eq!(after.counted().map(|it| it.footer.source.rows).sum::<u64>(), 350);

    // A damaged one is made again.
    std::fs::write(after.folder().join(format!("source_partition=0/{:020}.parquet", 250)), "no")
        .unwrap();
    assert_eq!(count(&mut counter(root.path(), 300)).len(), 1);
}

/// Nobody can tell whether it is new or was left out on purpose: it is listed, and no alarm.
#[test]
fn a_field_that_the_profile_has_not_is_listed() {
    let text = r#"
        name = "c"
        fields = [
            { name = "id", type = "string", role = "key" },
            { name = "at", type = "timestamp", role = "event_time" },
            { name = "secret", type = "string", sensitive = "drop" },
            { name = "x", type = "float64" },
            { name = "city", type = "string" },
            { name = "wind", type = "float64" },
        ]
    "#;
    let contract = Contract::from_toml(text).unwrap();
    let listed = |columns: &[&str]| -> Vec<String> {
        let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
        let settings = Settings::new(profile(), Some(&contract), 60, &[], &columns).unwrap();
        settings.skipped.into_iter().map(|skipped| skipped.name).collect()
    };
    assert_eq!(listed(&[]), ["wind"]);
    assert_eq!(listed(&["x", "wind"]), ["wind"]);
    assert!(listed(&["x"]).is_empty(), "nobody asked for it");
}

/// A producer whose clock is off by more than is believed, all of it.
#[test]
fn events_ahead_of_their_scoring_hold_no_partition_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut dice = Dice(3);
    let rows: Vec<Row> = (0..50)
        .map(|at| Row { event: Some(at * 60 + 3 * HOUR), scored: at * 60, ..dice.row(HOUR) })
        .collect();
    archive(folder.path(), 0, &rows);
    let mut counter = counter(folder.path(), 60);
    let counted = count(&mut counter);
    assert_eq!(counted[0].footer.newest_event_us, Some(49 * 60 * MICROS), "scored then");
    assert_eq!(counted[0].footer.early + counted[0].footer.late, 50, "their pane is not believed");
}
