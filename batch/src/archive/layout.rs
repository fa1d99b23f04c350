//! Names: where a table, a partition, a published file and a temporary lie.
//!
//! Temporaries lie beside the tables, not in them, so that every reader may take a table's folder
//! as it is. Their names hold the instance and a random part.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::StoreError;
use crate::files::Files;

const PARTITION_KEY: &str = "source_partition=";
const EXTENSION: &str = ".parquet";
const START_DIGITS: usize = 20;
const TEMPORARIES: &str = ".tidegate-tmp";
const TEMPORARY_EXTENSION: &str = ".tmp";
/// Kafka's limit for a topic name; a table name is a folder too.
const NAME_LIMIT: usize = 249;

/// The folder of a table of one topic: what readers are pointed at.
#[must_use]
pub fn topic_folder(root: &Path, table: &str, topic: &str) -> PathBuf {
    root.join(table).join(topic)
}

pub(crate) fn partition_folder(topic_folder: &Path, partition: i32) -> PathBuf {
    topic_folder.join(format!("{PARTITION_KEY}{partition}"))
}

pub(crate) fn temporary_folder(root: &Path, table: &str, topic: &str) -> PathBuf {
    root.join(TEMPORARIES).join(table).join(topic)
}

/// The partition that a folder name stands for.
pub(crate) fn parse_partition(name: &str) -> Option<i32> {
    let number = name.strip_prefix(PARTITION_KEY)?;
    number.parse().ok().filter(|partition: &i32| *partition >= 0 && partition.to_string() == number)
}

pub(crate) fn file_name(start: i64) -> String {
    format!("{start:0START_DIGITS$}{EXTENSION}")
}

/// The start that a file name stands for.
pub(crate) fn parse_start(name: &str) -> Option<i64> {
    let digits = name.strip_suffix(EXTENSION)?;
    let plain = digits.len() == START_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// Whether a reader that globs would take this file as part of the table.
pub(super) fn looks_like_data(name: &str) -> bool {
    name.ends_with(EXTENSION) && !name.starts_with(['.', '_'])
}

pub(crate) fn temporary_name(partition: i32, start: i64, instance: &str) -> String {
    let random = RandomState::new().build_hasher().finish();
    format!(
        "{partition}-{start:0START_DIGITS$}.{}.{random:016x}{TEMPORARY_EXTENSION}",
        plain(instance)
    )
}

fn instance_of(temporary: &str) -> Option<&str> {
    let mut parts = temporary.strip_suffix(TEMPORARY_EXTENSION)?.split('.');
    let (_, instance, _) = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(instance)
}

fn plain(instance: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    instance.chars().take(100).map(keep).collect()
}

/// Refuses a name that would not stay one folder below its parent.
pub(crate) fn check_name(key: &'static str, name: &str) -> Result<(), StoreError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty()
        || name.len() > NAME_LIMIT
        || name.starts_with('.')
        || !name.bytes().all(legal)
    {
        return Err(StoreError::Config {
            key,
            value: format!("{name:?}"),
            expected: "1 to 249 of A-Z a-z 0-9 . _ -, not beginning with a dot",
        });
    }
    Ok(())
}

/// Removes temporaries that no live writer holds.
pub(crate) fn sweep(
    files: &dyn Files,
    folder: &Path,
    instance: &str,
    stale_after: Duration,
    now: SystemTime,
) -> Result<(), StoreError> {
    let entries = files.list(folder).map_err(|e| StoreError::io("list", folder, e))?;
    let own = plain(instance);
    for entry in entries {
        let Some(writer) = instance_of(&entry.name) else { continue };
        let age = now.duration_since(entry.modified).unwrap_or_default();
        if writer != own && age < stale_after {
            continue;
        }
        let path = folder.join(&entry.name);
        tracing::info!(path = %path.display(), "removing a temporary that was left behind");
        match files.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", &path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_sort_as_their_starts_and_come_back() {
        for start in [0, 7, 1_000_000, i64::MAX] {
            assert_eq!(parse_start(&file_name(start)), Some(start));
        }
        assert!(file_name(9) < file_name(10));
        for foreign in [
            "0.parquet",
            "part-00000000000000000.parquet",
            "+0000000000000000001.parquet",
            "99999999999999999999.parquet",
            "00000000000000000001.parq",
            "00000000000000000001",
        ] {
            assert_eq!(parse_start(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn partition_folders_come_back() {
        for (name, expected) in [
            ("source_partition=0", Some(0)),
            ("source_partition=12", Some(12)),
            ("source_partition=-1", None),
            ("source_partition=01", None),
            ("source_partition=x", None),
            ("partition=1", None),
        ] {
            assert_eq!(parse_partition(name), expected, "{name}");
        }
    }

    #[test]
    fn a_temporary_names_its_instance_whatever_that_is_called() {
        for (instance, expected) in [("host-1", "host-1"), ("a.b/c é", "a_b_c__")] {
            let name = temporary_name(3, 17, instance);
            assert_eq!(instance_of(&name), Some(expected));
            assert_ne!(name, temporary_name(3, 17, instance), "the random part differs");
        }
        assert_eq!(instance_of("notes.txt"), None);
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "é"] {
            assert!(check_name("topic", bad).is_err(), "{bad:?}");
        }
        check_name("topic", "flights.scored-v2_x").unwrap();
    }
}
