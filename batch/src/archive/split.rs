//! Rows of one micro-batch, taken apart by partition with their order kept.

use std::collections::BTreeMap;
use std::ops::Range;

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
    let mut runs: BTreeMap<i32, Vec<Range<usize>>> = BTreeMap::new();
    let mut start = 0;
    for run in records.chunk_by(|a, b| a.partition == b.partition) {
        let end = start + run.len();
        runs.entry(run[0].partition).or_default().push(start..end);
        start = end;
    }
    runs.into_iter()
        .map(|(partition, runs)| {
            let offsets = runs.iter().flat_map(|run| &records[run.clone()]);
            let offsets = offsets.map(|record| record.offset).collect();
            Part { partition, offsets, rows: gather(rows, &runs) }
        })
        .collect()
}

fn gather(rows: &RecordBatch, runs: &[Range<usize>]) -> RecordBatch {
    if let [run] = runs {
        return rows.slice(run.start, run.len());
    }
    let indices = runs.iter().flat_map(|run| run.start as u32..run.end as u32);
    let indices = UInt32Array::from_iter_values(indices);
    take_record_batch(rows, &indices).expect("indices lie in the batch")
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
