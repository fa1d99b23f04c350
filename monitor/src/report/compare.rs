//! One column of the reference against its current rows: every statistic, no judgement yet.

use std::collections::BTreeSet;

use super::Rule;
use super::bars::bars;
use super::column::{
    ChiSquare, ColumnReport, Distance, Distances, Ks, KsSides, Psi, Side, Verdict, Wasserstein,
    law, scale,
};
use crate::profile::{CategoricalShape, ColumnProfile, Moments, NumericShape, Phi, Shape};
use crate::stats::{
    CategoryCounts, KsDistance, NumericCounts, Pair, PsiNull, Sample, SamplePair, Undefined,
    chi_square_sf, hellinger, homogeneity, jensen_shannon_distance, ks_and_wasserstein, ks_binned,
    ks_p, l_infinity, min_rows, new_share, psi_floored, psi_smoothed, total_variation,
    vanished_share, wasserstein_binned,
};

/// Rows that know nothing of each other.
const INDEPENDENT: Phi =
    Phi { value: 1.0, evenness: 1.0, order: 1.0, nulls: 1.0, chunks: 0, chunk_rows: 1 };

/// Expected rows below which a cell is pooled with other rare ones (Cochran's rule).
const MIN_EXPECTED: f64 = 5.0;

/// Categories that are tested by name: more would ask for more rows than windows have (with these, 750
/// effective ones at a PSI of 0.1).
const MAX_TESTED: usize = 50;

/// Current rows, counted into the reference's bins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counts {
    /// Into a numeric column's bins.
    Numeric(NumericCounts),
    /// Into a categorical column's.
    Categorical(CategoryCounts),
}

/// What is known of the current side of a column.
#[derive(Debug)]
pub struct Current<'a> {
    /// Its rows in the reference's bins.
    pub counts: Counts,
    /// Of its finite values.
    pub moments: Option<Moments>,
    /// Raw values of reference and current, where both are at hand.
    pub samples: Option<(&'a Sample, &'a Sample)>,
    /// Rows of the reference whose category is new, too: 0 where the reference is what was fitted.
    pub reference_new: u64,
}

/// Every statistic of one column, and its bars to draw; `Report::new` judges it among the others.
pub fn compare(reference: &ColumnProfile, current: &Current<'_>, rule: Rule) -> ColumnReport {
    let mut report = statistics(reference, current, rule);
    report.histogram = bars(reference, &current.counts);
    report
}

/// As [`compare`], with nothing to draw: that takes as long as the rest.
pub(crate) fn statistics(
    reference: &ColumnProfile,
    current: &Current<'_>,
    rule: Rule,
) -> ColumnReport {
    let mut report = start(reference);
    let phi = if rule.independent { INDEPENDENT } else { reference.phi };
    let done = match (&reference.shape, &current.counts) {
        (Shape::Numeric(shape), Counts::Numeric(counts)) => {
            report.current = Some(Side {
                n: counts.rows(),
                nulls: counts.null,
                infinite: counts.infinite,
                new: 0,
                other: 0,
                moments: current.moments,
            });
            numeric(&mut report, reference, shape, counts, current.samples, phi)
        }
        (Shape::Categorical(shape), Counts::Categorical(counts)) => {
            report.current = Some(Side {
                n: counts.rows(),
                nulls: counts.null,
                infinite: 0,
                new: counts.new,
                other: counts.other,
                moments: None,
            });
            categorical(&mut report, reference, shape, (counts, current.reference_new), phi)
        }
        (Shape::LeftOut(reason), _) => {
            report.reason.clone_from(reason);
            return report;
        }
        (Shape::Numeric(_), Counts::Categorical(_))
        | (Shape::Categorical(_), Counts::Numeric(_)) => {
            report.reason = "the current rows were counted as another kind of column".to_owned();
            return report;
        }
    };
    match done {
        Ok(pair) => {
            report.verdict = Verdict::Stable;
            report.effective_rows = Some(1.0 / pair.rate());
            report.min_rows = Some(min_rows(pair.bins(), rule.psi_threshold));
        }
        Err(error) => report.reason = error.to_string(),
    }
    report
}

/// A column that the reference has and the current side has not.
pub fn missing(reference: &ColumnProfile) -> ColumnReport {
    let mut report = start(reference);
    if let Shape::LeftOut(reason) = &reference.shape {
        report.reason.clone_from(reason);
    } else {
        report.verdict = Verdict::Missing;
        report.reason = "the current rows have no such column".to_owned();
    }
    report
}

/// A column of the reference that cannot be compared, for `reason`.
pub fn left_out(reference: &ColumnProfile, reason: &str) -> ColumnReport {
    ColumnReport { reason: reason.to_owned(), ..start(reference) }
}

/// A column that the current side has and the reference has not.
pub fn new_column(name: &str, type_name: &str) -> ColumnReport {
    let blank = ColumnReport::blank(name, type_name, "left_out", INDEPENDENT);
    ColumnReport {
        verdict: Verdict::New,
        reason: "the reference has no such column".to_owned(),
        ..blank
    }
}

fn start(reference: &ColumnProfile) -> ColumnReport {
    let kind = reference.shape.name();
    let mut report =
        ColumnReport::blank(&reference.name, &reference.type_name, kind, reference.phi);
    let (infinite, other, moments) = match &reference.shape {
        Shape::Numeric(shape) => (shape.infinite, 0, shape.moments),
        Shape::Categorical(shape) => (0, shape.other, None),
        Shape::LeftOut(_) => return report,
    };
    let (n, nulls) = (reference.rows, reference.nulls);
    report.reference = Some(Side { n, nulls, infinite, new: 0, other, moments });
    report
}

/// The bins that are tested, and everything they say.
fn numeric(
    report: &mut ColumnReport,
    reference: &ColumnProfile,
    shape: &NumericShape,
    counts: &NumericCounts,
    samples: Option<(&Sample, &Sample)>,
    phi: Phi,
) -> Result<Pair<'static>, Undefined> {
    let coarse = shape.coarse();
    let cells = |bins: &[u64], nulls, infinite| {
        let mut cells = coarse.fold(bins);
        cells.extend([nulls, infinite]);
        cells
    };
    let pair = Pair::new(
        cells(&shape.counts, reference.nulls, shape.infinite),
        cells(&counts.bins, counts.null, counts.infinite),
    )?
    .occupied();
    of_bins(report, &pair, phi);
    // Nulls and infinities have no place in an order; without other values only the bins speak.
    if let (Ok(stored), Some(moments)) = (Pair::new(&shape.counts, &counts.bins), shape.moments) {
        let (spread, unit) = moments.spread();
        let distance = |value: f64| Distance { value, scaled: (value / spread).min(f64::MAX) };
        let exact = samples.and_then(|(a, b)| SamplePair::new(a, b).ok());
        let exact = exact.map(|pair| ks_and_wasserstein(&pair));
        report.ks = Some(KsSides {
            exact: exact.map(|(gap, _)| ks(&gap, phi.order)),
            binned: ks(&ks_binned(&stored), phi.order),
        });
        report.wasserstein = Some(Wasserstein {
            exact: exact.map(|(_, area)| distance(area)),
            binned: distance(wasserstein_binned(shape.bins.edges(), &stored)),
            scale: scale(unit),
        });
    }
    Ok(pair)
}

fn categorical(
    report: &mut ColumnReport,
    reference: &ColumnProfile,
    shape: &CategoricalShape,
    (counts, reference_new): (&CategoryCounts, u64),
    phi: Phi,
) -> Result<Pair<'static>, Undefined> {
    let special = [shape.other, reference.nulls, reference_new];
    let before: Vec<u64> = shape.counts.iter().copied().chain(special).collect();
    let special = [counts.other, counts.null, counts.new];
    let after: Vec<u64> = counts.listed.iter().copied().chain(special).collect();
    let pair = pooled(&Pair::new(&before, &after)?, shape.counts.len())?;
    of_bins(report, &pair, phi);
    Ok(pair)
}

/// Rare values together with `<other>`, the cell at `other`; nulls and new values stay alone.
///
/// Chosen by the rows of both sides together, which say nothing about how the two differ.
fn pooled(pair: &Pair<'_>, other: usize) -> Result<Pair<'static>, Undefined> {
    let smaller = pair.rows_reference().min(pair.rows_current()) as f64;
    let rows = pair.rows_reference() as f64 + pair.rows_current() as f64;
    let both: Vec<u64> = pair.cells().map(|(r, c)| r + c).collect();
    let mut listed: Vec<usize> = (0..other).collect();
    listed.sort_by_key(|place| std::cmp::Reverse(both[*place]));
    let tested: BTreeSet<usize> = listed
        .into_iter()
        .take(MAX_TESTED)
        .filter(|place| both[*place] as f64 * smaller / rows >= MIN_EXPECTED)
        .collect();
    let (mut before, mut after, mut rest) = (Vec::new(), Vec::new(), (0, 0));
    for (place, (r, c)) in pair.cells().enumerate() {
        if place > other || tested.contains(&place) {
            before.push(r);
            after.push(c);
        } else {
            rest = (rest.0 + r, rest.1 + c);
        }
    }
    before.push(rest.0);
    after.push(rest.1);
    Ok(Pair::new(&before, &after)?.occupied())
}

fn of_bins(report: &mut ColumnReport, pair: &Pair<'_>, phi: Phi) {
    let (value, null) = (psi_smoothed(pair), PsiNull::new(pair));
    let p = null.p(value, phi.value);
    report.psi = Some(Psi {
        value,
        bias: null.bias(),
        corrected: (value - null.bias()).max(0.0),
        floored: psi_floored(pair),
        bins: pair.bins(),
        p,
        q: p,
    });
    let test = homogeneity(pair);
    // Where few directions hold most of the variation the law has fewer degrees of freedom.
    let dof = test.dof as f64;
    let evenness = phi.evenness.max(1.0 / dof.max(1.0));
    let p = chi_square_sf(test.chi2 / phi.value * evenness, dof * evenness);
    report.chi_square = Some(ChiSquare {
        value: test.chi2,
        dof: test.dof,
        p,
        q: p,
        cramers_v: test.cramers_v,
        cramers_v_corrected: test.cramers_v_corrected,
        min_expected: test.min_expected,
    });
    report.distances = Some(Distances {
        jensen_shannon: jensen_shannon_distance(pair),
        hellinger: hellinger(pair),
        total_variation: total_variation(pair),
        l_infinity: l_infinity(pair),
        new_share: new_share(pair),
        vanished_share: vanished_share(pair),
    });
}

fn ks(distance: &KsDistance, phi: f64) -> Ks {
    let test = ks_p(distance, phi);
    Ks { d: distance.value(), p: test.p, q: test.p, law: law(test.method) }
}
