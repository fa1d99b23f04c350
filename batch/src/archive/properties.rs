//! How rows are encoded: chosen by Arrow type, since this crate knows no column by name.

use arrow::datatypes::{DataType, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// The budget of hop 2 counts on level 1; `examples/archive_rate.rs` says what it costs here.
const ZSTD_LEVEL: i32 = 1;

/// A page's rows and bytes. A column's zstd context grows with the largest page it has compressed, and
/// every column of every open partition has one.
const PAGE_ROWS: usize = 8_192;
const PAGE_BYTES: usize = 64 << 10;

pub(crate) fn writer_properties(schema: &Schema, row_group_rows: usize) -> WriterProperties {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("level 1 exists");
    let mut builder = WriterProperties::builder()
        .set_created_by(format!("tidegate {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(level))
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
