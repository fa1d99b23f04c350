//! The newest judged window as gauges: how far each column is, how sure that is, how many rows.
//!
//! Observed at each scrape, so that a version that is retired is gone with its last window. The number
//! of series has a bound: the worst columns are shown, and how many are not is a gauge, too.

use std::sync::{Arc, Mutex, PoisonError};

use batch::StoreError;
use opentelemetry::metrics::Meter;
use opentelemetry::{KeyValue, global};

use super::history::{GroupKey, History, Point};
use crate::evaluate::Reports;
use crate::policy::clean;
use crate::window::CountedRows;

/// Series of one gauge: the SDK keeps 2000 and puts the rest together.
const MOST_SERIES: usize = 1_500;
/// Bytes of a label.
const LABEL_BYTES: usize = 120;

/// One value of a gauge.
type Shown = (f64, Vec<KeyValue>);

/// A gauge: its name, what it is, and the statistic it shows.
type Shows = (&'static str, &'static str, fn(&Point) -> Option<f64>);

const GAUGES: [Shows; 5] = [
    ("tidegate.drift.psi", "PSI less its bias, of the newest window", |point| {
        point.value("psi_corrected")
    }),
    ("tidegate.drift.ks", "Kolmogorov-Smirnov distance, of the newest window", |point| {
        point.value("ks_d")
    }),
    ("tidegate.drift.q", "Smaller q-value of the two tests, of the newest window", |point| {
        let of = [point.value("q"), point.value("ks_q")];
        of.into_iter().flatten().reduce(f64::min)
    }),
    ("tidegate.drift.rows", "Rows of the newest window", |point| Some(point.n as f64)),
    ("tidegate.null.share", "Share of nulls in the newest window", |point| {
        point.value("null_share")
    }),
];

/// See the module.
pub struct DriftGauges {
    history: Mutex<Option<History>>,
    shown: Arc<Mutex<Newest>>,
    rows: Arc<Mutex<Option<CountedRows>>>,
}

#[derive(Default)]
struct Newest {
    gauges: [Vec<Shown>; GAUGES.len()],
    end_seconds: Option<f64>,
    left_out: u64,
}

impl Default for DriftGauges {
    fn default() -> Self {
        Self::new(&global::meter("tidegate"))
    }
}

impl DriftGauges {
    /// Registers the gauges; they show nothing yet.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let shown: Arc<Mutex<Newest>> = Arc::default();
        for (at, (name, what, _)) in GAUGES.into_iter().enumerate() {
            let of = Arc::clone(&shown);
            let observe = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<f64>| {
                for (value, labels) in &lock(&of).gauges[at] {
                    observer.observe(*value, labels);
                }
            };
            meter.f64_observable_gauge(name).with_description(what).with_callback(observe).build();
        }
        let of = Arc::clone(&shown);
        meter
            .f64_observable_gauge("tidegate.monitor.judged.until")
            .with_unit("s")
            .with_description("End of the newest judged window, in seconds since 1970")
            .with_callback(move |observer| {
                lock(&of).end_seconds.into_iter().for_each(|end| observer.observe(end, &[]));
            })
            .build();
        let of = Arc::clone(&shown);
        meter
            .u64_observable_gauge("tidegate.drift.left.out")
            .with_description("Columns without gauges, because there are too many")
            .with_callback(move |observer| observer.observe(lock(&of).left_out, &[]))
            .build();
        let rows = Arc::default();
        show_rows(meter, &rows);
        Self { history: Mutex::new(None), shown, rows }
    }

    /// Shows the newest window of these reports, from [`DriftGauges::look`] to [`DriftGauges::end`].
    pub fn follow(&self, reports: Reports) {
        *lock(&self.history) = Some(History::new(reports, 1));
    }

    /// Looks for a newer window; `rows` are counted so far.
    ///
    /// # Errors
    /// When a report file cannot be read.
    pub fn look(&self, rows: Option<CountedRows>) -> Result<(), StoreError> {
        *lock(&self.rows) = rows;
        if let Some(history) = &mut *lock(&self.history) {
            history.refresh()?;
            *lock(&self.shown) = Newest::of(history);
        }
        Ok(())
    }

    /// Shows nothing any more: another process watches now.
    pub fn end(&self) {
        *lock(&self.history) = None;
        *lock(&self.shown) = Newest::default();
        *lock(&self.rows) = None;
    }
}

/// Not of the newest window: rows that lie in none would be seen nowhere else.
fn show_rows(meter: &Meter, rows: &Arc<Mutex<Option<CountedRows>>>) {
    let of = Arc::clone(rows);
    meter
        .u64_observable_gauge("tidegate.monitor.rows")
        .with_description("Archived rows that are counted")
        .with_callback(move |observer| {
            let Some(CountedRows { rows, .. }) = *lock(&of) else { return };
            observer.observe(rows, &[]);
        })
        .build();
    let of = Arc::clone(rows);
    meter
        .u64_observable_gauge("tidegate.monitor.rows.outside")
        .with_description("Counted rows that lie in no window, by what is wrong with their time")
        .with_callback(move |observer| {
            let Some(CountedRows { early, ahead, untimed, .. }) = *lock(&of) else { return };
            for (time, rows) in [("early", early), ("ahead", ahead), ("missing", untimed)] {
                observer.observe(rows, &[KeyValue::new("time", time)]);
            }
        })
        .build();
}

impl Newest {
    fn of(history: &History) -> Self {
        let mut newest = Self::default();
        let Some((_, window)) = history.windows().last_key_value() else { return newest };
        newest.end_seconds = Some(window.end_us as f64 / 1e6);
        let mut points: Vec<&Point> =
            window.points.iter().filter(|point| history.key(point).column.is_some()).collect();
        let effect = |point: &Point| {
            let of = [point.value("psi_corrected"), point.value("ks_d")];
            of.into_iter().flatten().fold(f64::NEG_INFINITY, f64::max)
        };
        points.sort_by(|a, b| {
            effect(b).total_cmp(&effect(a)).then_with(|| history.key(a).cmp(history.key(b)))
        });
        newest.left_out = points.len().saturating_sub(MOST_SERIES) as u64;
        for point in points.into_iter().take(MOST_SERIES) {
            let key = history.key(point);
            let GroupKey { model, version, arm } = &key.group;
            let column = key.column.as_deref().unwrap_or_default();
            let named = [
                ("model", model.as_str()),
                ("version", version),
                ("arm", arm),
                ("column", column),
                ("reference", key.reference.name()),
            ];
            let labels = named.map(|(name, value)| KeyValue::new(name, clean(value, LABEL_BYTES)));
            for (gauge, (_, _, value)) in newest.gauges.iter_mut().zip(GAUGES) {
                gauge.extend(value(point).map(|value| (value, labels.to_vec())));
            }
        }
        newest
    }
}

/// What is shown is replaced whole: a panic leaves nothing half done.
fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::{History as Made, MODEL};

    #[test]
    fn the_newest_window_is_shown_and_its_series_are_bounded() {
        let made = Made::of(2, MOST_SERIES + 10);
        let mut history = History::new(made.reports(), 1);
        history.refresh().unwrap();
        let newest = Newest::of(&history);
        assert_eq!(newest.left_out, 10);
        assert_eq!(newest.end_seconds, Some(made.end_seconds()));
        for gauge in &newest.gauges {
            assert!(gauge.len() <= MOST_SERIES, "{}", gauge.len());
        }
        let labels = &newest.gauges[0][0].1;
        assert!(labels.contains(&KeyValue::new("model", MODEL)), "{labels:?}");
        assert!(
            labels.contains(&KeyValue::new("column", "c0000")),
            "the worst is first: {labels:?}"
        );
    }
}
