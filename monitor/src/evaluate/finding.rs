//! What crossed which threshold, rule by rule: what a policy reads. Pure.

use serde::Serialize;

use super::Rules;
use super::row::{GroupNames, Reference, ReportRow, State};

/// One rule on one column (or on a whole group) in one window, crossed or not: a policy with k of n
/// windows and hysteresis needs both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Number of the window.
    pub window: i64,
    /// Its start in microseconds.
    pub start_us: i64,
    /// Its end in microseconds.
    pub end_us: i64,
    /// Whose rows.
    #[serde(flatten)]
    pub group: GroupNames,
    /// The column; none for the group as a whole.
    pub column: Option<String>,
    /// Which rule.
    pub rule: FindingRule,
    /// What is held against the threshold.
    pub value: f64,
    /// The threshold.
    pub threshold: f64,
    /// The chance of it without a change; none where chance plays no part.
    pub p: Option<f64>,
    /// After Benjamini-Hochberg over the columns.
    pub q: Option<f64>,
    /// Rows of the window.
    pub n: u64,
    /// Whether effect and significance both hold.
    pub crossed: bool,
    /// Why, in words.
    pub reason: String,
}

/// Rules of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingRule {
    /// PSI or D against the profile.
    DriftTraining,
    /// PSI or D against the same hours before.
    DriftPrevious,
    /// More nulls than the profile has.
    Nulls,
    /// Categories that the profile does not have.
    NewCategories,
    /// Values outside of the documented range.
    OutOfRange,
    /// The column is not there.
    Missing,
    /// Rows, as a part of those in the same hours before.
    Volume,
    /// No rows where there were some.
    NoData,
}

impl FindingRule {
    /// Faults of the data, on which nobody should retrain.
    pub fn is_quality(self) -> bool {
        !matches!(self, Self::DriftTraining | Self::DriftPrevious)
    }
}

/// Fewest rows that a share of new or out-of-range values is believed on.
const MIN_HITS: f64 = 5.0;

impl ReportRow {
    /// The findings of this row.
    pub fn findings(&self, rules: Rules) -> Vec<Finding> {
        if self.column.is_none() {
            return vec![self.volume(rules)];
        }
        let mut found: Vec<Finding> = self.drift(rules).into_iter().collect();
        if self.speaks_for_quality() {
            found.extend(self.quality(rules));
        }
        found
    }

    fn volume(&self, rules: Rules) -> Finding {
        let ratio =
            if self.reference_n == 0 { 1.0 } else { self.n as f64 / self.reference_n as f64 };
        let (rule, threshold) = match self.state {
            State::NoData => (FindingRule::NoData, 0.0),
            State::VolumeHigh => (FindingRule::Volume, rules.volume_high),
            _ => (FindingRule::Volume, rules.volume_low),
        };
        let crossed = matches!(self.state, State::NoData | State::VolumeLow | State::VolumeHigh);
        self.finding(rule, ratio, threshold, (None, None), crossed)
    }

    fn drift(&self, rules: Rules) -> Option<Finding> {
        if self.state == State::Missing {
            let rule = FindingRule::Missing;
            return self
                .speaks_for_quality()
                .then(|| self.finding(rule, 1.0, 1.0, (None, None), true));
        }
        let rule = match self.reference {
            Reference::Training => FindingRule::DriftTraining,
            Reference::Previous => FindingRule::DriftPrevious,
        };
        let of = &self.statistics;
        let psi = of.psi_corrected?;
        let crossed = self.state == State::Drift;
        let by_psi = (psi, rules.drift.psi_threshold, (of.p, of.q));
        let by_ks = of.ks_d.map(|d| (d, rules.drift.ks_threshold, (of.ks_p, of.ks_q)));
        // The test that is further beyond its threshold speaks; of a drift, one that is significant.
        let weight = |(value, threshold, (_, q)): &(f64, f64, (Option<f64>, Option<f64>))| {
            let counts = !crossed || q.is_some_and(|q| q <= rules.drift.alpha);
            if counts { value / threshold } else { 0.0 }
        };
        let (value, threshold, chance) = match by_ks {
            Some(by_ks) if weight(&by_ks) > weight(&by_psi) => by_ks,
            Some(_) | None => by_psi,
        };
        Some(self.finding(rule, value, threshold, chance, crossed))
    }

    /// Faults are told once for each column: beside the profile, or where that says nothing, beside the
    /// hours before.
    pub fn speaks_for_quality(&self) -> bool {
        self.reference == Reference::Training || self.group.segment.is_some()
    }

    fn quality(&self, rules: Rules) -> Vec<Finding> {
        let enough = self.n >= rules.min_rows;
        let mut found = Vec::new();
        if let (Some(now), Some(before)) = (self.null_share, self.reference_null_share) {
            let significant = self.null_p.is_some_and(|p| p <= rules.drift.alpha / 1000.0);
            let crossed = enough && now - before >= rules.null_rise && significant;
            let (rule, rise) = (FindingRule::Nulls, rules.null_rise);
            found.push(self.finding(rule, now - before, rise, (self.null_p, None), crossed));
        }
        let shares = [
            (FindingRule::NewCategories, self.new_share, rules.new_share),
            (FindingRule::OutOfRange, self.out_of_range_share, rules.out_of_range_share),
        ];
        for (rule, share, threshold) in shares {
            let Some(share) = share else { continue };
            let crossed = enough && share >= threshold && share * self.n as f64 >= MIN_HITS;
            found.push(self.finding(rule, share, threshold, (None, None), crossed));
        }
        found
    }

    fn finding(
        &self,
        rule: FindingRule,
        value: f64,
        threshold: f64,
        (p, q): (Option<f64>, Option<f64>),
        crossed: bool,
    ) -> Finding {
        let said = match rule {
            FindingRule::Nulls if crossed => format!(
                "{:.1} % nulls, {:.1} % in the reference",
                100.0 * self.null_share.unwrap_or_default(),
                100.0 * self.reference_null_share.unwrap_or_default()
            ),
            FindingRule::NewCategories if crossed => {
                format!("{:.1} % of the rows have a category that is new", 100.0 * value)
            }
            FindingRule::OutOfRange if crossed => {
                format!("{:.1} % of the rows are outside of the documented range", 100.0 * value)
            }
            FindingRule::Nulls | FindingRule::NewCategories | FindingRule::OutOfRange => {
                String::new()
            }
            _ => self.reason.clone(),
        };
        Finding {
            window: self.window,
            start_us: self.start_us,
            end_us: self.end_us,
            group: self.group.clone(),
            column: self.column.clone(),
            rule,
            value,
            threshold,
            p,
            q,
            n: self.n,
            crossed,
            reason: said,
        }
    }
}
