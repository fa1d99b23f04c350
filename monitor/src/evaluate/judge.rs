//! One group in one window: from sums to rows. Pure.

use std::ops::Range;

use super::Rules;
use super::quality::{Nulls, null_rise_p, volume};
use super::row::{GroupNames, Reference, ReportRow, State, Statistics};
use crate::count::{CountedColumn, Group, Kind, Settings};
use crate::profile::{CategoricalShape, ColumnProfile, NumericShape, Shape};
use crate::report::{ColumnReport, Counts, Current, Report, Source, left_out, missing, statistics};
use crate::stats::{CategoryCounts, NumericCounts};
use crate::window::{ColumnSums, GroupSums};

/// Rows for every column against both references, and one for the group as a whole.
pub fn judge(
    settings: &Settings,
    window: i64,
    extent: Range<i64>,
    group: &Group,
    now: &GroupSums,
    before: &GroupSums,
    rules: Rules,
) -> Vec<ReportRow> {
    let (state, reason) = volume(now.rows, before.rows, rules, group.segment.is_some());
    let whole = ReportRow {
        window,
        start_us: extent.start,
        end_us: extent.end,
        group: GroupNames::from(group),
        reference: Reference::Previous,
        profile: settings.profile_id.clone(),
        column: None,
        state,
        reason,
        n: now.rows,
        reference_n: before.rows,
        phi: None,
        statistics: Statistics::default(),
        null_share: None,
        reference_null_share: None,
        null_p: None,
        new_share: None,
        out_of_range_share: None,
        mean: None,
        min: None,
        max: None,
    };
    let mut rows = vec![whole];
    if now.rows == 0 {
        return rows;
    }
    // The profile is of all rows: a segment that differs from them has not drifted.
    let references: &[Reference] = match group.segment {
        None => &[Reference::Training, Reference::Previous],
        Some(_) => &[Reference::Previous],
    };
    for &reference in references {
        let sides: Vec<Side> =
            (0..settings.columns.len()).map(|at| Side::of(settings, at, now, before)).collect();
        let compared = sides.iter().map(|side| side.compare(reference, rules)).collect();
        let source = || Source { name: String::new(), rows: 0, profile: None };
        let report = Report::new(source(), source(), rules.drift, compared);
        let all = report.columns.iter().zip(&sides);
        let made: Vec<ReportRow> =
            all.map(|(column, side)| side.row(&rows[0], reference, column, rules)).collect();
        rows.extend(made);
    }
    rows
}

/// A column with what was counted of it now and before.
struct Side<'a> {
    column: &'a CountedColumn,
    profile: &'a ColumnProfile,
    now: Option<&'a ColumnSums>,
    before: Option<&'a ColumnSums>,
}

impl<'a> Side<'a> {
    fn of(settings: &'a Settings, at: usize, now: &'a GroupSums, before: &'a GroupSums) -> Self {
        let column = &settings.columns[at];
        let filled = |sums: &'a GroupSums| sums.columns.get(at).filter(|sums| sums.rows > 0);
        Side {
            column,
            profile: &settings.profile.columns[column.place],
            now: filled(now),
            before: filled(before),
        }
    }

    fn compare(&self, reference: Reference, rules: Rules) -> ColumnReport {
        let Some(now) = self.now else { return missing(self.profile) };
        let counts = counts(&self.column.kind, &now.cells);
        let current =
            |reference_new| Current { counts, moments: None, samples: None, reference_new };
        let mut report = match (reference, self.before) {
            (Reference::Training, _) => statistics(self.profile, &current(0), rules.drift),
            (Reference::Previous, None) => {
                left_out(self.profile, "the same hours before have no rows")
            }
            (Reference::Previous, Some(before)) => {
                let (before, new) = as_profile(self.profile, &self.column.kind, before);
                statistics(&before, &current(new), rules.drift)
            }
        };
        if now.rows < rules.min_rows {
            report = left_out(self.profile, "fewer rows than min_rows");
        }
        report
    }

    fn row(
        &self,
        whole: &ReportRow,
        reference: Reference,
        report: &ColumnReport,
        rules: Rules,
    ) -> ReportRow {
        let profile = self.profile;
        let share = |part: u64, rows: u64| (rows > 0).then(|| part as f64 / rows as f64);
        let (n, nulls, new) = self.now.map_or((0, 0, None), |now| match &self.column.kind {
            Kind::Numeric(binner) => (now.rows, now.cells[binner.cells() - 2], None),
            Kind::Categorical(shape) => {
                let listed = shape.counts.len();
                (now.rows, now.cells[listed], Some(now.cells[listed + 1]))
            }
        });
        let (reference_n, reference_nulls) = match (reference, self.before) {
            (Reference::Training, _) => (profile.rows, profile.nulls),
            (Reference::Previous, None) => (0, 0),
            (Reference::Previous, Some(before)) => {
                (before.rows, before.cells[self.column.kind.null_cell()])
            }
        };
        // What the profile learned is of all rows: not of a segment, which alone is judged for its nulls beside *previous*.
        let phi = |rows| match reference {
            Reference::Training => profile.phi.of_nulls(rows),
            Reference::Previous => 1.0,
        };
        let [now_nulls, nulls_before] = [(nulls, n), (reference_nulls, reference_n)]
            .map(|(nulls, rows)| Nulls { nulls, rows, phi: phi(rows) });
        let finite = self.now.and_then(|now| now.numbers);
        let values = self.now.map_or(0, |now| finite_rows(&self.column.kind, now));
        let few = n > 0 && n < rules.min_rows;
        let state = if few { State::TooFewRows } else { State::of(report.verdict) };
        ReportRow {
            reference,
            column: Some(self.column.name.clone()),
            state,
            reason: report.reason.clone(),
            n,
            reference_n,
            phi: Some(profile.phi.value),
            statistics: Statistics::of(report),
            null_share: share(nulls, n),
            reference_null_share: share(reference_nulls, reference_n),
            null_p: null_rise_p(now_nulls, nulls_before),
            new_share: new.and_then(|new| share(new, n)),
            out_of_range_share: self
                .column
                .range
                .and_then(|_| share(self.now.map_or(0, |now| now.out_of_range), n)),
            mean: finite.filter(|_| values > 0).map(|(sum, ..)| sum / values as f64),
            min: finite.map(|(_, min, _)| min),
            max: finite.map(|(.., max)| max),
            ..whole.clone()
        }
    }
}

fn finite_rows(kind: &Kind, sums: &ColumnSums) -> u64 {
    match kind {
        Kind::Numeric(binner) => sums.cells[..binner.cells() - 2].iter().sum(),
        Kind::Categorical(_) => 0,
    }
}

/// Cells as they are counted, back in the parts that reports take.
pub(crate) fn counts(kind: &Kind, cells: &[u64]) -> Counts {
    match kind {
        Kind::Numeric(_) => Counts::Numeric(NumericCounts::of_cells(cells)),
        Kind::Categorical(shape) => {
            let listed = shape.counts.len();
            Counts::Categorical(CategoryCounts {
                listed: cells[..listed].to_vec(),
                null: cells[listed],
                new: cells[listed + 1],
                other: cells[listed + 2],
            })
        }
    }
}

/// Counts as a reference of the profile's bins, and how many of its rows were new to the profile.
fn as_profile(profile: &ColumnProfile, kind: &Kind, sums: &ColumnSums) -> (ColumnProfile, u64) {
    let mut new = 0;
    let (shape, nulls) = match (&profile.shape, counts(kind, &sums.cells)) {
        (Shape::Numeric(shape), Counts::Numeric(counts)) => {
            let (bins, moments) = (shape.bins.clone(), shape.moments);
            let (counts, infinite, nulls) = (counts.bins, counts.infinite, counts.null);
            (Shape::Numeric(NumericShape { bins, counts, infinite, moments }), nulls)
        }
        (Shape::Categorical(shape), Counts::Categorical(counts)) => {
            let (categories, hashed) = (shape.categories.clone(), shape.hashed);
            new = counts.new;
            let (counts, other, nulls) = (counts.listed, counts.other, counts.null);
            (Shape::Categorical(CategoricalShape { categories, counts, other, hashed }), nulls)
        }
        (shape, _) => (shape.clone(), 0),
    };
    let (name, type_name) = (profile.name.clone(), profile.type_name.clone());
    (ColumnProfile { name, type_name, rows: sums.rows, nulls, phi: profile.phi, shape }, new)
}
