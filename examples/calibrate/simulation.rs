//! Weeks of a model that does not drift, and of one that does, through the very code of `tidegate run`: the
//! configuration's rules with their share of the budget, what they find in a judged window, the book of alerts.
//!
//! A week is 168 windows of an hour. What is counted is what on-call is told, of any rule.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use monitor::columns::{Gathered, Hashing, Planned, Treatment};
use monitor::count::{Group, Kind, Settings};
use monitor::evaluate::{ReportRow, Rules, judge};
use monitor::policy::{Book, Class, Reference, Rule, Severity, Transition};
use monitor::profile::{FitOptions, Profile, fit};
use monitor::window::{ColumnSums, GroupSums};
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Exp1, StandardNormal};
use rand_pcg::Pcg64Mcg;

use crate::config::{self, Config};
use crate::findings;

pub(crate) const WINDOWS: usize = 168;
pub(crate) const ROWS: usize = 500;
/// Windows of rows that the reference is fitted on.
const REFERENCE_WINDOWS: usize = 96;
/// Columns with nulls at most: weeks of a hundred would take half as long again.
pub(crate) const NULL_COLUMNS: usize = 10;
/// Windows before the first that counts: the reference *previous* lies so far back.
const DAY: usize = 24;
const HOUR_US: i64 = 3_600_000_000;

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
    Nulls(Gaps),
}

/// Nulls without drift: where values are lacking, and how often.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Gaps {
    /// Share of nulls in the first column and in the last; those between rise by equal factors.
    shares: (f64, f64),
    /// Mean rows of a run of nulls; 1: rows are independent.
    run: f64,
    /// Rows of a window.
    rows: usize,
}

/// The last has windows just above the `min_rows` of rule `nulls`, where less than one null is usual.
pub(crate) const STREAMS: [(&str, Stream); 8] = [
    ("independent", Stream::Independent),
    ("AR 0.6", Stream::Remembers(0.6)),
    ("AR 0.9", Stream::Remembers(0.9)),
    ("seasonal, previous", Stream::Seasonal),
    ("heavy-tailed", Stream::HeavyTailed),
    ("nulls", Stream::Nulls(Gaps { shares: (0.001, 0.05), run: 1.0, rows: ROWS })),
    ("nulls in runs", Stream::Nulls(Gaps { shares: (0.01, 0.05), run: 5.0, rows: ROWS })),
    ("few rows", Stream::Nulls(Gaps { shares: (0.005, 0.005), run: 1.0, rows: 120 })),
];

impl Stream {
    /// Rows of a window.
    fn rows(self) -> usize {
        match self {
            Self::Nulls(gaps) => gaps.rows,
            _ => ROWS,
        }
    }

    /// How many of so many columns there are.
    fn columns(self, columns: usize) -> usize {
        match self {
            Self::Nulls(_) => columns.min(NULL_COLUMNS),
            _ => columns,
        }
    }
}

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

/// A seed gives the same numbers with the versions of Cargo.lock.
type Dice = Pcg64Mcg;

fn normal(dice: &mut Dice) -> f64 {
    StandardNormal.sample(dice)
}

/// One column going on.
struct Column {
    stream: Stream,
    /// Chances of a null behind a value, and behind a null.
    nulls: (f64, f64),
    is_null: bool,
    last: f64,
    row: usize,
}

impl Column {
    /// The column that has `part` of the others before it, 0 to 1.
    fn new(stream: Stream, part: f64, dice: &mut Dice) -> Self {
        let mut nulls = (0.0, 0.0);
        if let Stream::Nulls(Gaps { shares: (first, last), run, .. }) = stream {
            let share = first * (last / first).powf(part);
            let again = share.max(1.0 - 1.0 / run);
            nulls = (share * (1.0 - again) / (1.0 - share), again);
        }
        Self { stream, nulls, is_null: false, last: normal(dice), row: 0 }
    }

    fn next(&mut self, dice: &mut Dice) -> f64 {
        self.row += 1;
        match self.stream {
            Stream::Independent => normal(dice),
            Stream::Remembers(memory) => {
                self.last = memory * self.last + (1.0 - memory * memory).sqrt() * normal(dice);
                self.last
            }
            Stream::Seasonal => {
                let turn = self.row as f64 / (DAY * ROWS) as f64 * std::f64::consts::TAU;
                turn.sin() + normal(dice)
            }
            Stream::HeavyTailed => {
                let exponential: f64 = Exp1.sample(dice);
                normal(dice) / exponential.sqrt()
            }
            Stream::Nulls(_) => {
                let (behind_value, behind_null) = self.nulls;
                let chance = if self.is_null { behind_null } else { behind_value };
                self.is_null = dice.random_bool(chance);
                if self.is_null { f64::NAN } else { normal(dice) }
            }
        }
    }
}

/// A model with its reference, its columns going on behind that.
struct Model {
    settings: Settings,
    columns: Vec<Column>,
    /// Rows of a window.
    rows: usize,
}

impl Model {
    fn new(stream: Stream, columns: usize, with_category: bool, dice: &mut Dice) -> Self {
        let (window, columns) = (stream.rows(), stream.columns(columns));
        let rows = REFERENCE_WINDOWS * window;
        let options = FitOptions { chunk_rows: Some(window as u64), ..FitOptions::default() };
        let (mut going, mut fitted) = (Vec::new(), Vec::new());
        for at in 0..columns {
            let part = at as f64 / columns.saturating_sub(1).max(1) as f64;
            let mut column = Column::new(stream, part, dice);
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
        Self { settings, columns: going, rows: window }
    }

    fn window(&mut self, change: Option<Change>, dice: &mut Dice) -> GroupSums {
        let rows = self.rows;
        let mut columns: Vec<ColumnSums> = Vec::with_capacity(self.settings.columns.len());
        for (at, counted) in self.settings.columns.iter().enumerate() {
            let change = change.filter(|_| at == 0 || matches!(counted.kind, Kind::Categorical(_)));
            let mut cells = vec![0; counted.kind.cells()];
            match &counted.kind {
                Kind::Numeric(binner) => {
                    let column = &mut self.columns[at];
                    let mut values: Vec<f64> = (0..rows).map(|_| column.next(dice)).collect();
                    match change {
                        Some(Change::Shift(by)) => values.iter_mut().for_each(|x| *x += by),
                        Some(Change::Scale(by)) => values.iter_mut().for_each(|x| *x *= by),
                        Some(Change::Nulls(share)) => values.iter_mut().for_each(|x| {
                            *x = if dice.random_bool(share) { f64::NAN } else { *x };
                        }),
                        Some(Change::OneOutlier) => values[0] = 1e6,
                        Some(Change::NewCategory(_)) | None => {}
                    }
                    let mut bins = Vec::with_capacity(rows);
                    binner.append(&values, &mut bins);
                    bins.iter().for_each(|bin| cells[usize::from(*bin)] += 1);
                }
                Kind::Categorical(shape) => {
                    for _ in 0..rows {
                        let new =
                            matches!(change, Some(Change::NewCategory(p)) if dice.random_bool(p));
                        let name = if new { "new" } else { NAMES[category(dice)] };
                        cells[shape.categories.bin(Some(name))] += 1;
                    }
                }
            }
            columns.push(ColumnSums { rows: rows as u64, out_of_range: 0, numbers: None, cells });
        }
        GroupSums { rows: rows as u64, columns }
    }
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

fn category(dice: &mut Dice) -> usize {
    ((dice.random::<f64>() * dice.random::<f64>()) * NAMES.len() as f64) as usize
}

/// `default.toml`, what it leaves open, and these changes.
pub(crate) fn configuration(sets: &[String]) -> Config {
    let open = ["input.topic", "output.topic", "dead_letters.topic", "model.name", "model.version"];
    let open = open.iter().map(|key| format!("{key}={}", key.replace('.', "-")));
    let sets: Vec<String> = open.chain(sets.iter().cloned()).collect();
    config::load(None, std::iter::empty(), &sets).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Alarms that begin or become one, and what is but worth a note.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) alarms: u32,
    pub(crate) notes: u32,
}

impl Told {
    fn add(&mut self, is_alarm: bool) {
        *(if is_alarm { &mut self.alarms } else { &mut self.notes }) += 1;
    }

    pub(crate) fn all(self) -> u32 {
        self.alarms + self.notes
    }
}

impl std::iter::Sum for Told {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            alarms: sum.alarms + one.alarms,
            notes: sum.notes + one.notes,
        })
    }
}

/// What watches a model.
struct Watch {
    rules: Vec<Rule>,
    thresholds: Rules,
    book: Book,
    /// Windows of the last day, the oldest first.
    day: VecDeque<GroupSums>,
    window: i64,
}

impl Watch {
    fn new(config: &Config, stream: Stream) -> Self {
        let mut rules = config.alert_rules();
        if stream == Stream::Seasonal {
            // An hour of a wave is not the days that the profile is of: that is no false alarm.
            rules.retain(|rule| {
                rule.measure.class() != Class::Drift || rule.reference == Reference::Previous
            });
        }
        let book = Book::new(rules.clone());
        Self { rules, thresholds: config.monitor.rules(), book, day: VecDeque::new(), window: 0 }
    }

    /// Takes the next window in; what on-call is told then.
    fn see(&mut self, settings: &Settings, now: GroupSums) -> Told {
        let before =
            if self.day.len() < DAY { None } else { self.day.pop_front() }.unwrap_or_default();
        let extent = self.window * HOUR_US..(self.window + 1) * HOUR_US;
        let rows =
            judge(settings, self.window, extent, &Group::default(), &now, &before, self.thresholds);
        let rows: Vec<&ReportRow> = rows.iter().collect();
        let judged = findings::judged(&rows, &self.rules, self.thresholds.min_rows);
        let changes = self.book.judge(&judged);
        self.day.push_back(now);
        self.window += 1;
        let mut told = Told::default();
        for change in changes {
            match change {
                Transition::Fired(episode) | Transition::Upgraded { episode, .. } => {
                    told.add(episode.severity >= Severity::Warning);
                }
                _ => {}
            }
        }
        told
    }
}

/// What is told in so many weeks of one model without drift, after a day that does not count.
pub(crate) fn quiet_weeks(
    config: &Config,
    stream: Stream,
    columns: usize,
    weeks: usize,
    seed: u64,
) -> Told {
    let mut dice = Dice::seed_from_u64(seed);
    let mut model = Model::new(stream, columns, false, &mut dice);
    let mut watch = Watch::new(config, stream);
    let mut next = || {
        let now = model.window(None, &mut dice);
        watch.see(&model.settings, now)
    };
    (0..DAY).for_each(|_| {
        next();
    });
    (0..weeks * WINDOWS).map(|_| next()).sum()
}

/// Windows from the change to the first word, and to the first alarm; none within `patience`.
pub(crate) fn delay(
    config: &Config,
    change: Change,
    columns: usize,
    patience: usize,
    seed: u64,
) -> (Option<usize>, Option<usize>) {
    let mut dice = Dice::seed_from_u64(seed);
    let mut model = Model::new(Stream::Independent, columns, true, &mut dice);
    let mut watch = Watch::new(config, Stream::Independent);
    for _ in 0..DAY {
        let quiet = model.window(None, &mut dice);
        watch.see(&model.settings, quiet);
    }
    let mut word = None;
    for at in 1..=patience {
        let change = Some(change).filter(|change| *change != Change::OneOutlier || at == 1);
        let now = model.window(change, &mut dice);
        let told = watch.see(&model.settings, now);
        if told.all() > 0 {
            word = word.or(Some(at));
        }
        if told.alarms > 0 {
            return (word, Some(at));
        }
    }
    (word, None)
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
