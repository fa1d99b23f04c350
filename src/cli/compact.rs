//! Arguments of `compact`.

use std::time::Duration;

use clap::Args;

use super::ConfigArgs;
use super::alerts::span_ms;

#[derive(Debug, Args)]
#[command(
    after_help = "Rows of results/ are written once more, to results_compacted/TOPIC/event_date=DATE/: a file \
a day of events, several of a large day, in order of event time (of a row without one: of its record). `tidegate \
sql` reads each row once, whatever lies in both folders; which rows are compacted stands in \
compactions/results/TOPIC/, and a file that the newest record there does not name is no part of the table. Works \
beside `tidegate run`, one process at a time; killed, the next start goes on with what is left.\n\n\
Ages (45s, 30m, 12h, 90d) are by the timestamps of the records, and only whole files go, of each \
partition the oldest first and never its newest. What hop 3 has not counted, where there is a reference, events that \
wait for labels and such labels stay. `tidegate verify` reports what is gone as not checked"
)]
pub(crate) struct CompactArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Close a file at about so many bytes
    #[arg(long, value_name = "BYTES", default_value_t = batch::compact::FILE_BYTES,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) file_bytes: u64,
    /// Memory of the sort in MiB; it spills to the archive's disk
    #[arg(long, value_name = "MIB", default_value_t = (batch::compact::MEMORY_BYTES >> 20) as u64,
        value_parser = clap::value_parser!(u64).range(64..))]
    pub(crate) memory: u64,
    /// Remove rows older than this from results/, results_compacted/, dead_letters/ and labels/
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) expire: Option<Duration>,
    /// Remove files of results/ that are compacted and older than this
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) expire_originals: Option<Duration>,
    /// Say what would be compacted and removed, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn age(text: &str) -> Result<Duration, String> {
    let ms = span_ms(text).and_then(|ms| u64::try_from(ms).ok()).filter(|ms| *ms > 0);
    ms.map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is no age: write 45s, 30m, 12h or 90d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (text, expected) in
            [("90d", Some(90 * 86_400)), ("45s", Some(45)), ("0d", None), ("-1d", None), ("", None)]
        {
            assert_eq!(age(text).ok(), expected.map(Duration::from_secs), "{text}");
        }
    }
}
