//! The archive on the real file system: rolling, racing, refusing.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

use super::chain::CHECKED_FILES;
use super::testing::{batch, config, offsets_of_file, rows, schema, table, topic};
use super::{Archive, ArchiveConfig, Table, TopicIdentity, carry_after};
use crate::error::{Remedy, StoreError};

fn open_with(
    config: ArchiveConfig,
    topic: TopicIdentity,
    table: Table,
) -> Result<Archive, StoreError> {
    Archive::open(config, topic, table, SystemTime::now())
}

fn open(root: &Path, instance: &str) -> Archive {
    open_with(config(root, instance), topic(), table()).unwrap()
}

fn file(root: &Path, partition: i32, start: i64) -> std::path::PathBuf {
    root.join(format!("results/scored/source_partition={partition}/{start:020}.parquet"))
}

/// Archives `offsets` of partition 0 as one file.
fn publish(root: &Path, offsets: std::ops::Range<i64>) {
    let mut archive = open(root, "setup");
    archive.position(0).unwrap();
    let _ = archive.append(&batch(0, offsets), Instant::now()).unwrap();
    assert_eq!(archive.finish().unwrap().published.len(), 1);
}

#[test]
fn rolls_by_rows_and_age_and_resumes_at_the_end() {
    let root = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let mut config = config(root.path(), "a");
    config.roll_rows = 10;
    let mut archive = open_with(config, topic(), table()).unwrap();
    assert_eq!(archive.position(0).unwrap(), None);
    let outcome = archive.append(&batch(0, 5..17), now).unwrap();
    assert_eq!((outcome.published[0].footer.start, outcome.published[0].footer.end), (0, 17));
    assert_eq!(outcome.published[0].bytes, fs::metadata(file(root.path(), 0, 0)).unwrap().len());
    assert!(archive.append(&batch(0, 20..22), now).unwrap().published.is_empty());
    assert_eq!(archive.next_due(), Some(now + Duration::from_secs(60)));
    assert!(archive.tick(now + Duration::from_secs(59)).unwrap().published.is_empty());
    archive.advance(0, 25, now).unwrap();
    let outcome = archive.tick(now + Duration::from_secs(60)).unwrap();
    assert_eq!((outcome.published[0].footer.start, outcome.published[0].footer.end), (17, 25));
    assert_eq!(offsets_of_file(&fs::read(file(root.path(), 0, 17)).unwrap()), [20, 21]);
    drop(archive);
    assert_eq!(open(root.path(), "b").position(0).unwrap(), Some(25));
    assert_eq!(fs::read_dir(root.path().join(".tidegate-tmp/results/scored")).unwrap().count(), 0);
}

#[test]
fn a_position_without_rows_is_carried_after_its_time() {
    let root = tempfile::tempdir().unwrap();
    publish(root.path(), 0..3);
    let (now, hour) = (Instant::now(), Duration::from_secs(3600));
    let mut archive = open(root.path(), "a");
    archive.position(0).unwrap();
    archive.advance(0, 9, now).unwrap();
    assert!(archive.tick(now + hour - Duration::from_secs(1)).unwrap().published.is_empty());
    let outcome = archive.tick(now + hour).unwrap();
    assert_eq!((outcome.published[0].footer.rows, outcome.published[0].footer.end), (0, 9));
    assert_eq!(open(root.path(), "b").position(0).unwrap(), Some(9));
    assert_eq!(carry_after(Some(Duration::from_secs(400))), Duration::from_secs(100));
    assert_eq!(carry_after(Some(hour * 1000)), hour);
}

#[test]
fn the_loser_of_a_race_goes_on_from_the_winners_end() {
    let root = tempfile::tempdir().unwrap();
    let now = Instant::now();
    let (mut a, mut b) = (open(root.path(), "a"), open(root.path(), "b"));
    for archive in [&mut a, &mut b] {
        assert_eq!(archive.position(0).unwrap(), None);
    }
    let _ = a.append(&batch(0, 0..10), now).unwrap();
    let _ = b.append(&batch(0, 0..25), now).unwrap();
    assert_eq!(a.revoke(&[0]).unwrap().published.len(), 1);
    let outcome = b.tick(now + Duration::from_secs(60)).unwrap();
    assert!(outcome.published.is_empty());
    assert_eq!((outcome.lost[0].partition, outcome.lost[0].position), (0, 10));
    assert!(matches!(b.append(&batch(0, 25..30), now), Err(StoreError::NotOpen { partition: 0 })));
    assert_eq!(b.position(0).unwrap(), Some(10));
    let _ = b.append(&batch(0, 10..25), now).unwrap();
    assert_eq!(b.finish().unwrap().published[0].footer.start, 10);
    assert_eq!(
        offsets_of_file(&fs::read(file(root.path(), 0, 10)).unwrap()),
        (10..25).collect::<Vec<_>>()
    );
}

#[test]
fn writers_that_hear_of_different_records_first_contend_for_one_name() {
    type First = fn(&mut Archive, Instant);
    let firsts: [First; 4] = [
        |archive, now| drop(archive.append(&batch(0, 0..10), now).unwrap()),
        |archive, now| drop(archive.append(&batch(0, 7..12), now).unwrap()),
        |archive, now| {
            archive.advance(0, 4, now).unwrap();
            drop(archive.append(&batch(0, 5..8), now).unwrap());
        },
        |archive, now| archive.advance(0, 9, now).unwrap(),
    ];
    let now = Instant::now();
    for (winner, loser) in firsts.iter().flat_map(|a| firsts.iter().map(move |b| (a, b))) {
        let root = tempfile::tempdir().unwrap();
        let (mut a, mut b) = (open(root.path(), "a"), open(root.path(), "b"));
        for (archive, first) in [(&mut a, winner), (&mut b, loser)] {
            assert_eq!(archive.position(0).unwrap(), None);
            first(archive, now);
        }
        let won = a.finish().unwrap().published.remove(0).footer;
        assert_eq!(won.start, 0);
        let outcome = b.finish().unwrap();
        assert_eq!((outcome.published.len(), outcome.lost[0].position), (0, won.end));
        assert_eq!(open(root.path(), "c").position(0).unwrap(), Some(won.end));
    }
}

#[test]
fn records_before_the_end_are_refused_and_close_nothing() {
    let root = tempfile::tempdir().unwrap();
    publish(root.path(), 0..3);
    let mut archive = open(root.path(), "a");
    archive.position(0).unwrap();
    let refused = archive.append(&batch(0, 2..5), Instant::now()).unwrap_err();
    assert!(matches!(refused, StoreError::Behind { offset: 2, end: 3, .. }));
    let _ = archive.append(&batch(0, 3..5), Instant::now()).unwrap();
}

#[test]
fn what_does_not_belong_is_named() {
    type Spoil = fn(&Path);
    let cases: [(Spoil, &str); 6] = [
        (
            |root| fs::write(file(root, 0, 0).with_file_name("part-0.parquet"), "x").unwrap(),
            "part-0.parquet",
        ),
        (
            |root| fs::write(root.join("results/scored/stray.parquet"), "x").unwrap(),
            "stray.parquet",
        ),
        (
            |root| fs::write(file(root, 0, 10), "no parquet at all").unwrap(),
            "10.parquet: it does not end",
        ),
        (
            |root| {
                let whole = fs::read(file(root, 0, 0)).unwrap();
                fs::write(file(root, 0, 0), &whole[..whole.len() - 9]).unwrap();
            },
            "torn",
        ),
        (
            |root| {
                fs::copy(file(root, 0, 0), file(root, 0, 10)).unwrap();
            },
            "renamed or copied",
        ),
        (
            |root| {
                publish(root, 10..20);
                publish(root, 20..30);
                fs::remove_file(file(root, 0, 10)).unwrap();
            },
            "a file is missing",
        ),
    ];
    for (spoil, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        publish(root.path(), 0..10);
        spoil(root.path());
        let opened = open_with(config(root.path(), "a"), topic(), table());
        let error = opened.and_then(|mut archive| archive.position(0)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error} should say {expected}");
        assert_eq!(error.remedy(), Remedy::Stop);
    }
}

#[test]
fn opening_reads_the_newest_files_only() {
    let root = tempfile::tempdir().unwrap();
    let mut archive = open(root.path(), "setup");
    let files = CHECKED_FILES as i64 + 1;
    for at in 0..files {
        archive.position(0).unwrap();
        let _ = archive.append(&batch(0, at..at + 1), Instant::now()).unwrap();
        let _ = archive.finish().unwrap();
    }
    fs::write(file(root.path(), 0, 0), "no parquet at all").unwrap();
    assert_eq!(open(root.path(), "a").position(0).unwrap(), Some(files));
    fs::write(file(root.path(), 0, 1), "no parquet at all").unwrap();
    assert!(open(root.path(), "a").position(0).is_err());
}

#[test]
fn a_topic_made_anew_is_refused() {
    let root = tempfile::tempdir().unwrap();
    publish(root.path(), 0..10);
    let anew = TopicIdentity { topic_id: "t2".into(), ..topic() };
    let error =
        open_with(config(root.path(), "a"), anew, table()).unwrap().position(0).unwrap_err();
    assert!(error.to_string().contains("topic id `t1`, and now it is `t2`"), "{error}");
}

#[test]
fn an_added_nullable_column_is_taken_and_a_changed_type_is_not() {
    let root = tempfile::tempdir().unwrap();
    publish(root.path(), 0..10);
    let widened = |name: &str, nullable: bool| {
        let mut fields: Vec<_> = schema().fields().iter().cloned().collect();
        fields.retain(|field| field.name() != name);
        fields.push(Arc::new(Field::new(name, DataType::Int32, nullable)));
        let schema = Arc::new(Schema::new(fields));
        let of = schema.clone();
        Table::new(schema, "wider", move |batch| {
            let narrow = rows(batch);
            let column = |field: &Arc<Field>| match field.data_type() {
                DataType::Int32 => Arc::new(Int32Array::from(vec![7; batch.len()])) as ArrayRef,
                _ => narrow.column_by_name(field.name()).unwrap().clone(),
            };
            RecordBatch::try_new(of.clone(), of.fields().iter().map(column).collect()).unwrap()
        })
    };
    let mut archive = open_with(config(root.path(), "a"), topic(), widened("added", true)).unwrap();
    assert_eq!(archive.position(0).unwrap(), Some(10));
    let _ = archive.append(&batch(0, 10..12), Instant::now()).unwrap();
    assert_eq!(archive.finish().unwrap().published[0].footer.contract_id, "wider");
    let changed = open_with(config(root.path(), "a"), topic(), widened("value", true));
    let error = changed.unwrap().position(0).unwrap_err();
    assert!(
        matches!(error, StoreError::Schema { .. }) && error.to_string().contains("\"value\""),
        "{error}"
    );
}

#[test]
fn a_gap_is_accepted_only_by_name_and_recorded() {
    let root = tempfile::tempdir().unwrap();
    publish(root.path(), 0..10);
    let mut archive = open(root.path(), "a");
    archive.position(0).unwrap();
    assert!(archive.accept_gap(0, 10, "nothing is missing").is_err());
    let outcome = archive.accept_gap(0, 50, "retention").unwrap();
    assert_eq!((outcome.published[0].footer.start, outcome.published[0].footer.end), (10, 50));
    assert_eq!(open(root.path(), "b").position(0).unwrap(), Some(50));
    let _ = archive.append(&batch(0, 50..51), Instant::now()).unwrap();
}

#[test]
fn temporaries_are_swept_by_owner_and_age() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(".tidegate-tmp/results/scored");
    fs::create_dir_all(&folder).unwrap();
    let names = ["0-00000000000000000000.a.0f.tmp", "0-00000000000000000000.b.0f.tmp", "notes.txt"];
    names.iter().for_each(|name| fs::write(folder.join(name), "x").unwrap());
    let left = |now| {
        drop(Archive::open(config(root.path(), "a"), topic(), table(), now).unwrap());
        names.map(|name| folder.join(name).exists())
    };
    let now = SystemTime::now();
    assert_eq!(left(now), [false, true, true]);
    assert_eq!(left(now + Duration::from_secs(25 * 3600)), [false, false, true]);
}

#[test]
fn open_row_groups_are_written_out_before_they_pass_the_bound() {
    let root = tempfile::tempdir().unwrap();
    let mut config = config(root.path(), "a");
    (config.row_group_bytes, config.open_bytes) = (64 << 10, 100 << 10);
    let mut archive = open_with(config, topic(), table()).unwrap();
    (0..4).for_each(|partition| assert_eq!(archive.position(partition).unwrap(), None));
    for at in 0..100 {
        for partition in 0..4 {
            let some = batch(partition, at * 1000..(at + 1) * 1000);
            assert!(archive.append(&some, Instant::now()).unwrap().published.is_empty());
            assert!(archive.memory_bytes() <= 100 << 10, "{}", archive.memory_bytes());
        }
    }
    assert_eq!(archive.unpublished_rows(), 400_000);
    assert_eq!(archive.finish().unwrap().published.len(), 4);
}

#[test]
fn settings_that_cannot_hold_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let spoilt: [fn(&mut ArchiveConfig); 4] = [
        |config| config.roll_rows = 0,
        |config| config.open_bytes = 0,
        |config| config.stale_after = config.roll_age,
        |config| config.table = "../elsewhere".into(),
    ];
    for spoil in spoilt {
        let mut config = config(root.path(), "a");
        spoil(&mut config);
        let error = open_with(config, topic(), table()).err().expect("refused");
        assert!(matches!(error, StoreError::Config { .. }), "{error}");
    }
}
