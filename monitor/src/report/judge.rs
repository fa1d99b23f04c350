//! From statistics to verdicts: q-values over the columns, then effect and significance.

use super::Rule;
use super::column::{ChiSquare, ColumnReport, Ks, Psi, Verdict};
use crate::stats::benjamini_hochberg;

pub(super) fn judge(columns: &mut [ColumnReport], rule: Rule) {
    correct(columns);
    for column in columns.iter_mut().filter(|column| column.verdict == Verdict::Stable) {
        (column.verdict, column.reason) = verdict(column, rule);
    }
}

/// Each family of tests is corrected over the columns that have it.
fn correct(columns: &mut [ColumnReport]) {
    fn family(
        columns: &mut [ColumnReport],
        test: impl Fn(&mut ColumnReport) -> Option<(f64, &mut f64)>,
    ) {
        let found: Vec<f64> =
            columns.iter_mut().filter_map(|column| test(column).map(|(p, _)| p)).collect();
        let mut q = benjamini_hochberg(&found).into_iter();
        for column in columns {
            if let Some((_, place)) = test(column) {
                *place = q.next().unwrap_or(1.0);
            }
        }
    }
    family(columns, |column| column.psi.as_mut().map(|psi| (psi.p, &mut psi.q)));
    family(columns, |column| column.chi_square.as_mut().map(|chi| (chi.p, &mut chi.q)));
    family(columns, |column| column.ks.as_mut()?.exact.as_mut().map(|ks| (ks.p, &mut ks.q)));
    family(columns, |column| column.ks.as_mut().map(|ks| (ks.binned.p, &mut ks.binned.q)));
}

fn verdict(column: &ColumnReport, rule: Rule) -> (Verdict, String) {
    let (Some(psi), Some(chi), Some(effective), Some(needed)) =
        (column.psi, column.chi_square, column.effective_rows, column.min_rows)
    else {
        return (Verdict::NotCompared, column.reason.clone());
    };
    let ks = column.best_ks();
    let effect = Effect { psi, chi, ks, rule };
    if effective < needed as f64 {
        let reason = format!(
            "{effective:.0} effective rows (nm/(n+m)); a PSI of {} needs {needed} to be no chance",
            rule.psi_threshold
        );
        return (Verdict::TooFewRows, reason);
    }
    match (effect.by_psi(), effect.by_ks()) {
        (Found::Drift(said), Found::Drift(more)) => (Verdict::Drift, format!("{said}; {more}")),
        (Found::Drift(said), Found::Chance(_) | Found::Small)
        | (Found::Chance(_) | Found::Small, Found::Drift(said)) => (Verdict::Drift, said),
        (Found::Chance(said), Found::Chance(_) | Found::Small)
        | (Found::Small, Found::Chance(said)) => {
            let phi = if column.phi > 1.5 && !rule.independent {
                format!(
                    "; the reference varies {:.1} times as much between its own chunks as \
                         independent rows would",
                    column.phi
                )
            } else {
                String::new()
            };
            (Verdict::Stable, format!("{said}{phi}"))
        }
        (Found::Small, Found::Small) => (Verdict::Stable, effect.small()),
    }
}

/// What one statistic says.
enum Found {
    /// An effect, and significant.
    Drift(String),
    /// An effect that chance explains.
    Chance(String),
    /// Below the threshold.
    Small,
}

struct Effect {
    psi: Psi,
    chi: ChiSquare,
    ks: Option<Ks>,
    rule: Rule,
}

impl Effect {
    /// PSI is the effect; the test of the same bins is chi-square, whose law holds for sparse bins too.
    fn by_psi(&self) -> Found {
        let (value, q, rule) = (self.psi.corrected, self.chi.q, self.rule);
        if value < rule.psi_threshold {
            return Found::Small;
        }
        let said = format!("PSI {value:.3} ≥ {}", rule.psi_threshold);
        if q <= rule.alpha {
            Found::Drift(format!("{said}, q {}", short(q)))
        } else {
            Found::Chance(format!("{said} but not significant: q {} > {}", short(q), rule.alpha))
        }
    }

    fn by_ks(&self) -> Found {
        let Some(ks) = self.ks.filter(|ks| ks.d >= self.rule.ks_threshold) else {
            return Found::Small;
        };
        let said = format!("D {:.3} ≥ {}", ks.d, self.rule.ks_threshold);
        if ks.q <= self.rule.alpha {
            Found::Drift(format!("{said}, q {}", short(ks.q)))
        } else {
            let (q, alpha) = (short(ks.q), self.rule.alpha);
            Found::Chance(format!("{said} but not significant: q {q} > {alpha}"))
        }
    }

    fn small(&self) -> String {
        let psi = format!("PSI {:.3} < {}", self.psi.corrected, self.rule.psi_threshold);
        match self.ks {
            Some(ks) => format!("{psi} and D {:.3} < {}", ks.d, self.rule.ks_threshold),
            None => psi,
        }
    }
}

/// A probability as people read it.
pub(super) fn short(p: f64) -> String {
    if p >= 0.001 {
        format!("{p:.3}")
    } else if p < 1e-99 {
        "< 1e-99".to_owned()
    } else {
        format!("{p:.0e}")
    }
}
