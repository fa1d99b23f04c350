//! The proof: every input position counted in the output topic, the dead letters and Parquet.
//!
//! It reads what any reader would read (`read_committed`, published files) and trusts no state of
//! the pipeline. Memory: a few bits per position of the input and output topics.

mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use arrow::array::Array as _;
use batch::compact::Snapshot;
use batch::positions::{self, Coordinates, Seen};
use batch::source::is_folder;
use batch::{TopicIdentity, topic_folder};
use ingest::{AdminError, Connection, PartitionInfo, ScanConfig, Stop, TopicInfo, scan};
use schemas::{MicroBatch, Offsets, Tally, dead_letter_coordinates, source_coordinates};

pub(crate) use report::{ArchiveReport, Verdict};

use crate::hops::identity;
use crate::pipeline::ASK;
use crate::progress::Progress;

/// What is to be proved.
pub(crate) struct Claim {
    pub(crate) connection: Connection,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) dead_letters: String,
    /// Group under which the input's offsets are committed; `None` where the broker cannot tell.
    pub(crate) group: Option<String>,
    /// The archived topics: results, dead letters, labels.
    pub(crate) archives: Vec<Archived>,
}

/// An archived topic and the folder of the tables.
pub(crate) struct Archived {
    pub(crate) table: &'static str,
    pub(crate) topic: String,
    pub(crate) root: PathBuf,
}

/// A topic as it was read: its log, and the positions that hold a record.
struct Log {
    info: TopicInfo,
    exists: Tally,
}

/// Counts everything the claim names.
pub(crate) fn verify(claim: &Claim) -> anyhow::Result<Verdict> {
    let input_info = describe(claim, &claim.input)?;
    // Asked before the outputs are read: what is committed now must be in them.
    let committed = committed(claim, &input_info)?;
    let mut seen = Tally::new(&extents(&input_info));
    let input = read(claim, input_info, |_, _| {})?;
    let mut foreign = 0u64;
    let mut count = |topic: &str, partition, offset| {
        if topic == claim.input { seen.add(partition, offset) } else { foreign += 1 }
    };
    let mut unreadable = 0u64;
    let output = read(claim, describe(claim, &claim.output)?, |batch, row| {
        match batch.value(row).and_then(source_coordinates) {
            Some(at) => count(&at.topic, at.partition, at.offset),
            None => unreadable += 1,
        }
    })?;
    let dead = read(claim, describe(claim, &claim.dead_letters)?, |batch, row| {
        match dead_letter_coordinates(batch, row) {
            Some(at) => count(&at.topic, at.partition, at.offset),
            None => unreadable += 1,
        }
    })?;
    let (mut archives, mut absent) = (Vec::new(), Vec::new());
    for archived in &claim.archives {
        let theirs;
        let log = if archived.topic == claim.output {
            &output
        } else if archived.topic == claim.dead_letters {
            &dead
        } else {
            // Others write it: it is counted against its archive, and is nobody's output.
            let info = match ingest::topic_info(&claim.connection, &archived.topic, ASK) {
                Err(AdminError::NoTopic(_)) if !is_folder(&folder(archived))? => {
                    absent.push(archived.topic.clone());
                    continue;
                }
                info => info?,
            };
            theirs = read(claim, info, |_, _| {})?;
            &theirs
        };
        // Rows whose record retention has taken from the topic stand for it, compacted ones where
        // expiry has taken the others.
        let report = archive(archived, log, |partition, offset| seen.add(partition, offset))?;
        archives.push(report);
    }
    let topics = seen.against(&input.exists, &committed);
    Ok(Verdict {
        input: claim.input.clone(),
        records: topics.expected,
        results: output.exists.seen(),
        dead_letters: dead.exists.seen(),
        foreign,
        unreadable,
        retained_from: input.info.partitions.iter().map(|each| each.low as u64).sum(),
        topics,
        absent,
        archives,
    })
}

fn describe(claim: &Claim, topic: &str) -> anyhow::Result<TopicInfo> {
    Ok(ingest::topic_info(&claim.connection, topic, ASK)?)
}

/// Positions the group has committed; empty where it is not known.
fn committed(claim: &Claim, input: &TopicInfo) -> anyhow::Result<BTreeMap<i32, i64>> {
    let Some(group) = &claim.group else { return Ok(BTreeMap::new()) };
    let partitions: Vec<i32> = input.partitions.iter().map(|each| each.partition).collect();
    let known = ingest::committed(&claim.connection, group, &claim.input, &partitions, ASK)
        .with_context(|| format!("asking for the committed offsets of group {group}"))?;
    Ok(from_the_low(known, input))
}

/// Positions reached, where a partition without one is at the beginning of its log.
fn from_the_low(mut reached: BTreeMap<i32, i64>, topic: &TopicInfo) -> BTreeMap<i32, i64> {
    for each in &topic.partitions {
        reached.entry(each.partition).or_insert(each.low);
    }
    reached
}

fn extents(info: &TopicInfo) -> Offsets {
    let mut extents = Offsets::new();
    for each in &info.partitions {
        extents.append(each.partition, each.low..each.high).expect("one extent a partition");
    }
    extents
}

/// Reads a topic up to the end it had when it was described.
fn read(
    claim: &Claim,
    info: TopicInfo,
    mut each: impl FnMut(&MicroBatch, usize),
) -> anyhow::Result<Log> {
    let extents = extents(&info);
    let mut exists = Tally::new(&extents);
    let total: i64 = extents.iter().map(|(_, extent)| extent.end - extent.start).sum();
    let mut progress = Progress::start("positions", Some(total as u64));
    let config = ScanConfig::new(claim.connection.clone(), &info.topic);
    scan::scan(&config, &Stop::new(), |batch| {
        for (row, record) in batch.records().iter().enumerate() {
            // What came since the topic was described is the next run's.
            if extents.get(record.partition).is_some_and(|extent| record.offset < extent.end) {
                exists.add(record.partition, record.offset);
                each(&batch, row);
            }
        }
        progress.add(batch.len() as u64);
        Ok(())
    })?;
    progress.finish();
    Ok(Log { info, exists })
}

/// Where the files of an archived topic lie.
fn folder(of: &Archived) -> PathBuf {
    topic_folder(&of.root, of.table, &of.topic)
}

/// Counts an archive's rows against the records of its topic.
fn archive(
    archived: &Archived,
    log: &Log,
    mut taken_by_retention: impl FnMut(i32, i64),
) -> anyhow::Result<ArchiveReport> {
    let at = |of: fn(&PartitionInfo) -> i64| -> BTreeMap<i32, i64> {
        log.info.partitions.iter().map(|each| (each.partition, of(each))).collect()
    };
    let (low, high) = (at(|each| each.low), at(|each| each.high));
    let is_older = |partition, offset| offset < low.get(&partition).copied().unwrap_or(0);
    let (mut rows, mut older, mut newer) = (Tally::new(&extents(&log.info)), 0u64, 0u64);
    let (mut files, mut of_another, mut first) = (0u64, 0u64, BTreeMap::new());
    let (folder, topic) = (folder(archived), identity(&log.info));
    let compacted = || Snapshot::read(&archived.root, archived.table, &archived.topic);
    let floors = compacted()?.map(|before| before.expired().clone()).unwrap_or_default();
    let ends = match is_folder(&folder)? {
        false => BTreeMap::new(),
        true => positions::scan(&folder, &floors, &mut |seen| match seen {
            Seen::File(_, footer) => {
                files += 1;
                of_another += u64::from(topic.difference(&TopicIdentity::from(footer)).is_some());
                first.entry(footer.partition).or_insert(footer.start);
            }
            Seen::Rows(at) => each_row(at, |partition, offset, input| {
                if is_older(partition, offset) {
                    older += 1;
                    if let Some((from, at)) = input {
                        taken_by_retention(from, at);
                    }
                } else if offset >= high.get(&partition).copied().unwrap_or(i64::MAX) {
                    // Written after the topic was described; the next run counts it.
                    newer += 1;
                } else {
                    rows.add(partition, offset);
                }
            }),
        })?,
    };
    // Read after the files: expiry says what it takes before it takes it.
    let compacted = compacted()?;
    let (mut expired, mut rows_expired) = (0, 0);
    if let Some(compacted) = compacted.filter(|compacted| !compacted.expired().is_empty()) {
        expired = unseen_below(log, &rows, compacted.expired());
        // No more of them than the topic has lost, too.
        rows_expired = compacted.rows_expired().min(low.values().map(|low| *low as u64).sum());
        compacted.scan(&mut |at| {
            each_row(at, |partition, offset, input| {
                let is_gone = first.get(&partition).is_none_or(|first| offset < *first);
                if let Some((from, at)) = input.filter(|_| is_gone && is_older(partition, offset)) {
                    taken_by_retention(from, at);
                }
            });
        })?;
    }
    let difference = rows.against(&log.exists, &from_the_low(ends, &log.info));
    Ok(ArchiveReport {
        table: archived.table.into(),
        files,
        of_another,
        rows: difference.found + older,
        newer,
        expired,
        rows_expired,
        difference,
    })
}

/// Partition, offset and the coordinates of the input, where there are any, of each row.
fn each_row(rows: &Coordinates, mut each: impl FnMut(i32, i64, Option<(i32, i64)>)) {
    let input = |row: usize| {
        let (from, at) = (rows.input_partition.as_ref()?, rows.input_offset.as_ref()?);
        (from.is_valid(row) && at.is_valid(row)).then(|| (from.value(row), at.value(row)))
    };
    (0..rows.offset.len())
        .for_each(|row| each(rows.partition.value(row), rows.offset.value(row), input(row)));
}

/// Records of `log` below these positions that were not seen.
fn unseen_below(log: &Log, seen: &Tally, below: &BTreeMap<i32, i64>) -> u64 {
    let of = |each: &PartitionInfo| {
        let partition = each.partition;
        let extent = each.low..below.get(&partition).copied().unwrap_or(each.low);
        let unseen = extent
            .filter(|at| log.exists.count(partition, *at) > 0 && seen.count(partition, *at) == 0);
        unseen.count() as u64
    };
    log.info.partitions.iter().map(of).sum()
}
