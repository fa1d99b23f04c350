//! What libraries say by the `log` crate, as lines of ours.

use log::{Level, LevelFilter, Log, Metadata, Record};

struct Others;

impl Log for Others {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let (module, said) = (record.target(), record.args());
        match record.level() {
            Level::Error => tracing::error!(target: "ballista", module, "{said}"),
            Level::Warn => tracing::warn!(target: "ballista", module, "{said}"),
            Level::Info => tracing::info!(target: "ballista", module, "{said}"),
            Level::Debug | Level::Trace => tracing::debug!(target: "ballista", module, "{said}"),
        }
    }

    fn flush(&self) {}
}

/// Takes what they say from now on, of `info` and above; once per process.
pub(crate) fn take_over_log() {
    static OTHERS: Others = Others;
    if log::set_logger(&OTHERS).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}
