//! A few coarse bins on top of many stored ones, for statistics whose noise grows with the bins.
//!
//! Learned from the reference alone, so that every window is folded in the same way.

/// Which stored bin goes to which coarse bin; neighbours stay together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coarse {
    group: Vec<usize>,
    groups: usize,
}

impl Coarse {
    /// Groups neighbouring bins until each holds about `1/groups` of the reference.
    ///
    /// A bin above that share (an atom) stays alone, so there may be a few more groups than asked for.
    pub fn fit(reference: &[u64], groups: usize) -> Self {
        let wanted = groups.max(1) as u128;
        let rows: u128 = reference.iter().map(|&count| u128::from(count)).sum();
        let above = |count: u128| count * wanted > rows;
        let (mut group, mut index, mut held) = (Vec::with_capacity(reference.len()), 0, None);
        for &count in reference {
            let count = u128::from(count);
            let full = |held: u128| held * wanted >= rows || above(count);
            match held {
                Some(rows_held) if rows_held > 0 && full(rows_held) => {
                    index += 1;
                    held = Some(count);
                }
                Some(rows_held) => held = Some(rows_held + count),
                None => held = Some(count),
            }
            group.push(index);
        }
        let groups = group.last().map_or(0, |last| last + 1);
        Self { group, groups }
    }

    /// Number of coarse bins.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The coarse bin of a stored one.
    ///
    /// # Panics
    /// When there is no such stored bin.
    pub fn group(&self, bin: usize) -> usize {
        self.group[bin]
    }

    /// Sums stored bins into coarse ones.
    ///
    /// # Panics
    /// When the counts are not of the bins this was fitted on: that is a mistake of the caller.
    pub fn fold(&self, counts: &[u64]) -> Vec<u64> {
        assert_eq!(counts.len(), self.group.len(), "counts are not of the bins that were grouped");
        let mut folded = vec![0; self.groups];
        for (&group, &count) in self.group.iter().zip(counts) {
            folded[group] += count;
        }
        folded
    }
}
