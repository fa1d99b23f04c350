//! What the monitor knows, for people: answers as JSON, and the pages that show them.
//!
//! Reads what is published (report files, count files, the alert state) beside whoever writes it, and
//! changes nothing. Refuses to serve: the caller hands questions in, off its asynchronous threads,
//! and bounds how many at a time. deploy/dashboard/README.md documents the answers.

mod alerts;
mod gauges;
mod histogram;
mod history;
mod pages;
mod performance;
mod query;
mod series;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use serde_json::{Value, json};

use crate::evaluate::{Reports, Rules, Watched};
use crate::outcomes::PerformanceFiles;
use crate::window::Windows;
pub use gauges::DriftGauges;
use history::{History, MOST_ROW_BYTES, MOST_ROWS};
pub use pages::{CONTENT_SECURITY_POLICY, Page, page};
pub use query::Problem;
use query::{Query, instant};

/// Between two looks at the report files, in milliseconds.
const LOOK_EVERY_MS: i64 = 2_000;
/// Bytes of an answer.
const MOST_BYTES: usize = 4 << 20;
/// Bytes that the dashboard takes at most: the rows that are kept, with their reasons, and two answers at a time.
pub(crate) const MEMORY_BYTES: usize = MOST_ROWS * MOST_ROW_BYTES + 2 * MOST_BYTES;

/// Everything that the answers are made of.
pub struct Settings {
    /// The pipeline's name.
    pub pipeline: String,
    /// The judged windows.
    pub reports: Reports,
    /// References with their counts; their counters are for reading here.
    pub watched: Vec<Watched>,
    /// Which windows there are.
    pub windows: Windows,
    /// What numbers are held against.
    pub rules: Rules,
    /// The alert state.
    pub alerts: PathBuf,
    /// The joined windows, where labels are configured.
    pub performance: Option<PerformanceFiles>,
}

/// See the module. Shared by the threads that answer; what is read from disk is read by one at a time.
pub struct Dashboard {
    pipeline: String,
    windows: Windows,
    rules: Rules,
    alerts: PathBuf,
    performance: Option<PerformanceFiles>,
    files: Mutex<Files>,
}

struct Files {
    history: History,
    /// When, in milliseconds since 1970.
    looked: Option<i64>,
    watched: Vec<Watched>,
}

impl Dashboard {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let Settings { pipeline, reports, watched, windows, rules, alerts, performance } = settings;
        let history = History::new(reports, MOST_ROWS);
        let files = Mutex::new(Files { history, looked: None, watched });
        Self { pipeline, windows, rules, alerts, performance, files }
    }

    /// The answer of `/api/v1/<resource>?<query>` at `now`, as the bytes of its JSON. Blocks.
    ///
    /// # Errors
    /// A [`Problem`] that says the limit and what to do; its status is for HTTP.
    pub fn answer(
        &self,
        resource: &str,
        query: &[(String, String)],
        now: jiff::Timestamp,
    ) -> Result<Vec<u8>, Problem> {
        let query = Query::new(query)?;
        let value = match resource {
            "overview" => {
                query.end()?;
                self.overview(now)
            }
            "heat" => series::heat(&self.files(now)?.history, self.rules, query),
            "column" => series::column(&self.files(now)?.history, self.rules, query),
            "histogram" => histogram::histogram(&mut self.files(now)?.watched, self.windows, query),
            "performance" => performance::performance(self.performance.as_ref(), query),
            "alerts" => alerts::list(&self.alerts, now.as_millisecond(), query),
            "alert" => alerts::one(&self.alerts, query),
            other => {
                let fix = "ask for overview, heat, column, histogram, performance, alerts, alert or \
                           process";
                Err(Problem::nothing("no such resource", other, fix))
            }
        }?;
        let bytes = serde_json::to_vec(&value).map_err(|error| Problem::unread(&error))?;
        if bytes.len() > MOST_BYTES {
            let mut problem = Problem::nothing(
                "the answer is too large",
                &format!("{} bytes", bytes.len()),
                "ask for fewer windows or columns",
            );
            problem.status = 422;
            problem.limit = Some(format!("{MOST_BYTES} bytes").into());
            return Err(problem);
        }
        Ok(bytes)
    }

    fn overview(&self, now: jiff::Timestamp) -> Result<Value, Problem> {
        // Whoever looks at drift is not to be kept from it by the state of the alerts.
        let (alerts, problem) = match alerts::summary(&self.alerts) {
            Ok(alerts) => (alerts, None),
            Err(problem) => (Value::Null, Some(problem.message)),
        };
        let files = self.files(now)?;
        let history = &files.history;
        let windows = history.windows();
        Ok(json!({
            "pipeline": self.pipeline,
            "now": now.to_string(),
            "windows": {
                "length_seconds": self.windows.length_seconds,
                "slide_seconds": self.windows.slide_seconds,
                "kept": windows.len(),
                "oldest_start": windows.first_key_value().map(|(start, _)| instant(*start)),
                "newest_end": windows.last_key_value().map(|(_, window)| instant(window.end_us)),
                "rows_left_out": history.left_out(),
            },
            "thresholds": series::thresholds(self.rules),
            "models": series::models(history),
            "has_labels": self.performance.is_some(),
            "alerts": alerts,
            "alerts_problem": problem,
        }))
    }

    /// The files as they are now, or were two seconds ago.
    fn files(&self, now: jiff::Timestamp) -> Result<MutexGuard<'_, Files>, Problem> {
        let mut files = self.files.lock().unwrap_or_else(|poisoned| {
            // Whoever panicked may have left a window half read.
            let mut files = poisoned.into_inner();
            files.history.forget();
            self.files.clear_poison();
            files
        });
        let now_ms = now.as_millisecond();
        if files.looked.is_none_or(|looked| (now_ms - looked).abs() >= LOOK_EVERY_MS) {
            files.history.refresh()?;
            files.looked = Some(now_ms);
        }
        Ok(files)
    }
}
