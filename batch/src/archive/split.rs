//! Rows of one micro-batch, taken apart by partition with their order kept.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use schemas::Record;

/// The rows of one partition.
pub(super) struct Part {
    pub(super) partition: i32,
    /// Offsets of the rows, ascending.
    pub(super) offsets: Vec<i64>,
    pub(super) rows: RecordBatch,
}

/// Parts in ascending partition order. A partition whose rows lie together is a slice without a
/// copy, which is what a broker's fetches give; one that is interleaved is gathered.
pub(super) fn by_partition(records: &[Record], rows: &RecordBatch) -> Vec<Part> {
    let mut by: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
    for (row, record) in records.iter().enumerate() {
        by.entry(record.partition).or_default().push(row as u32);
    }
    by.into_iter()
        .map(|(partition, indices)| {
            let offsets = indices.iter().map(|row| records[*row as usize].offset).collect();
            Part { partition, offsets, rows: gather(rows, indices) }
        })
        .collect()
}

fn gather(rows: &RecordBatch, indices: Vec<u32>) -> RecordBatch {
    let (first, last) = (indices[0] as usize, indices[indices.len() - 1] as usize);
    if last - first + 1 == indices.len() {
        return rows.slice(first, indices.len());
    }
    take_record_batch(rows, &UInt32Array::from(indices)).expect("indices lie in the batch")
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn interleaved_and_adjacent_rows_keep_their_order() {
        let mut batch = schemas::MicroBatch::with_capacity("t".into(), 0, 0);
        for (partition, offset) in [(1, 5), (0, 9), (1, 6), (2, 0), (2, 1)] {
            batch.push(partition, offset, 0, None, None).unwrap();
        }
        let rows = testing::rows(&batch);
        let parts = by_partition(batch.records(), &rows);
        let seen: Vec<_> = parts.iter().map(|p| (p.partition, p.offsets.clone())).collect();
        assert_eq!(seen, [(0, vec![9]), (1, vec![5, 6]), (2, vec![0, 1])]);
        for part in &parts {
            assert_eq!(testing::offsets(&part.rows), part.offsets);
        }
    }
}
