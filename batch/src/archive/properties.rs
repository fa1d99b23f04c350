//! How rows are encoded: chosen by Arrow type, since this crate knows no column by name.

use arrow::datatypes::{DataType, Schema};
use parquet::basic::{self, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};

/// How pages are compressed. `examples/archive_rate.rs` says what each costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// LZ4 blocks (`LZ4_RAW`): for files whose writer is in a hurry.
    Lz4,
    /// Zstandard, level 1: for files that stay.
    Zstd,
}

const ZSTD_LEVEL: i32 = 1;

impl Compression {
    /// Bytes that a column of an open row group holds beside its accounted pages, at most: the codec's
    /// context, which for zstd grows with the largest page. Seen with one partition of 27 columns; with
    /// more partitions it was less, and of LZ4 never more than 12 KiB.
    pub(super) const fn context_bytes(self) -> usize {
        match self {
            Self::Lz4 => 64 << 10,
            Self::Zstd => 640 << 10,
        }
    }

    fn codec(self) -> basic::Compression {
        match self {
            Self::Lz4 => basic::Compression::LZ4_RAW,
            Self::Zstd => {
                basic::Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL).expect("level 1 exists"))
            }
        }
    }
}

/// A page's rows and bytes.
const PAGE_ROWS: usize = 8_192;
const PAGE_BYTES: usize = 64 << 10;

/// Bytes of a page of a file that is read as a whole: compressing a small one costs as much again for its
/// tables.
const SCANNED_PAGE_BYTES: usize = 512 << 10;

/// For files that are read as a whole, as a job's output is: one page a column and row group, or few.
pub(crate) fn scanned_properties(schema: &Schema, row_group_rows: usize) -> WriterProperties {
    writer_properties(schema, row_group_rows, Compression::Zstd)
        .into_builder()
        .set_data_page_row_count_limit(row_group_rows)
        .set_data_page_size_limit(SCANNED_PAGE_BYTES)
        .build()
}

/// For tables in which few rows are looked up, by their pages' bounds.
pub(crate) fn writer_properties(
    schema: &Schema,
    row_group_rows: usize,
    compression: Compression,
) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("tidegate {}", env!("CARGO_PKG_VERSION")))
        .set_compression(compression.codec())
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_dictionary_page_size_limit(PAGE_BYTES)
        .set_max_row_group_row_count(Some(row_group_rows));
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        builder = match field.data_type() {
            DataType::Utf8 => builder.set_column_dictionary_enabled(column, true),
            DataType::Int64 | DataType::Timestamp(_, _) => {
                builder.set_column_encoding(column, Encoding::DELTA_BINARY_PACKED)
            }
            // Bytes are undecodable records and dead letters: no two alike, bounds useless.
            DataType::Binary => {
                builder.set_column_statistics_enabled(column, EnabledStatistics::None)
            }
            _ => builder,
        };
    }
    builder.build()
}
