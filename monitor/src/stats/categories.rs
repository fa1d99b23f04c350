//! Bins of a categorical column: the frequent values of the reference by name, the rest pooled.
//!
//! Refuses to grow with the data: names and remembered rare values have a limit each.

use std::collections::{BTreeMap, BTreeSet};

/// Where values are counted that the reference never held.
pub const NEW_BIN: &str = "<new>";
/// Where the reference's rare values are counted, those past [`MAX_LISTED`].
pub const OTHER_BIN: &str = "<other>";
/// Most values with a bin of their own; past it a chi-square has more cells than rows to fill them.
pub const MAX_LISTED: usize = 1000;
/// Most rare values remembered by hash (8 bytes each), to tell rare from new.
pub const MAX_TAIL: usize = 65_536;

/// The listed values, most frequent first, and hashes of the rare ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Categories {
    listed: Vec<String>,
    place: BTreeMap<String, usize>,
    tail: BTreeSet<u64>,
    tail_is_whole: bool,
}

/// Rows of a categorical column per bin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CategoryCounts {
    /// Rows per listed value.
    pub listed: Vec<u64>,
    /// Rows in [`NULL_BIN`](super::NULL_BIN).
    pub null: u64,
    /// Rows in [`NEW_BIN`].
    pub new: u64,
    /// Rows in [`OTHER_BIN`].
    pub other: u64,
}

impl Categories {
    /// Lists the `limit` most frequent values (clamped to [`MAX_LISTED`]); equal counts go by name.
    ///
    /// Values with count 0 are not of the reference. When more than [`MAX_TAIL`] rare values exist,
    /// unknown values count as `<other>`: new ones can no longer be told apart.
    pub fn fit<'a>(reference: impl IntoIterator<Item = (&'a str, u64)>, limit: usize) -> Self {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (value, count) in reference {
            *counts.entry(value).or_default() += count;
        }
        let mut ranked: Vec<(&str, u64)> = counts.into_iter().filter(|entry| entry.1 > 0).collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let rare = ranked.split_off(limit.min(MAX_LISTED).min(ranked.len()));
        let listed: Vec<String> = ranked.iter().map(|entry| entry.0.to_owned()).collect();
        let place = listed.iter().cloned().zip(0..).collect();
        let tail = rare.iter().take(MAX_TAIL).map(|entry| fnv1a64(entry.0.as_bytes())).collect();
        Self { listed, place, tail, tail_is_whole: rare.len() <= MAX_TAIL }
    }

    /// Takes categories as they were stored: names in the order of their bins, each once.
    pub fn from_parts(listed: Vec<String>, tail: BTreeSet<u64>, tail_is_whole: bool) -> Self {
        let place = listed.iter().cloned().zip(0..).collect();
        Self { listed, place, tail, tail_is_whole }
    }

    /// The values with a bin of their own, in the order of their bins.
    pub fn listed(&self) -> &[String] {
        &self.listed
    }

    /// Hashes of the rare values that are remembered.
    pub fn tail(&self) -> &BTreeSet<u64> {
        &self.tail
    }

    /// Whether every rare value is remembered, so that new ones can be told apart.
    pub fn tail_is_whole(&self) -> bool {
        self.tail_is_whole
    }

    /// Counts rows; `None` is a null.
    pub fn count<'a>(&self, values: impl IntoIterator<Item = Option<&'a str>>) -> CategoryCounts {
        let mut counts = self.nothing();
        self.count_into(&mut counts, values);
        counts
    }

    /// Counts of no rows.
    pub fn nothing(&self) -> CategoryCounts {
        CategoryCounts { listed: vec![0; self.listed.len()], null: 0, new: 0, other: 0 }
    }

    /// Adds rows to `counts`, which must be of these categories; `None` is a null.
    pub fn count_into<'a>(
        &self,
        counts: &mut CategoryCounts,
        values: impl IntoIterator<Item = Option<&'a str>>,
    ) {
        for value in values {
            match value {
                None => counts.null += 1,
                Some(value) => *self.slot(value, counts) += 1,
            }
        }
    }

    /// The bin of a value in the order of [`CategoryCounts::with_special`]; `None` is a null.
    pub fn bin(&self, value: Option<&str>) -> usize {
        let listed = self.listed.len();
        match value.map(|value| (value, self.place.get(value))) {
            None => listed,
            Some((_, Some(&place))) => place,
            Some((value, None)) if self.is_rare(value) => listed + 2,
            Some(_) => listed + 1,
        }
    }

    fn is_rare(&self, value: &str) -> bool {
        !self.tail_is_whole || self.tail.contains(&fnv1a64(value.as_bytes()))
    }

    fn slot<'a>(&self, value: &str, counts: &'a mut CategoryCounts) -> &'a mut u64 {
        match self.place.get(value) {
            Some(&place) => &mut counts.listed[place],
            None if self.is_rare(value) => &mut counts.other,
            None => &mut counts.new,
        }
    }
}

impl CategoryCounts {
    /// Every row, whatever its bin.
    pub fn rows(&self) -> u64 {
        self.listed.iter().sum::<u64>() + self.null + self.new + self.other
    }

    /// The listed bins, then `<null>`, `<new>`, `<other>`.
    pub fn with_special(&self) -> Vec<u64> {
        self.listed.iter().copied().chain([self.null, self.new, self.other]).collect()
    }
}

/// FNV-1a, 64 bits: the hash must stay the same in every build, since profiles store it.
pub(crate) fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
