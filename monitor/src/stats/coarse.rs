//! A few coarse bins on top of many stored ones, for statistics whose noise grows with the bins.
//!
//! Learned from the reference alone, so that every window is folded in the same way.

/// Where each coarse bin ends among the stored ones; neighbours stay together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coarse {
    /// Ascending, the last is the number of stored bins; none without any.
    ends: Vec<usize>,
}

impl Coarse {
    /// Groups neighbouring bins until each holds about `1/groups` of the reference.
    ///
    /// A bin above that share (an atom) stays alone, so there may be a few more groups than asked for.
    pub fn fit(reference: &[u64], groups: usize) -> Self {
        let wanted = groups.max(1) as u64;
        let rows = reference.iter().fold(0_u64, |sum, &count| sum.saturating_add(count));
        let (share, atom) = (rows.div_ceil(wanted), rows / wanted);
        let (mut ends, mut held) = (Vec::with_capacity(groups + 2), 0_u64);
        for (bin, &count) in reference.iter().enumerate() {
            // A group ends when it has its share, and where an atom begins.
            if held > 0 && (held >= share || count > atom) {
                ends.push(bin);
                held = 0;
            }
            held = held.saturating_add(count);
        }
        if !reference.is_empty() {
            ends.push(reference.len());
        }
        Self { ends }
    }

    /// Number of coarse bins.
    pub fn groups(&self) -> usize {
        self.ends.len()
    }

    /// Sums stored bins into coarse ones.
    ///
    /// # Panics
    /// When the counts are not of the bins this was fitted on: that is a mistake of the caller.
    pub fn fold(&self, counts: &[u64]) -> Vec<u64> {
        let bins = self.ends.last().copied().unwrap_or(0);
        assert_eq!(counts.len(), bins, "counts are not of the bins that were grouped");
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| counts[start..end].iter().sum()).collect()
    }
}
