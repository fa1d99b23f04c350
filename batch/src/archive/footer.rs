//! Reading back what a published file says of itself. Never panics, whatever the bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use schemas::{FOOTER_POSITION_KEY, FooterPosition};

use crate::error::StoreError;
use crate::files::Files;

const MAGIC: &[u8; 4] = b"PAR1";
/// Length of the metadata and the magic, at a file's end.
const TAIL_BYTES: usize = 8;
/// Read from the end at first: most footers whole, and not much more than they are.
const GUESS_BYTES: usize = 32 << 10;
/// Our footers take some 200 bytes a column and row group: 16 MiB is far above a thousand columns.
const FOOTER_LIMIT_BYTES: usize = 16 << 20;

/// A file's footer, checked against itself.
#[derive(Clone, Debug)]
pub(crate) struct Footer {
    pub(crate) position: FooterPosition,
    pub(crate) schema: SchemaRef,
}

/// Reads and checks the footer of `path`; any fault names the file.
pub(crate) fn read_footer(files: &dyn Files, path: &Path) -> Result<Footer, StoreError> {
    let foreign = |reason: String| StoreError::Foreign { path: path.to_path_buf(), reason };
    let io = |error| StoreError::io("read", path, error);
    let (len, end) = files.tail(path, GUESS_BYTES).map_err(io)?;
    if len < (MAGIC.len() + TAIL_BYTES) as u64 {
        return Err(foreign(format!("{len} bytes are no Parquet file")));
    }
    let (end, tail) = end.split_at(end.len() - TAIL_BYTES);
    let (size, magic) = tail.split_at(4);
    if magic != MAGIC {
        return Err(foreign("it does not end as a Parquet file: torn or not Parquet".into()));
    }
    let size = u32::from_le_bytes(size.try_into().expect("four bytes")) as usize;
    let body = len - TAIL_BYTES as u64;
    if size > FOOTER_LIMIT_BYTES || size as u64 > body - MAGIC.len() as u64 {
        return Err(foreign(format!("its footer claims {size} bytes of {len}: torn")));
    }
    let start = body - size as u64;
    match end.len().checked_sub(size) {
        Some(at) => parse(&end[at..], start),
        None => parse(&files.read(path, start, size).map_err(io)?, start),
    }
    .map_err(foreign)
}

fn parse(bytes: &[u8], data_end: u64) -> Result<Footer, String> {
    // The thrift reader is not ours: a panic in it is a damaged file, not the end of the process.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(bytes)));
    let (metadata, schema) = decoded.unwrap_or_else(|_| Err("its footer is damaged".into()))?;
    let file = metadata.file_metadata();
    let stored = file.key_value_metadata().and_then(|pairs| {
        pairs
            .iter()
            .find(|pair| pair.key == FOOTER_POSITION_KEY)
            .and_then(|pair| pair.value.as_deref())
    });
    let position = FooterPosition::from_json(stored).map_err(|error| error.to_string())?;
    let rows: i64 =
        metadata.row_groups().iter().map(|group| group.num_rows()).fold(0, i64::saturating_add);
    if file.num_rows() != rows || u64::try_from(rows) != Ok(position.rows) {
        return Err(format!(
            "its position counts {} rows, its row groups {rows}, its footer {}",
            position.rows,
            file.num_rows()
        ));
    }
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let end = start.checked_add(column.compressed_size());
        let inside = start >= 4 && end.is_some_and(|end| end >= start && end as u64 <= data_end);
        if !inside {
            return Err("a column lies outside of it: torn".into());
        }
    }
    Ok(Footer { position, schema: Arc::new(schema) })
}

fn decode(bytes: &[u8]) -> Result<(ParquetMetaData, Schema), String> {
    let metadata = ParquetMetaDataReader::decode_metadata(bytes)
        .map_err(|e| format!("its footer is damaged: {e}"))?;
    let file = metadata.file_metadata();
    let schema = parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
        .map_err(|e| format!("its schema is damaged: {e}"))?;
    Ok((metadata, schema))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::OnceLock;
    use std::time::{Instant, SystemTime};

    use proptest::prelude::*;

    use super::super::{Archive, testing};
    use super::*;
    use crate::files::LocalFiles;

    fn whole() -> &'static [u8] {
        static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
        WHOLE.get_or_init(|| {
            let root = tempfile::tempdir().unwrap();
            let config = testing::config(root.path(), "a");
            let mut archive =
                Archive::open(config, testing::topic(), testing::table(), SystemTime::now())
                    .unwrap();
            archive.position(0).unwrap();
            let _ = archive.append(&testing::batch(0, 0..50), Instant::now()).unwrap();
            fs::read(&archive.finish().unwrap().published[0].path).unwrap()
        })
    }

    fn read(bytes: &[u8]) -> Result<Footer, StoreError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        fs::write(&path, bytes).unwrap();
        read_footer(&LocalFiles, &path)
    }

    #[test]
    fn any_truncation_is_seen() {
        assert_eq!(read(whole()).unwrap().position.rows, 50);
        for len in 0..whole().len() {
            let error = read(&whole()[..len]).unwrap_err();
            assert!(matches!(error, StoreError::Foreign { .. }), "{len}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn damaged_bytes_never_panic(
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
            near_end in any::<bool>(),
        ) {
            let mut bytes = whole().to_vec();
            let from = if near_end { bytes.len() - 8 } else { 0 };
            for (at, byte) in changes {
                let at = from + at.index(bytes.len() - from);
                bytes[at] = byte;
            }
            if let Err(error) = read(&bytes) {
                prop_assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
            }
        }
    }
}
