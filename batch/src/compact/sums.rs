//! Which positions some rows hold, whatever their order: what compaction compares before and after.

use std::collections::BTreeMap;

use crate::positions::Coordinates;

/// Rows and a sum over their positions, by partition.
///
/// The sum is of 64 bits a position, mixed so that a row in the place of another, or one twice and
/// another not at all, leaves another sum but for one case in 2⁶⁴.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions(BTreeMap<i32, (u64, u64)>);

impl Positions {
    pub(super) fn add(&mut self, rows: &Coordinates) {
        for (partition, offset) in rows.partition.values().iter().zip(rows.offset.values()) {
            let (rows, sum) = self.0.entry(*partition).or_default();
            *rows += 1;
            *sum = sum.wrapping_add(mixed(*offset as u64));
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.0.values().map(|(rows, _)| rows).sum()
    }
}

/// SplitMix64's last step: every bit of the answer depends on every bit of the number.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int32Array, Int64Array};

    use super::*;

    fn of(rows: &[(i32, i64)]) -> Positions {
        let mut positions = Positions::default();
        positions.add(&Coordinates {
            partition: Int32Array::from_iter_values(rows.iter().map(|row| row.0)),
            offset: Int64Array::from_iter_values(rows.iter().map(|row| row.1)),
            input_partition: None,
            input_offset: None,
        });
        positions
    }

    #[test]
    fn order_does_not_matter_and_everything_else_does() {
        let rows = of(&[(0, 1), (0, 2), (1, 2)]);
        assert_eq!(rows, of(&[(1, 2), (0, 2), (0, 1)]));
        assert_eq!(rows.rows(), 3);
        for other in [
            &[(0, 1), (0, 2)][..],
            &[(0, 1), (0, 2), (1, 3)],
            &[(0, 1), (1, 2), (1, 2)],
            &[(0, 0), (0, 3), (1, 2)],
            &[(0, 1), (0, 2), (1, 2), (1, 2)],
        ] {
            assert_ne!(rows, of(other), "{other:?}");
        }
    }
}
