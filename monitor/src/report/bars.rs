//! Shares to draw: at most some thirty bars a column, the same on both sides.
//!
//! Made of the stored bins alone, so a profile and raw values give the same picture.

use serde::Serialize;

use super::compare::Counts;
use crate::profile::{CategoricalShape, ColumnProfile, NumericShape, Shape};
use crate::stats::{CategoryCounts, INFINITE_BIN, NEW_BIN, NULL_BIN, NumericCounts};

/// The bar of all values that are not drawn by name.
const REST: &str = "all others";
/// Bars of equal width between the reference's tails.
const EQUAL_BARS: usize = 24;
/// Up to so many stored bins are drawn one by one.
const MAX_SINGLE: usize = 32;
/// Categories drawn by name; the rest is one bar.
const MAX_NAMED: usize = 20;
/// Share of the reference in each open tail of the drawing.
const TAIL: f64 = 0.005;

/// A bar of the drawing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// What it holds; a category's name as it is, so it must be escaped.
    pub label: String,
    /// Share of the reference's rows.
    pub reference: f64,
    /// Share of the current rows.
    pub current: f64,
}

/// The bars of a column; empty where one side has no rows or the sides do not fit together.
pub fn bars(reference: &ColumnProfile, current: &Counts) -> Vec<Bar> {
    match (&reference.shape, current) {
        (Shape::Numeric(shape), Counts::Numeric(counts))
            if reference.rows > 0 && counts.rows() > 0 =>
        {
            numeric(reference, shape, counts)
        }
        (Shape::Categorical(shape), Counts::Categorical(counts))
            if reference.rows > 0 && counts.rows() > 0 =>
        {
            categorical(reference, shape, counts)
        }
        _ => Vec::new(),
    }
}

fn numeric(reference: &ColumnProfile, shape: &NumericShape, counts: &NumericCounts) -> Vec<Bar> {
    let (n, m) = (reference.rows as f64, counts.rows() as f64);
    let bar = |label: String, r: f64, c: f64| Bar { label, reference: r / n, current: c / m };
    let cells: Vec<(f64, f64)> =
        shape.counts.iter().zip(&counts.bins).map(|(r, c)| (*r as f64, *c as f64)).collect();
    let edges = shape.bins.edges();
    let mut bars = if edges.is_empty() {
        vec![bar("all values".to_owned(), cells[0].0, cells[0].1)]
    } else if filled(&cells) <= MAX_SINGLE {
        single(edges, &cells).into_iter().map(|(label, (r, c))| bar(label, r, c)).collect()
    } else {
        equal(edges, &cells).into_iter().map(|(label, (r, c))| bar(label, r, c)).collect()
    };
    for (label, r, c) in
        [(NULL_BIN, reference.nulls, counts.null), (INFINITE_BIN, shape.infinite, counts.infinite)]
    {
        if r > 0 || c > 0 {
            bars.push(bar(label.to_owned(), r as f64, c as f64));
        }
    }
    bars
}

fn filled(cells: &[(f64, f64)]) -> usize {
    cells.iter().filter(|cell| cell.0 + cell.1 > 0.0).count()
}

/// Each filled bin as it is: atoms by their value.
fn single(edges: &[f64], cells: &[(f64, f64)]) -> Vec<(String, (f64, f64))> {
    let label = |place: usize| match (place.checked_sub(1).map(|at| edges[at]), edges.get(place)) {
        (Some(low), Some(high)) if low.next_up() == *high => number(*high),
        (Some(low), Some(high)) => format!("{} … {}", number(low), number(*high)),
        (None, Some(high)) => format!("≤ {}", number(*high)),
        (Some(low), None) => format!("> {}", number(low)),
        (None, None) => String::new(),
    };
    let filled = cells.iter().enumerate().filter(|(_, cell)| cell.0 + cell.1 > 0.0);
    filled.map(|(place, cell)| (label(place), *cell)).collect()
}

/// Bars of equal width between the outer quantiles, each stored bin spread evenly over its width.
fn equal(edges: &[f64], cells: &[(f64, f64)]) -> Vec<(String, (f64, f64))> {
    let (low, high) = span(edges, cells);
    let width = (high - low) / EQUAL_BARS as f64;
    if !(width.is_finite() && width > 0.0) {
        return single(edges, &merged(edges, cells).1);
    }
    let mut bars = vec![(0.0, 0.0); EQUAL_BARS + 2];
    for (place, (r, c)) in cells.iter().enumerate() {
        let from = if place == 0 { f64::NEG_INFINITY } else { edges[place - 1] };
        let upto = edges.get(place).copied().unwrap_or(f64::INFINITY);
        if upto <= low {
            add(&mut bars[0], *r, *c);
        } else if from >= high {
            add(&mut bars[EQUAL_BARS + 1], *r, *c);
        } else {
            let first = (((from - low) / width).floor().max(0.0) as usize).min(EQUAL_BARS - 1);
            let last = (((upto - low) / width).ceil() as usize).clamp(first + 1, EQUAL_BARS);
            for (at, bar) in bars.iter_mut().enumerate().take(last + 1).skip(first + 1) {
                let left = low + (at - 1) as f64 * width;
                let overlap = (upto.min(left + width) - from.max(left)).max(0.0);
                let share = overlap / (upto - from);
                let share = if share.is_finite() && last > first + 1 { share } else { 1.0 };
                add(bar, r * share, c * share);
            }
        }
    }
    let label = |at: usize| match at {
        0 => format!("≤ {}", number(low)),
        at if at == EQUAL_BARS + 1 => format!("> {}", number(high)),
        at => {
            let left = low + (at - 1) as f64 * width;
            format!("{} … {}", number(left), number(left + width))
        }
    };
    bars.into_iter().enumerate().map(|(at, cell)| (label(at), cell)).collect()
}

fn add(bar: &mut (f64, f64), r: f64, c: f64) {
    bar.0 += r;
    bar.1 += c;
}

/// The edges that leave [`TAIL`] of the reference on either side.
fn span(edges: &[f64], cells: &[(f64, f64)]) -> (f64, f64) {
    let rows: f64 = cells.iter().map(|cell| cell.0).sum();
    let tail = rows * TAIL;
    let mut below = 0.0;
    let low = edges.iter().zip(cells).find(|(_, cell)| {
        below += cell.0;
        below >= tail
    });
    let mut above = 0.0;
    let high = edges.iter().rev().zip(cells.iter().rev()).find(|(_, cell)| {
        above += cell.0;
        above >= tail
    });
    let last = edges[edges.len() - 1];
    (low.map_or(edges[0], |(edge, _)| *edge), high.map_or(last, |(edge, _)| *edge))
}

/// Where values span too much to be drawn to scale: the same bins, only the fullest.
fn merged<'a>(edges: &'a [f64], cells: &[(f64, f64)]) -> (&'a [f64], Vec<(f64, f64)>) {
    let mut shown: Vec<usize> = (0..cells.len()).collect();
    shown.sort_by(|&a, &b| (cells[b].0 + cells[b].1).total_cmp(&(cells[a].0 + cells[a].1)));
    let mut kept = vec![(0.0, 0.0); cells.len()];
    for &place in shown.iter().take(MAX_SINGLE) {
        kept[place] = cells[place];
    }
    (edges, kept)
}

fn categorical(
    reference: &ColumnProfile,
    shape: &CategoricalShape,
    counts: &CategoryCounts,
) -> Vec<Bar> {
    let (n, m) = (reference.rows as f64, counts.rows() as f64);
    let bar = |label: &str, r: u64, c: u64| Bar {
        label: label.to_owned(),
        reference: r as f64 / n,
        current: c as f64 / m,
    };
    let named = shape.categories.listed().iter().zip(shape.counts.iter().zip(&counts.listed));
    let mut bars: Vec<Bar> =
        named.clone().take(MAX_NAMED).map(|(name, (r, c))| bar(name, *r, *c)).collect();
    let (r, c) = named
        .skip(MAX_NAMED)
        .fold((shape.other, counts.other), |(r, c), (_, cell)| (r + cell.0, c + cell.1));
    for (label, r, c) in
        [(REST, r, c), (NEW_BIN, 0, counts.new), (NULL_BIN, reference.nulls, counts.null)]
    {
        if r > 0 || c > 0 {
            bars.push(bar(label, r, c));
        }
    }
    bars
}

/// A number as people read it: four digits that count.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e7).contains(&size) {
        format!("{value:.3e}")
    } else {
        let digits = (3 - size.log10().floor() as i32).clamp(0, 8) as usize;
        let text = format!("{value:.digits$}");
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text
        }
    }
}
