//! Every position an archive folder holds, for `tidegate verify`: footers and coordinates only.
//!
//! Files are read one after the other, four columns of them, in batches of [`BATCH_ROWS`]: memory
//! does not grow with the archive. Each file is held against its own footer on the way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use schemas::{CHECKSUM_SEED, FooterPosition, offsets_checksum};

use crate::archive::{follow, parse_partition, partition_files, read_footer};
use crate::error::StoreError;
use crate::files::{self, Files};

/// Rows handed over at a time.
pub const BATCH_ROWS: usize = 64 << 10;

const PARTITION: &str = "partition";
const OFFSET: &str = "offset";
const INPUT_PARTITION: &str = "input_partition";
const INPUT_OFFSET: &str = "input_offset";

/// What a scan comes across, in order: a file, then its rows.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A published file and what it covers.
    File(&'a Path, &'a FooterPosition),
    /// Some of its rows.
    Rows(&'a Coordinates),
}

/// Coordinates of rows: where they lie in the archived topic, and where their input lay.
#[derive(Debug)]
pub struct Coordinates {
    /// Partition of the archived topic.
    pub partition: Int32Array,
    /// Offset in it.
    pub offset: Int64Array,
    /// Partition of the input; null in rows that could not be decoded.
    pub input_partition: Option<Int32Array>,
    /// Offset of the input; null in rows that could not be decoded.
    pub input_offset: Option<Int64Array>,
}

/// Position of each partition after the last file of `folder`, having shown every file and row.
///
/// Files that begin below `floors` have expired, and lie there because somebody was killed: they are passed over.
/// A hole between two files, a torn or foreign file, or rows that contradict their footer are
/// errors.
pub fn scan(
    folder: &Path,
    floors: &BTreeMap<i32, i64>,
    seen: &mut dyn FnMut(Seen<'_>),
) -> Result<BTreeMap<i32, i64>, StoreError> {
    let files = files::of(folder)?;
    let mut ends = BTreeMap::new();
    for (partition, dir) in partition_folders(&*files, folder)? {
        let mut end = None;
        let floor = floors.get(&partition).copied().unwrap_or(0);
        let lying = partition_files(&*files, &dir)?.into_iter();
        for (_, path) in lying.filter(|(start, _)| *start >= floor) {
            let footer = read_footer(&*files, &path)?.position;
            end = Some(follow(end, &footer, &path)?);
            seen(Seen::File(&path, &footer));
            scan_file(&path, &footer, seen)?;
        }
        ends.extend(end.map(|end| (partition, end)));
    }
    Ok(ends)
}

fn partition_folders(files: &dyn Files, folder: &Path) -> Result<Vec<(i32, PathBuf)>, StoreError> {
    let entries = files.list(folder).map_err(|e| StoreError::io("list", folder, e))?;
    let named = entries.iter().filter_map(|entry| Some((parse_partition(&entry.name)?, entry)));
    let mut found: Vec<_> =
        named.map(|(number, entry)| (number, folder.join(&entry.name))).collect();
    found.sort_unstable();
    Ok(found)
}

/// Shows the rows of one archive file, and holds them against its footer.
pub(crate) fn scan_file(
    path: &Path,
    footer: &FooterPosition,
    seen: &mut dyn FnMut(Seen<'_>),
) -> Result<(), StoreError> {
    let file = files::open(path)?;
    let (mut rows, mut checksum) = (0, CHECKSUM_SEED);
    coordinates(file, path, &mut |coordinates| {
        rows += coordinates.offset.len() as u64;
        checksum = offsets_checksum(checksum, coordinates.offset.values().iter().copied());
        seen(Seen::Rows(coordinates));
    })?;
    if (rows, checksum) != (footer.rows, footer.checksum) {
        return Err(StoreError::Foreign {
            path: path.to_path_buf(),
            reason: format!("its {rows} rows are not the {} its footer was made for", footer.rows),
        });
    }
    Ok(())
}

/// Shows the coordinates of every row of `source`, which lies at `path`.
pub(crate) fn coordinates(
    source: impl ChunkReader + 'static,
    path: &Path,
    each: &mut dyn FnMut(&Coordinates),
) -> Result<(), StoreError> {
    let failed = |e| StoreError::parquet("read", path, e);
    let builder = ParquetRecordBatchReaderBuilder::try_new(source).map_err(failed)?;
    let wanted = [PARTITION, OFFSET, INPUT_PARTITION, INPUT_OFFSET];
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    let reader =
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(failed)?;
    for batch in reader {
        let batch = batch.map_err(|e| failed(e.into()))?;
        let coordinates = Coordinates::of(&batch).ok_or_else(|| StoreError::Foreign {
            path: path.to_path_buf(),
            reason: format!("it has no columns `{PARTITION}` (int32) and `{OFFSET}` (int64)"),
        })?;
        each(&coordinates);
    }
    Ok(())
}

impl Coordinates {
    fn of(batch: &RecordBatch) -> Option<Self> {
        let int32 = |name| batch.column_by_name(name)?.as_primitive_opt::<Int32Type>().cloned();
        let int64 = |name| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>().cloned();
        let (partition, offset): (Int32Array, Int64Array) = (int32(PARTITION)?, int64(OFFSET)?);
        (partition.null_count() + offset.null_count() == 0).then(|| Self {
            partition,
            offset,
            input_partition: int32(INPUT_PARTITION),
            input_offset: int64(INPUT_OFFSET),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::*;
    use crate::archive::testing::{batch, config, table, topic};
    use crate::archive::{Archive, topic_folder};

    #[test]
    fn every_row_is_seen_once_behind_its_file() {
        let root = tempfile::tempdir().unwrap();
        let mut archive =
            Archive::open(config(root.path(), "a"), topic(), table(), SystemTime::now()).unwrap();
        for (partition, offsets) in [(2, 0..5), (10, 3..4), (2, 7..9)] {
            archive.position(partition).unwrap();
            let _ = archive.append(&batch(partition, offsets), Instant::now()).unwrap();
            let _ = archive.finish().unwrap();
        }
        let folder = topic_folder(root.path(), "results", "scored");
        let (mut files, mut rows) = (Vec::new(), Vec::new());
        let ends = scan(&folder, &BTreeMap::new(), &mut |seen| match seen {
            Seen::File(_, footer) => files.push((footer.partition, footer.start, footer.end)),
            Seen::Rows(some) => {
                let pairs = some.partition.values().iter().zip(some.offset.values());
                rows.extend(pairs.map(|(partition, offset)| (*partition, *offset)));
                assert!(some.input_offset.is_none());
            }
        });
        assert_eq!(ends.unwrap(), BTreeMap::from([(2, 9), (10, 4)]));
        assert_eq!(files, [(2, 0, 5), (2, 5, 9), (10, 0, 4)]);
        assert_eq!(rows, [(2, 0), (2, 1), (2, 2), (2, 3), (2, 4), (2, 7), (2, 8), (10, 3)]);

        std::fs::remove_file(folder.join(format!("source_partition=2/{:020}.parquet", 0))).unwrap();
        assert_eq!(
            scan(&folder, &BTreeMap::new(), &mut |_| ()).unwrap()[&2],
            9,
            "what was removed in front is no hole"
        );
    }
}
