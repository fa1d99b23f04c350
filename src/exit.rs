//! Exit codes: a promise to scripts, listed in the README and in `--help`.

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// All went well.
    Fine = 0,
    /// It failed; standard error says why.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// `verify` found a record lost or doubled.
    NotExactlyOnce = 3,
    /// `verify` found nothing wrong but could not check every position: retention took some, or
    /// some are not processed yet.
    Unchecked = 4,
    /// Another process with the same `pipeline.instance` has taken over.
    Replaced = 5,
    /// A call into Kafka's library, or a batch of the model, hung beyond its bound; the supervisor should restart us.
    Stuck = 6,
    /// `drift --fail-on-drift` found a column that drifted or is missing.
    Drift = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that decides the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct WithExit {
    /// What is printed.
    pub(crate) message: String,
    /// How the process ends.
    pub(crate) exit: Exit,
}

/// An error of the command line or of what it names: the caller's to mend.
pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
    WithExit { message: message.into(), exit: Exit::Usage }.into()
}

/// The exit code that `error` asks for.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    if error.downcast_ref::<crate::config::Problems>().is_some() {
        return Exit::Usage;
    }
    error.downcast_ref::<WithExit>().map_or(Exit::Failed, |with| with.exit)
}
