//! What scores were worth, by model and version: learned from the windows whose labels were complete when a
//! window began, as far as they were archived when it is estimated. A realised window knows them all.

use std::collections::BTreeMap;
use std::path::PathBuf;

use batch::StoreError;

use super::published::{self, Published};
use super::row::{Kind, OutcomeRow};
use super::tally::GroupKey;
use crate::performance::{Calibration, Point, Reliability};

/// Windows are taken from the newest back, until each version has so many labelled rows …
const ENOUGH_ROWS: u64 = 20_000;
/// … or so many windows were looked at: a week of hours.
pub(super) const MOST_WINDOWS: i64 = 168;

/// Model and version; empty where a row has none.
type Whose = [String; 2];

/// Diagrams of realised windows.
pub(super) struct Diagrams {
    ttl_micros: i64,
    /// By start and end of the window, in microseconds.
    windows: BTreeMap<(i64, i64), BTreeMap<Whose, Reliability>>,
}

/// By model and version.
#[derive(Debug, Default)]
pub(super) struct Calibrations(BTreeMap<Whose, Calibration>);

impl Diagrams {
    /// Reads files, the newest first, until one has windows that began before `oldest`.
    pub(super) fn read(
        files: impl Iterator<Item = PathBuf>,
        oldest: i64,
        ttl_micros: i64,
    ) -> Result<Self, StoreError> {
        let mut diagrams = Self { ttl_micros, windows: BTreeMap::new() };
        for path in files {
            let rows = published::read(&path)?;
            for row in &rows {
                diagrams.put(row)?;
            }
            if rows.iter().any(|row| row.start_us < oldest) {
                break;
            }
        }
        Ok(diagrams)
    }

    fn put(&mut self, row: &Published) -> Result<(), StoreError> {
        let Some(text) = &row.reliability else { return Ok(()) };
        let points: Vec<Point> = serde_json::from_str(text).map_err(|error| {
            StoreError::Query(format!("reliability in table performance: {error}"))
        })?;
        let [model, version, _] = row.names.clone();
        self.add((row.start_us, row.end_us), [model, version], &points);
        Ok(())
    }

    /// Takes a row that is not published yet.
    pub(super) fn take(&mut self, row: &OutcomeRow) {
        if row.kind == Kind::Realised && !row.reliability.is_empty() {
            let whose = whose(&row.model_name, &row.model_version);
            self.add((row.start_us, row.end_us), whose, &row.reliability);
        }
    }

    fn add(&mut self, window: (i64, i64), whose: Whose, points: &[Point]) {
        let of = self.windows.entry(window).or_default().entry(whose).or_default();
        points.iter().for_each(|point| of.put(*point));
    }

    /// What was known when a window began; windows that overlap another are left out.
    pub(super) fn when(&self, began_us: i64) -> Calibrations {
        let mut upto = began_us.saturating_sub(self.ttl_micros);
        let mut known: BTreeMap<&Whose, Reliability> = BTreeMap::new();
        let mut looked_at = 0;
        for ((start, end), window) in self.windows.iter().rev() {
            if *end > upto {
                continue;
            }
            (upto, looked_at) = (*start, looked_at + 1);
            if looked_at > MOST_WINDOWS {
                break;
            }
            for (whose, diagram) in window {
                let all = known.entry(whose).or_default();
                if all.rows() < ENOUGH_ROWS {
                    all.merge(diagram);
                }
            }
        }
        let learned =
            |(whose, diagram): (&Whose, Reliability)| Some((whose.clone(), diagram.calibration()?));
        Calibrations(known.into_iter().filter_map(learned).collect())
    }
}

impl Calibrations {
    /// That of a group's model and version.
    pub(super) fn of(&self, [model, version, _]: &GroupKey) -> Option<&Calibration> {
        self.0.get(&whose(model, version))
    }
}

fn whose(model: &Option<String>, version: &Option<String>) -> Whose {
    [model, version].map(|name| name.clone().unwrap_or_default())
}
