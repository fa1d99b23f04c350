//! The files of a partition as one chain: each starts where the one before it ends.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use arrow::datatypes::Schema;
use schemas::FooterPosition;

use super::config::TopicIdentity;
use super::footer::read_footer;
use super::layout;
use crate::error::StoreError;
use crate::files::Files;

/// Files of a partition folder in order of their starts; anything else that a reader would take
/// for a part of the table is refused.
pub(crate) fn partition_files(
    files: &dyn Files,
    dir: &Path,
) -> Result<Vec<(i64, PathBuf)>, StoreError> {
    let mut found = Vec::new();
    for entry in files.list(dir).map_err(|e| StoreError::io("list", dir, e))? {
        let path = dir.join(&entry.name);
        match layout::parse_start(&entry.name) {
            Some(start) => found.push((start, path)),
            None if layout::looks_like_data(&entry.name) => {
                let reason = "tidegate did not publish a file of this name".into();
                return Err(StoreError::Foreign { path, reason });
            }
            None => {}
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Refuses data files that lie beside the partition folders.
pub(super) fn refuse_stray_files(files: &dyn Files, folder: &Path) -> Result<(), StoreError> {
    for entry in files.list(folder).map_err(|e| StoreError::io("list", folder, e))? {
        if layout::looks_like_data(&entry.name) {
            let reason = "a data file lies outside the partition folders".into();
            return Err(StoreError::Foreign { path: folder.join(&entry.name), reason });
        }
    }
    Ok(())
}

/// Files of a partition that are checked when it is opened, the newest: each is a read, in an object store
/// a request, and the group waits meanwhile. `tidegate verify` reads all of them.
pub(super) const CHECKED_FILES: usize = 64;

/// Checks the newest files of `partition` from `floor` on and returns the end of the newest: what lies below
/// has expired, and is there because somebody was killed.
pub(super) fn load(
    files: &dyn Files,
    dir: &Path,
    partition: i32,
    floor: i64,
    topic: &TopicIdentity,
    schema: &Schema,
) -> Result<Option<i64>, StoreError> {
    let mut end = None;
    let mut known = HashSet::new();
    let mut found = partition_files(files, dir)?;
    found.retain(|(start, _)| *start >= floor);
    found.drain(..found.len().saturating_sub(CHECKED_FILES));
    for (start, path) in found {
        let footer = read_footer(files, &path)?;
        check_belongs(&footer.position, &path, start, partition, topic)?;
        if known.insert(footer.position.contract_id.clone()) {
            schemas::compatible(&footer.schema, schema)
                .map_err(|reason| StoreError::Schema { path: path.clone(), reason })?;
        }
        end = Some(follow(end, &footer.position, &path)?);
    }
    if end.is_none() && floor > 0 {
        // Expiry never takes a partition's newest file.
        let reason = format!(
            "positions up to {floor} have expired, and no file holds those behind; put the newest file back, \
             or name a new table in the configuration"
        );
        return Err(StoreError::Place { path: dir.to_path_buf(), reason });
    }
    Ok(end)
}

/// The end of the chain after `next`, which must touch it.
pub(crate) fn follow(
    end: Option<i64>,
    next: &FooterPosition,
    path: &Path,
) -> Result<i64, StoreError> {
    match end {
        Some(previous_end) if previous_end != next.start => {
            Err(StoreError::Chain { path: path.to_path_buf(), start: next.start, previous_end })
        }
        _ => Ok(next.end),
    }
}

fn check_belongs(
    position: &FooterPosition,
    path: &Path,
    start: i64,
    partition: i32,
    topic: &TopicIdentity,
) -> Result<(), StoreError> {
    if position.start != start || position.partition != partition || position.end == position.start
    {
        let reason = format!(
            "its footer says partition {}, positions {}..{}: it was renamed or copied here",
            position.partition, position.start, position.end
        );
        return Err(StoreError::Foreign { path: path.to_path_buf(), reason });
    }
    let archived = TopicIdentity::from(position);
    if let Some((what, found, expected)) = archived.difference(topic) {
        let (found, expected) = (found.to_owned(), expected.to_owned());
        return Err(StoreError::Identity { path: path.to_path_buf(), what, found, expected });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use schemas::{CHECKSUM_SEED, FOOTER_FORMAT};

    use super::*;

    fn position(start: i64, end: i64) -> FooterPosition {
        FooterPosition {
            format: FOOTER_FORMAT,
            cluster_id: "c".into(),
            topic: "t".into(),
            topic_id: "i".into(),
            partition: 0,
            start,
            end,
            rows: 0,
            checksum: CHECKSUM_SEED,
            contract_id: "k".into(),
        }
    }

    #[test]
    fn only_touching_files_are_a_chain() {
        for (end, start, touches) in
            [(None, 5, true), (Some(5), 5, true), (Some(5), 6, false), (Some(5), 4, false)]
        {
            let next = follow(end, &position(start, 9), Path::new("f"));
            assert_eq!(next.is_ok(), touches, "{end:?} then {start}");
        }
    }

    #[test]
    fn a_file_of_another_topic_or_place_is_refused() {
        let topic = |cluster: &str, id: &str| TopicIdentity {
            cluster_id: cluster.into(),
            topic: "t".into(),
            topic_id: id.into(),
        };
        let check = |start, partition, topic: &TopicIdentity| {
            check_belongs(&position(5, 9), Path::new("f"), start, partition, topic)
        };
        check(5, 0, &topic("c", "i")).unwrap();
        check(5, 0, &topic("c", "")).expect("a broker that tells no topic id is believed");
        assert!(matches!(check(6, 0, &topic("c", "i")), Err(StoreError::Foreign { .. })));
        assert!(matches!(check(5, 1, &topic("c", "i")), Err(StoreError::Foreign { .. })));
        for changed in [topic("other", "i"), topic("c", "other")] {
            assert!(matches!(check(5, 0, &changed), Err(StoreError::Identity { .. })));
        }
    }
}
