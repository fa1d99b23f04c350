//! Rounds on the model file system: whatever fails, whoever dies, the newest record names whole files
//! that hold exactly the rows up to its position.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::testing::{TOPIC, config};
use super::*;
use crate::files::model::{Disk, ModelFiles};
use crate::positions::Coordinates;

/// No folder of this machine, of which spilled sorts are removed.
const ROOT: &str = "/tidegate-model";
const ROUNDS: i64 = 6;
const ROWS_A_ROUND: i64 = 40;

#[derive(Clone, Debug)]
enum Action {
    Start,
    Round,
    /// The process dies after so many more calls.
    Kill(u64),
    Crash,
    /// One call in so many fails; 0 for none.
    Faults(u64),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => Just(Action::Start),
        10 => Just(Action::Round),
        4 => (0_u64..60).prop_map(Action::Kill),
        2 => Just(Action::Crash),
        2 => prop_oneof![Just(0), 4_u64..60].prop_map(Action::Faults),
    ];
    proptest::collection::vec(action, 1..40)
}

struct World {
    disk: Arc<Mutex<Disk>>,
    process: Option<Compaction>,
    calls_left: Arc<AtomicU64>,
    /// Up to where some process was told that all is compacted.
    promised: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        let (process, calls_left) = (None, Arc::default());
        Self { disk: Disk::new(seed), process, calls_left, promised: 0 }
    }

    fn act(&mut self, action: &Action) {
        match *action {
            Action::Start => self.start(),
            Action::Round => {
                let Some(mut process) = self.process.take() else { return };
                if self.round(&mut process).map_err(|error| only_io(&error)).is_ok() {
                    self.process = Some(process);
                }
            }
            Action::Kill(calls) => self.calls_left.store(calls, Ordering::Relaxed),
            Action::Crash => {
                self.process = None;
                self.disk.lock().unwrap().crash();
            }
            Action::Faults(one_in) => self.disk.lock().unwrap().set_faults(one_in),
        }
    }

    fn start(&mut self) {
        self.process = None;
        let files = ModelFiles::new(&self.disk);
        self.calls_left = files.calls_left();
        let files: Arc<dyn Files> = Arc::new(files);
        let folders = Folders::of(Path::new(ROOT), "results", TOPIC);
        let config = config(Path::new(ROOT));
        let begun = folders.make(&*files).and_then(|()| {
            let record = opened(&*files, &folders, &config)?;
            let _lock = tempfile::tempfile().unwrap();
            let mut process = Compaction { files, config, folders, record, _lock };
            process.begin()?;
            Ok(process)
        });
        self.process = begun.map_err(|error| only_io(&error)).ok();
        if let Some(process) = &self.process {
            assert!(upto(&process.record) >= self.promised, "a promise was forgotten");
        }
    }

    /// What [`Compaction::round`] does with rows at hand.
    fn round(&mut self, process: &mut Compaction) -> Result<(), StoreError> {
        let from = upto(&process.record);
        if from == ROUNDS * ROWS_A_ROUND {
            return Ok(());
        }
        let to = from + ROWS_A_ROUND;
        let (rows, before) = rows(from..to);
        let next = process.record.generation + 1;
        // Small files: several a day.
        let (files, folders) = (&process.files, &process.folders);
        let mut writer = Writer::new(files, folders, next, rows.schema(), vec![], 1);
        (0..4).try_for_each(|part| writer.write(&rows.slice(part * 10, 10)))?;
        let written = writer.finish()?;
        let mut next = process.record.clone();
        next.upto.insert(0, to);
        let read = |path: &Path, into: &mut Positions| {
            let content = self.content(path);
            into_positions(&content, into);
            Ok(())
        };
        commit::commit(files, folders, &mut next, written, &before, &read)?;
        process.record = next;
        self.promised = to;
        record::sweep(&*process.files, &process.folders.records)
    }

    fn content(&self, path: &Path) -> Vec<u8> {
        let files = self.disk.lock().unwrap().files();
        files.into_iter().find(|(have, _)| have == path).expect("it is named").1
    }

    /// What any reader sees now.
    fn check(&self) {
        let folders = Folders::of(Path::new(ROOT), "results", TOPIC);
        let files = self.disk.lock().unwrap().files();
        let record = files.iter().rev().find(|(path, _)| path.starts_with(&folders.records));
        let Some((_, text)) = record else {
            assert_eq!(self.promised, 0);
            return;
        };
        let record: Record = serde_json::from_slice(text).expect("a record is whole");
        let (mut found, expected) = (Positions::default(), rows(0..upto(&record)).1);
        for file in &record.files {
            let path: PathBuf = folders.data.join(&file.path);
            into_positions(&self.content(&path), &mut found);
        }
        assert_eq!(found, expected);
        assert!(upto(&record) >= self.promised);
    }
}

fn upto(record: &Record) -> i64 {
    record.upto.get(&0).copied().unwrap_or(0)
}

/// Rows of these positions, of a day each thirty.
fn rows(positions: std::ops::Range<i64>) -> (arrow::array::RecordBatch, Positions) {
    rows_of(positions, 30)
}

/// Rows of these positions, of a day each `a_day`.
fn rows_of(positions: std::ops::Range<i64>, a_day: i64) -> (arrow::array::RecordBatch, Positions) {
    use arrow::array::{Int32Array, Int64Array, TimestampMicrosecondArray};
    let offset = Int64Array::from_iter_values(positions.clone());
    let partition = Int32Array::from_iter_values(positions.clone().map(|_| 0));
    let times = positions.map(|at| at / a_day * testing::DAY);
    let times = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let mut found = Positions::default();
    found.add(&Coordinates {
        partition: partition.clone(),
        offset: offset.clone(),
        input_partition: None,
        input_offset: None,
    });
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(partition), Arc::new(offset), Arc::new(times.clone()), Arc::new(times)];
    (arrow::array::RecordBatch::try_new(testing::schema(false), columns).unwrap(), found)
}

fn into_positions(content: &[u8], into: &mut Positions) {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.parquet");
    std::fs::write(&copy, content).unwrap();
    commit::of_file(&copy, into).expect("a named file is whole");
}

/// Under faults calls fail; what is on the disk is never found wrong.
fn only_io(error: &StoreError) {
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}

#[test]
fn killed_at_every_call_of_a_round() {
    for calls in 0..80 {
        for seed in 1..=3 {
            let mut world = World::new(seed * 0x9E37_79B9);
            world.act(&Action::Start);
            world.act(&Action::Round);
            world.act(&Action::Kill(calls));
            world.act(&Action::Round);
            world.check();
            world.act(&Action::Crash);
            world.check();
            world.act(&Action::Start);
            world.act(&Action::Round);
            world.check();
        }
    }
}

/// Calls with which a round of so many days is published.
fn calls(days: i64) -> u64 {
    let mut world = World::new(1);
    world.act(&Action::Start);
    let process = world.process.take().expect("nothing fails");
    let (rows, before) = rows_of(0..days, 1);
    let (files, folders) = (&process.files, &process.folders);
    let next = process.record.generation + 1;
    let mut writer = Writer::new(files, folders, next, rows.schema(), vec![], 1);
    writer.write(&rows).unwrap();
    let written = writer.finish().unwrap();
    assert_eq!(written.len() as i64, days);
    let mut next = process.record.clone();
    next.upto.insert(0, days);
    let read = |path: &Path, into: &mut Positions| {
        into_positions(&world.content(path), into);
        Ok(())
    };
    let left = || world.calls_left.load(Ordering::Relaxed);
    let had = left();
    commit::commit(files, folders, &mut next, written, &before, &read).unwrap();
    had - left()
}

#[test]
fn a_day_more_is_a_folder_and_a_name_and_syncs_nothing_above() {
    // The folder and its name in the one above, the file's name, the folder's content.
    assert_eq!(calls(20) - calls(10), 10 * 4);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_record_names_exactly_its_rows(seed in any::<u64>(), actions in actions()) {
        let mut world = World::new(seed);
        for action in &actions {
            world.act(action);
            world.check();
        }
        world.act(&Action::Faults(0));
        world.act(&Action::Start);
        for _ in 0..ROUNDS {
            world.act(&Action::Round);
        }
        world.check();
        // A round that published its record and could not say so was never promised, and is done.
        let reached = world.process.as_ref().map(|process| upto(&process.record));
        prop_assert_eq!(reached, Some(ROUNDS * ROWS_A_ROUND));
    }
}
