//! The report as a table for a terminal. Names come from data: what could move the cursor is escaped.

use std::fmt;

use super::Report;
use super::bars::number;
use super::column::{ColumnReport, Verdict};
use super::judge::short;

/// Longest column name that is printed whole.
const MAX_NAME: usize = 32;

/// Rows of cells, aligned: the first column to the left, the rest as `left` says.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    left: Vec<bool>,
}

impl Table {
    /// A table with these heads; a head that starts with `<` is a column aligned to the left.
    pub fn new(heads: &[&str]) -> Self {
        let left = heads.iter().map(|head| head.starts_with('<')).collect();
        let heads = heads.iter().map(|head| head.trim_start_matches('<').to_owned()).collect();
        Self { rows: vec![heads], left }
    }

    /// Appends a row; its texts are escaped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| harmless(&cell)).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |at: usize| {
            self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> = (0..self.left.len()).map(|at| width(at).unwrap_or(0)).collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), left) in row.iter().zip(&widths).zip(&self.left) {
                let gap = " ".repeat(width - cell.chars().count());
                let (before, after) = if *left { ("", &*gap) } else { (&*gap, "") };
                line.push_str(before);
                line.push_str(cell);
                line.push_str(after);
                line.push_str("  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = self.reference.profile.as_ref();
        let profile = profile.map_or(String::new(), |id| format!(" (profile {id})"));
        let (reference, current) = (&self.reference, &self.current);
        let name = |name: &str| harmless(name);
        writeln!(out, "reference  {}, {} rows{profile}", name(&reference.name), reference.rows)?;
        writeln!(out, "current    {}, {} rows\n", name(&current.name), current.rows)?;
        let mut table = Table::new(&[
            "<column",
            "<verdict",
            "PSI",
            "D",
            "W1/spread",
            "JS",
            "V",
            "q",
            "φ",
            "null ref",
            "null now",
            "<why",
        ]);
        for column in self.ranked() {
            table.row(cells(column));
        }
        writeln!(out, "{table}")?;
        let drifted = self.count(Verdict::Drift) + self.count(Verdict::Missing);
        let compared =
            self.columns.len() - self.count(Verdict::NotCompared) - self.count(Verdict::New);
        let rule = self.rule;
        write!(
            out,
            "{drifted} of {compared} columns drifted: PSI ≥ {} or D ≥ {}, with q ≤ {}{}",
            rule.psi_threshold,
            rule.ks_threshold,
            rule.alpha,
            if rule.independent { ", rows taken as independent" } else { "" }
        )
    }
}

fn cells(column: &ColumnReport) -> Vec<String> {
    let absent = || "·".to_owned();
    let show = |value: Option<f64>| value.map_or_else(absent, |value| format!("{value:.3}"));
    let nulls = |side: &Option<super::Side>| match side {
        Some(side) if side.n > 0 => format!("{:.1} %", side.nulls as f64 * 100.0 / side.n as f64),
        Some(_) | None => absent(),
    };
    let ks = column.best_ks();
    let q = match (ks, column.chi_square) {
        (Some(ks), Some(chi)) => Some(ks.q.min(chi.q)),
        (None, Some(chi)) => Some(chi.q),
        _ => None,
    };
    vec![
        cut(&column.name),
        column.verdict.name().to_owned(),
        show(column.psi.map(|psi| psi.corrected)),
        show(ks.map(|ks| ks.d)),
        column.best_wasserstein().map_or_else(absent, number),
        show(column.distances.map(|distances| distances.jensen_shannon)),
        show(column.chi_square.map(|chi| chi.cramers_v_corrected)),
        q.map_or_else(absent, short),
        column.reference.as_ref().map_or_else(absent, |_| number(column.phi)),
        nulls(&column.reference),
        nulls(&column.current),
        column.reason.clone(),
    ]
}

fn cut(name: &str) -> String {
    if name.chars().count() <= MAX_NAME {
        return name.to_owned();
    }
    name.chars().take(MAX_NAME - 1).chain(['…']).collect()
}

/// Control characters and those that turn the direction of writing, as escapes.
pub(super) fn harmless(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}
