//! What `verify` found, for people and for scripts, and the exit code that follows.

use std::fmt;

use schemas::Difference;
use serde::Serialize;

use crate::exit::Exit;

/// The outcome of a verification.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// Input topic.
    pub(crate) input: String,
    /// Records in the input.
    pub(crate) records: u64,
    /// Records in the output topic.
    pub(crate) results: u64,
    /// Records in the dead-letter topic.
    pub(crate) dead_letters: u64,
    /// Records of the output topics that come from another input topic.
    pub(crate) foreign: u64,
    /// Records of the output topics that name no source: not ours, or damaged.
    pub(crate) unreadable: u64,
    /// Input positions that retention has taken, counted from zero.
    pub(crate) retained_from: u64,
    /// Input positions against those found in output and dead letters; those from the committed
    /// position on are waiting.
    pub(crate) topics: Difference,
    /// Topics of others that do not exist yet, and nothing of them is archived.
    pub(crate) absent: Vec<String>,
    /// Output positions against Parquet rows.
    pub(crate) archives: Vec<ArchiveReport>,
}

/// One table against its topic.
#[derive(Debug)]
pub(crate) struct ArchiveReport {
    pub(crate) table: String,
    pub(crate) files: u64,
    /// Files among them whose rows are of a topic that had this name before, or of another cluster's.
    pub(crate) of_another: u64,
    /// Rows that stand for records, those that retention has taken from the topic included.
    pub(crate) rows: u64,
    /// Rows of records that came after the topic was described.
    pub(crate) newer: u64,
    /// Records in the topic whose rows expiry has taken.
    pub(crate) expired: u64,
    /// Rows that expiry has taken and no other table holds, of records that the topic may have lost.
    pub(crate) rows_expired: u64,
    /// Records from the archive's end on are waiting.
    pub(crate) difference: Difference,
}

impl Verdict {
    /// 0 only when each record is there exactly once; 4 when nothing is wrong and something could
    /// not be checked.
    pub(crate) fn exit(&self) -> Exit {
        let lost = |difference: &Difference, excused| difference.missing.count > excused;
        let is_lost = lost(&self.topics, self.rows_expired())
            || self.archives.iter().any(|each| lost(&each.difference, each.expired));
        let archived = self.archives.iter().map(|each| &each.difference);
        let is_mixed = self.archives.iter().any(|each| each.of_another > 0);
        if is_lost || is_mixed || self.unreadable > 0 || archived.chain([&self.topics]).any(is_more)
        {
            return Exit::NotExactlyOnce;
        }
        let unchecked = self.all_waiting() > 0
            || self.retained_from > 0
            || self.topics.missing.count > 0
            || !self.absent.is_empty()
            || self.archives.iter().any(|each| each.expired > 0);
        if unchecked { Exit::Unchecked } else { Exit::Fine }
    }

    /// Input records at most that nothing can tell of: expired, and their results out of the topic.
    fn rows_expired(&self) -> u64 {
        self.archives.iter().map(|each| each.rows_expired).sum()
    }

    /// Records that are still to come, in the topics or in a table.
    pub(crate) fn all_waiting(&self) -> u64 {
        let archived = self.archives.iter().map(|each| each.difference.waiting.count);
        self.topics.waiting.count + archived.sum::<u64>()
    }

    /// The verdict as a script reads it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        #[derive(Serialize)]
        struct Findings {
            missing: u64,
            doubled: u64,
            unexpected: u64,
            outside: u64,
        }
        let findings = |difference: &Difference| Findings {
            missing: difference.missing.count,
            doubled: difference.doubled.count,
            unexpected: difference.unexpected.count,
            outside: difference.outside.count,
        };
        let archives: Vec<_> = self
            .archives
            .iter()
            .map(|each| {
                serde_json::json!({
                    "table": each.table, "files": each.files, "rows": each.rows,
                    "files_of_another_topic": each.of_another,
                    "newer": each.newer, "waiting": each.difference.waiting.count,
                    "positions_taken_by_expiry": each.expired,
                    "findings": findings(&each.difference),
                })
            })
            .collect();
        serde_json::json!({
            "exactly_once": self.exit() == Exit::Fine,
            "exit_code": self.exit() as u8,
            "input": self.input,
            "records": self.records,
            "results": self.results,
            "dead_letters": self.dead_letters,
            "foreign": self.foreign,
            "unreadable": self.unreadable,
            "positions_taken_by_retention": self.retained_from,
            "waiting": self.topics.waiting.count,
            "absent": self.absent,
            "findings": findings(&self.topics),
            "archives": archives,
        })
    }
}

/// More than there should be: doubled or unexpected.
fn is_more(difference: &Difference) -> bool {
    difference.doubled.count + difference.unexpected.count > 0
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "input         {} records in {}", self.records, self.input)?;
        writeln!(out, "results       {} records", self.results)?;
        writeln!(out, "dead letters  {} records", self.dead_letters)?;
        for (what, finding) in [
            ("lost", &self.topics.missing),
            ("doubled", &self.topics.doubled),
            ("unexpected", &self.topics.unexpected),
        ] {
            if finding.count > 0 {
                writeln!(out, "{what:<12}  {finding}")?;
            }
        }
        for each in &self.archives {
            writeln!(
                out,
                "{:<12}  {} rows in {} Parquet files",
                each.table, each.rows, each.files
            )?;
            if each.of_another > 0 {
                writeln!(
                    out,
                    "{:<12}  {} of these files are of a topic that had this name before, or of another cluster",
                    each.table, each.of_another
                )?;
            }
            let missing = match each.expired {
                0 => "lost",
                expired if each.difference.missing.count > expired => "lost, or taken by expiry",
                _ => "taken by expiry",
            };
            for (what, finding) in [
                (missing, &each.difference.missing),
                ("doubled", &each.difference.doubled),
                ("unexpected", &each.difference.unexpected),
            ] {
                if finding.count > 0 {
                    writeln!(out, "{:<12}  {what}: {finding}", each.table)?;
                }
            }
            if each.difference.waiting.count > 0 {
                let waiting = &each.difference.waiting;
                writeln!(out, "{:<12}  not archived yet: {waiting}", each.table)?;
            }
        }
        if self.unreadable > 0 {
            writeln!(out, "unreadable    {} records name no source", self.unreadable)?;
        }
        if self.foreign > 0 {
            writeln!(out, "foreign       {} records come from another input topic", self.foreign)?;
        }
        if self.topics.waiting.count > 0 {
            writeln!(out, "waiting       not scored yet: {}", self.topics.waiting)?;
        }
        for topic in &self.absent {
            writeln!(out, "unchecked     topic {topic:?} does not exist yet")?;
        }
        if self.topics.missing.count > 0 && self.rows_expired() > 0 {
            writeln!(
                out,
                "unchecked     up to {} of the lost may have been taken by retention and expiry",
                self.rows_expired()
            )?;
        }
        if self.retained_from > 0 {
            writeln!(
                out,
                "unchecked     {} input positions were taken by retention",
                self.retained_from
            )?;
        }
        match self.exit() {
            Exit::Fine => write!(out, "every record is there exactly once"),
            Exit::Unchecked => write!(out, "nothing is wrong, but not everything could be checked"),
            _ => write!(out, "NOT exactly once"),
        }
    }
}
