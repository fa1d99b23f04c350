//! Expiry: what goes, what stays, and writers that were away meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use super::*;
use crate::archive::{Archive, Lost};
use crate::compact::testing::{records, writer};
use crate::positions;

/// Everything may go that is old.
pub(super) fn expiry<'a>(days: i64, originals: i64) -> Expiry<'a> {
    Expiry {
        older_than_us: Some(days * DAY),
        originals_older_than_us: Some(originals * DAY),
        keep_events_from_us: None,
        may_go: &|_| Ok(true),
        dry_run: false,
    }
}

/// Three partitions, each a file a day.
pub(super) fn ten_days(root: &Path) {
    for day in 100..110 {
        for partition in 0..3 {
            archive(root, partition, true, &[(day, Some(day as f64)), (day, None)]);
        }
    }
}

#[test]
fn what_is_old_goes_and_the_newest_file_stays() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    ten_days(root);
    run(root);
    let all = everything(root);
    let dry = Expiry { dry_run: true, ..expiry(103, 106) };
    let would = open(root).expire(&dry).unwrap();
    assert_eq!((everything(root), lying(&root.join("results"))), (all.clone(), 30));

    let went = open(root).expire(&expiry(103, 106)).unwrap();
    assert_eq!(went, would);
    // Files of the days before 106 are compacted, and rows of those before 103 are old.
    assert_eq!((went.archive.files, went.compacted.rows), (18, 18));
    assert_eq!(lying(&root.join("results")), 12);
    assert_eq!(everything(root)[..2], [42, 42]);
    let snapshot = Snapshot::read(root, "results", TOPIC).unwrap().unwrap();
    assert_eq!(snapshot.expired(), &[(0, 12), (1, 12), (2, 12)].into());
    assert_eq!(snapshot.rows_expired(), 18);
    assert_eq!(open(root).expire(&expiry(103, 106)).unwrap(), Expired::default());

    // Of what is older than everything each partition's newest file stays, and archiving goes on.
    open(root).expire(&expiry(1000, 1000)).unwrap();
    assert_eq!((lying(&root.join("results")), everything(root)[0]), (3, 0));
    archive(root, 1, true, &days(111, 5));
    assert_eq!(everything(root)[..2], [5, 5]);
    assert_eq!(run(root).read.rows, 5);
    assert_eq!(everything(root)[..2], [5, 5]);
}

#[test]
fn what_is_old_need_not_be_compacted_first() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    ten_days(root);
    let went = open(root).expire(&expiry(104, 1000)).unwrap();
    assert_eq!((went.archive.rows, went.compacted.rows), (24, 0), "what is not compacted stays");
    assert_eq!(everything(root)[..2], [36, 36]);
    assert_eq!(run(root).read.rows, 36);
    assert_eq!(everything(root)[..2], [36, 36]);
}

#[test]
fn what_is_not_counted_or_waits_for_labels_stays() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    ten_days(root);
    run(root);
    // Partition 1 is counted up to position 4, the others wholly.
    let counted = |footer: &schemas::FooterPosition| Ok(footer.partition != 1 || footer.end <= 4);
    let went = open(root).expire(&Expiry { may_go: &counted, ..expiry(0, 106) }).unwrap();
    assert_eq!((went.archive.files, went.kept.uncounted), (6 + 2 + 6, 1));
    // Events from day 102 on wait for labels: in one of both tables they stay.
    let waiting = Expiry { keep_events_from_us: Some(102 * DAY), ..expiry(106, 0) };
    let went = open(root).expire(&waiting).unwrap();
    assert_eq!((went.compacted.rows, went.kept.unlabelled), (12, 4));
    assert_eq!(everything(root)[..2], [48, 48]);
}

/// A writer that holds rows from the start of partition 0, as one that is frozen, while another writes `files`
/// of five rows each.
fn away(root: &Path, files: i64) -> Archive {
    let mut away = writer(root, "away", true);
    assert_eq!(away.position(0).unwrap(), None);
    let _ = away.append(&records(0, 0, &days(100, 12)), Instant::now()).unwrap();
    (0..files).for_each(|day| archive(root, 0, true, &days(100 + day, 5)));
    away
}

#[test]
fn a_writer_that_was_away_does_not_take_a_name_that_expiry_freed() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let mut away = away(root, 3);
    let went = open(root).expire(&expiry(102, 102)).unwrap();
    assert_eq!((went.archive.files, lying(&root.join("results"))), (2, 1));
    let outcome = away.revoke(&[0]).unwrap();
    assert_eq!(outcome.published.len(), 0);
    assert_eq!(outcome.lost, [Lost { partition: 0, position: 15 }]);
    assert_eq!((lying(&root.join("results")), everything(root)[0]), (1, 5));
    assert_eq!(away.position(0).unwrap(), Some(15));
}

#[test]
fn what_lies_below_what_has_expired_is_ignored_and_goes() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let _away = away(root, 3);
    let folder = root.join("results").join(TOPIC).join("source_partition=0");
    let first = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let copy = root.join("copy");
    fs::copy(&first, &copy).unwrap();
    let _ = open(root).expire(&expiry(102, 102)).unwrap();
    // As if it had been killed before it removed the file.
    fs::copy(&copy, &first).unwrap();
    assert_eq!((lying(&root.join("results")), everything(root)[0]), (2, 5));
    assert_eq!(writer(root, "next", true).position(0).unwrap(), Some(15));
    let before = Snapshot::read(root, "results", TOPIC).unwrap().unwrap();
    assert_eq!(open(root).pending().unwrap().rows, 5);
    let table = root.join("results").join(TOPIC);
    let mut files = 0;
    let ends = positions::scan(&table, before.expired(), &mut |seen| {
        files += u32::from(matches!(seen, Seen::File(..)));
    });
    assert_eq!((ends.unwrap(), files), (BTreeMap::from([(0, 15)]), 1));
    let _ = open(root).expire(&expiry(102, 102)).unwrap();
    assert_eq!((lying(&root.join("results")), everything(root)[0]), (1, 5));
    let after = Snapshot::read(root, "results", TOPIC).unwrap().unwrap();
    assert_eq!((before.expired(), before.rows_expired()), (after.expired(), after.rows_expired()));
}

#[test]
fn an_archive_whose_newest_file_is_gone_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    ten_days(root);
    let _ = open(root).expire(&expiry(104, 104)).unwrap();
    fs::remove_dir_all(root.join("results").join(TOPIC).join("source_partition=0")).unwrap();
    let error = writer(root, "next", true).position(0).unwrap_err().to_string();
    assert!(error.contains("up to 8 have expired"), "{error}");
    assert_eq!(writer(root, "next", true).position(1).unwrap(), Some(20));
}
