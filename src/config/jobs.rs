//! `[scheduler]` and `[[jobs]]`: files that are scored when their time has come.

mod resolve;

use std::path::{Path, PathBuf};

use batch::jobs::{JobSpec, Template};
use batch::location;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub(super) use resolve::check;
pub(crate) use resolve::resolved;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scheduler {
    pub(crate) state: PathBuf,
    pub(crate) concurrent: usize,
}

/// A job as written; `default.toml` has the meaning of each key.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct JobEntry {
    pub(crate) name: String,
    pub(crate) enabled: Option<bool>,
    pub(crate) cron: Option<String>,
    pub(crate) time_zone: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) watermark: bool,
    pub(crate) input: Inputs,
    pub(crate) output: String,
    pub(crate) model: Option<String>,
    #[serde(rename = "where")]
    pub(crate) predicate: Option<String>,
    pub(crate) columns: Vec<String>,
    pub(crate) include: Vec<Include>,
    pub(crate) threads: Option<usize>,
    pub(crate) drift: bool,
    pub(crate) reference: Option<PathBuf>,
    pub(crate) retries: Option<u32>,
    pub(crate) retry_seconds: Option<u32>,
}

/// Columns that are added when they are asked for, by a job or on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Include {
    /// input_file and input_position: the row's number from 0, in JSON lines the byte where it starts
    Source,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged, expecting = "a path or a list of paths")]
pub(crate) enum Inputs {
    One(String),
    Many(Vec<String>),
}

/// A job that can run.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) spec: JobSpec,
    /// When it starts, for people and to see that it changed.
    pub(crate) schedule: String,
    /// First job of the chain that it is in; itself where there is none.
    pub(crate) root: String,
    pub(crate) inputs: Vec<Template>,
    pub(crate) output: Template,
    pub(crate) predicate: Option<Template>,
    pub(crate) model: Option<String>,
    pub(crate) columns: Vec<String>,
    pub(crate) coordinates: bool,
    /// 0: as many as there are cores.
    pub(crate) threads: usize,
    pub(crate) drift: bool,
    pub(crate) reference: Option<PathBuf>,
}

impl Default for Inputs {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Inputs {
    fn each(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    fn each_mut(&mut self) -> &mut [String] {
        match self {
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(many) => many,
        }
    }
}

impl JobEntry {
    /// Makes its paths relative to the folder of the configuration's file.
    pub(super) fn rebase(&mut self, base: &Path) {
        // A brace in the folder's own name is no place for a date.
        let base_text = base.to_string_lossy().replace('{', "{{").replace('}', "}}");
        for path in self.input.each_mut().iter_mut().chain([&mut self.output]) {
            if !path.is_empty() {
                *path = location::from_folder(Path::new(&base_text), Path::new(&*path))
                    .to_string_lossy()
                    .into_owned();
            }
        }
        self.reference = self.reference.take().map(|path| location::from_folder(base, &path));
    }

    fn is_on(&self) -> bool {
        self.enabled != Some(false)
    }
}
