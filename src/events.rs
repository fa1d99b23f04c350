//! Events from a file or standard input, as the bytes of JSON records.
//!
//! JSON lines pass through as they are; Parquet rows become JSON objects. One batch of lines is in
//! memory at a time, whatever the size of the file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context as _;

/// Longest line taken from a file: above any broker's record limit, far below memory.
const MAX_LINE_BYTES: u64 = 64 << 20;

type Each<'a> = &'a mut dyn FnMut(&[u8]) -> anyhow::Result<ControlFlow<()>>;

/// Calls `each` with every record of `file` (standard input when `None`) until it breaks.
pub(crate) fn for_each(file: Option<&Path>, each: Each<'_>) -> anyhow::Result<()> {
    match file {
        None => lines(std::io::stdin().lock(), "standard input", each),
        Some(path) if is_parquet(path) => parquet(path, each),
        Some(path) => {
            let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
            lines(BufReader::with_capacity(1 << 20, file), &path.display().to_string(), each)
        }
    }
}

/// Whether `path` is to be read as Parquet.
pub(crate) fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "parquet")
}

/// Up to `limit` events of `file`, for looking at or for sending again and again.
pub(crate) fn sample(file: &Path, limit: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut events = Vec::new();
    for_each(Some(file), &mut |event| {
        events.push(event.to_vec());
        Ok(if events.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    anyhow::ensure!(!events.is_empty(), "{} has no events", file.display());
    Ok(events)
}

fn lines(mut input: impl BufRead, name: &str, each: Each<'_>) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let read = Read::take(&mut input, MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)
            .with_context(|| format!("reading {name}"))?;
        if read == 0 {
            break;
        }
        anyhow::ensure!(
            (read as u64) < MAX_LINE_BYTES,
            "{name}, line {number}: longer than {MAX_LINE_BYTES} bytes; write one record a line"
        );
        let record = line.trim_ascii_end();
        let at = || format!("{name}, line {number}");
        if !record.is_empty() && each(record).with_context(at)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn parquet(path: &Path, each: Each<'_>) -> anyhow::Result<()> {
    let mut ended = Ok(());
    batch::parquet_io::json_lines(path, &mut |event| {
        each(event).unwrap_or_else(|error| {
            ended = Err(error);
            ControlFlow::Break(())
        })
    })?;
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_any_way_and_empty_ones_are_no_events() {
        let mut seen = Vec::new();
        lines(&b"{\"a\":1}\r\n\n{\"a\":2}\n  \n{\"a\":3}"[..], "test", &mut |event| {
            seen.push(String::from_utf8(event.to_vec())?);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        assert_eq!(seen, [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]);
    }
}
