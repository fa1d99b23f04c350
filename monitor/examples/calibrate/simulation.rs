//! Weeks of a model that does not drift, and of one that does, judged as the monitor judges.
//!
//! A week is 168 windows of an hour. An alarm is a column that crossed in at least [`OF`]`.0` of the
//! last [`OF`]`.1` windows; it counts when it begins. The level that holds the budget, see [`level`].

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use monitor::columns::{Gathered, Hashing, Planned, Treatment};
use monitor::count::{Group, Kind, Settings};
use monitor::evaluate::{FindingRule, Reference, Rules, judge};
use monitor::profile::{FitOptions, Profile, fit};
use monitor::window::{ColumnSums, GroupSums};

pub(crate) const WINDOWS: usize = 168;
pub(crate) const ROWS: usize = 500;
/// Windows that must have crossed, of how many.
pub(crate) const OF: (usize, usize) = (2, 3);
/// Alarms that a model may raise in a week without drift.
pub(crate) const BUDGET: f64 = 0.1;
/// Windows of rows that the reference is fitted on.
const REFERENCE_WINDOWS: usize = 96;
const DAY: usize = 24;

/// The q-value at which the budget holds.
///
/// Benjamini-Hochberg at α keeps the chance that any column of a quiet window crosses at α, and there are
/// two families of tests (chi-square and D), so 2α. An alarm begins in a window when it and k−1 of the
/// n−1 before cross: at most C(n−1, k−1)·(2α)^k. With W windows a week that is to stay under the budget:
/// α = ½ (budget / (W·C(n−1, k−1)))^(1/k), here 0.0086.
pub(crate) fn level(budget: f64, windows: usize, (k, n): (usize, usize)) -> f64 {
    let ways = (1..k).fold(1.0, |ways, i| ways * (n - i) as f64 / i as f64);
    0.5 * (budget / (windows as f64 * ways)).powf(1.0 / k as f64)
}

pub(crate) fn rules() -> Rules {
    let mut rules = Rules::default();
    rules.drift.alpha = level(BUDGET, WINDOWS, OF);
    rules
}

/// What a stream without drift looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stream {
    Independent,
    /// Each row remembers the one before by so much.
    Remembers(f64),
    /// A day's wave of one standard deviation; only *previous* is asked.
    Seasonal,
    /// Student's t with two degrees of freedom.
    HeavyTailed,
}

pub(crate) const STREAMS: [(&str, Stream); 5] = [
    ("independent", Stream::Independent),
    ("AR 0.6", Stream::Remembers(0.6)),
    ("AR 0.9", Stream::Remembers(0.9)),
    ("seasonal, previous", Stream::Seasonal),
    ("heavy-tailed", Stream::HeavyTailed),
];

/// A change of the first column from a window on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    Shift(f64),
    Scale(f64),
    NewCategory(f64),
    Nulls(f64),
    OneOutlier,
}

pub(crate) const CHANGES: [(&str, Change); 6] = [
    ("mean + 0.5 sd", Change::Shift(0.5)),
    ("mean + 0.2 sd", Change::Shift(0.2)),
    ("scale × 1.3", Change::Scale(1.3)),
    ("new category, 2 %", Change::NewCategory(0.02)),
    ("nulls 0 → 5 %", Change::Nulls(0.05)),
    ("one outlier of 1e6", Change::OneOutlier),
];

pub(crate) struct Dice {
    state: u64,
    spare: Option<f64>,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self {
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678_9ABC_DEF1,
            spare: None,
        };
        (0..8).for_each(|_| {
            dice.uniform();
        });
        dice
    }

    /// xorshift64*: in (0, 1).
    fn uniform(&mut self) -> f64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (bits as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Marsaglia's polar method.
    fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square > 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare = Some(y * factor);
                return x * factor;
            }
        }
    }
}

/// One column going on.
struct Column {
    stream: Stream,
    last: f64,
    row: usize,
}

impl Column {
    fn new(stream: Stream, dice: &mut Dice) -> Self {
        Self { stream, last: dice.normal(), row: 0 }
    }

    fn next(&mut self, dice: &mut Dice) -> f64 {
        self.row += 1;
        match self.stream {
            Stream::Independent => dice.normal(),
            Stream::Remembers(memory) => {
                self.last = memory * self.last + (1.0 - memory * memory).sqrt() * dice.normal();
                self.last
            }
            Stream::Seasonal => {
                let turn = self.row as f64 / (DAY * ROWS) as f64 * std::f64::consts::TAU;
                turn.sin() + dice.normal()
            }
            Stream::HeavyTailed => dice.normal() / (-dice.uniform().ln()).sqrt(),
        }
    }
}

/// A model with its reference, its columns going on behind that.
struct Model {
    settings: Settings,
    columns: Vec<Column>,
}

impl Model {
    fn new(stream: Stream, columns: usize, with_category: bool, dice: &mut Dice) -> Self {
        let rows = REFERENCE_WINDOWS * ROWS;
        let options = FitOptions { chunk_rows: Some(ROWS as u64), ..FitOptions::default() };
        let (mut going, mut fitted) = (Vec::new(), Vec::new());
        for at in 0..columns {
            let mut column = Column::new(stream, dice);
            let values: Vec<f64> = (0..rows).map(|_| column.next(dice)).collect();
            let treatment = Treatment::Numeric;
            let planned =
                Planned { name: format!("x{at}"), type_name: "Float64".into(), treatment };
            let values = Gathered::Numbers(values);
            fitted.push(fit(&planned, Some(&values), rows as u64, options).0);
            going.push(column);
        }
        if with_category {
            let treatment = Treatment::Categorical(Hashing::No);
            let mut values = Gathered::new(&treatment, rows as u64).expect("it is compared");
            let names: Vec<Option<&str>> = (0..rows).map(|_| Some(NAMES[category(dice)])).collect();
            let names: arrow::array::ArrayRef = Arc::new(arrow::array::StringArray::from(names));
            values.push(&names, &treatment, &[]).expect("text");
            let planned = Planned { name: "c".into(), type_name: "Utf8".into(), treatment };
            fitted.push(fit(&planned, Some(&values), rows as u64, options).0);
        }
        let profile = Arc::new(Profile { rows: rows as u64, columns: fitted });
        let settings = Settings::new(profile, None, 3600, &[], &[]).expect("columns");
        Self { settings, columns: going }
    }

    fn window(&mut self, change: Option<Change>, dice: &mut Dice) -> GroupSums {
        let mut columns: Vec<ColumnSums> = Vec::with_capacity(self.settings.columns.len());
        for (at, counted) in self.settings.columns.iter().enumerate() {
            let change = change.filter(|_| at == 0 || matches!(counted.kind, Kind::Categorical(_)));
            let mut cells = vec![0; counted.kind.cells()];
            match &counted.kind {
                Kind::Numeric(binner) => {
                    let column = &mut self.columns[at];
                    let mut values: Vec<f64> = (0..ROWS).map(|_| column.next(dice)).collect();
                    match change {
                        Some(Change::Shift(by)) => values.iter_mut().for_each(|x| *x += by),
                        Some(Change::Scale(by)) => values.iter_mut().for_each(|x| *x *= by),
                        Some(Change::Nulls(share)) => values.iter_mut().for_each(|x| {
                            *x = if dice.uniform() < share { f64::NAN } else { *x };
                        }),
                        Some(Change::OneOutlier) => values[0] = 1e6,
                        Some(Change::NewCategory(_)) | None => {}
                    }
                    let mut bins = Vec::with_capacity(ROWS);
                    binner.append(&values, &mut bins);
                    bins.iter().for_each(|bin| cells[usize::from(*bin)] += 1);
                }
                Kind::Categorical(shape) => {
                    for _ in 0..ROWS {
                        let new =
                            matches!(change, Some(Change::NewCategory(p)) if dice.uniform() < p);
                        let name = if new { "new" } else { NAMES[category(dice)] };
                        cells[shape.categories.bin(Some(name))] += 1;
                    }
                }
            }
            columns.push(ColumnSums { rows: ROWS as u64, out_of_range: 0, numbers: None, cells });
        }
        GroupSums { rows: ROWS as u64, columns }
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn category(dice: &mut Dice) -> usize {
    ((dice.uniform() * dice.uniform()) * NAMES.len() as f64) as usize
}

/// Which columns cross, rule by rule, and since when.
struct Policy {
    crossed: Vec<VecDeque<bool>>,
    firing: Vec<bool>,
}

impl Policy {
    fn new(slots: usize) -> Self {
        Self { crossed: vec![VecDeque::new(); slots], firing: vec![false; slots] }
    }

    /// Answers whether an alarm begins.
    fn see(&mut self, slot: usize, crossed: bool) -> bool {
        let seen = &mut self.crossed[slot];
        seen.push_back(crossed);
        if seen.len() > OF.1 {
            seen.pop_front();
        }
        let fires = seen.iter().filter(|crossed| **crossed).count() >= OF.0;
        let begins = fires && !self.firing[slot];
        self.firing[slot] = fires;
        begins
    }
}

/// Alarms in one week, and windows in which any column crossed.
pub(crate) fn week(stream: Stream, columns: usize, seed: u64) -> (u32, u32) {
    let mut dice = Dice::new(seed);
    let mut model = Model::new(stream, columns, false, &mut dice);
    let mut policy = Policy::new(columns);
    let mut days: VecDeque<GroupSums> = VecDeque::new();
    let reference =
        if stream == Stream::Seasonal { Reference::Previous } else { Reference::Training };
    if reference == Reference::Previous {
        (0..DAY).for_each(|_| days.push_back(model.window(None, &mut dice)));
    }
    let (mut alarms, mut noisy) = (0, 0);
    for window in 0..WINDOWS {
        let now = model.window(None, &mut dice);
        let before = days.pop_front().unwrap_or_default();
        let crossed = crossed(&model.settings, window, &now, &before, reference);
        noisy += u32::from(crossed.contains(&true));
        let begun = crossed.iter().enumerate().filter(|(at, crossed)| policy.see(*at, **crossed));
        alarms += begun.count() as u32;
        if reference == Reference::Previous {
            days.push_back(now);
        }
    }
    (alarms, noisy)
}

fn crossed(
    settings: &Settings,
    window: usize,
    now: &GroupSums,
    before: &GroupSums,
    reference: Reference,
) -> Vec<bool> {
    let mut crossed = vec![false; settings.columns.len()];
    let rows = judge(settings, window as i64, 0..1, &Group::default(), now, before, rules());
    let columns = rows.iter().filter(|row| row.reference == reference && row.column.is_some());
    for (at, row) in columns.enumerate() {
        let findings = row.findings(rules());
        crossed[at] =
            findings.iter().any(|finding| finding.crossed && finding.rule != FindingRule::Volume);
    }
    crossed
}

/// Windows from the change to the alarm of the changed column; none within `patience`.
pub(crate) fn delay(change: Change, columns: usize, patience: usize, seed: u64) -> Option<usize> {
    let mut dice = Dice::new(seed);
    let mut model = Model::new(Stream::Independent, columns, true, &mut dice);
    let changed = if matches!(change, Change::NewCategory(_)) { columns } else { 0 };
    let mut policy = Policy::new(1);
    let before = GroupSums::default();
    for window in 0..patience + OF.1 {
        let is_changed = window >= OF.1 && (change != Change::OneOutlier || window == OF.1);
        let now = model.window(Some(change).filter(|_| is_changed), &mut dice);
        let crossed = crossed(&model.settings, window, &now, &before, Reference::Training);
        if policy.see(0, crossed[changed]) {
            return Some(window + 1 - OF.1);
        }
    }
    None
}

/// `of` every number below `n`, on all cores.
pub(crate) fn on_all_cores<T: Send>(n: usize, of: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= n {
                return done;
            }
            done.push((at, of(at)));
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    all.sort_by_key(|(at, _)| *at);
    all.into_iter().map(|(_, value)| value).collect()
}
