//! A stretch of a file of JSON lines: the lines that start in it, each with the byte where it does.

use std::io::{BufRead, BufReader, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use schemas::{MAX_EVENT_BYTES, MicroBatch};

use super::{BATCH_BYTES, BATCH_ROWS, Read, TextPart, Typed};
use crate::error::StoreError;
use crate::files;

/// Read from the file at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Batches of lines.
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<Box<dyn std::io::Read + Send>>,
    /// Where the next line starts.
    position: u64,
    end: u64,
    typed: Typed,
    line: Vec<u8>,
    read: Arc<Read>,
}

impl Lines {
    pub(super) fn open(part: &TextPart) -> Result<Self, StoreError> {
        let path = part.path.clone();
        // One byte earlier: a line that starts exactly here follows a line end.
        let start = part.range.start.saturating_sub(1);
        let file = files::open(&path)?.from(start).map_err(|e| StoreError::io("read", &path, e))?;
        let mut lines = Self {
            path,
            reader: BufReader::with_capacity(BUFFER_BYTES, file),
            position: start,
            end: part.range.end,
            typed: Typed::new(part),
            line: Vec::new(),
            read: Arc::clone(&part.read),
        };
        if part.range.start > 0 {
            lines.skip_line()?;
        }
        Ok(lines)
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, StoreError> {
        let mut batch = MicroBatch::with_capacity("lines".into(), BATCH_ROWS, 0);
        let mut bytes = 0;
        while self.position < self.end && batch.len() < BATCH_ROWS && bytes < BATCH_BYTES {
            let start = self.position;
            self.next_line()?;
            if self.line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            bytes += self.line.len() + 1;
            batch
                .push(0, start as i64, -1, None, Some(&self.line))
                .expect("lines start one behind the other");
        }
        self.read.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if batch.is_empty() { Ok(None) } else { self.typed.rows(&batch, &[]).map(Some) }
    }

    /// Reads a line without its end; of one that is too long, enough to be told so.
    fn next_line(&mut self) -> Result<(), StoreError> {
        self.line.clear();
        let most = MAX_EVENT_BYTES as u64 + 2;
        let read = (&mut self.reader).take(most).read_until(b'\n', &mut self.line);
        let read = read.map_err(|e| StoreError::io("read", &self.path, e))? as u64;
        if read == 0 {
            // Otherwise the end would never be reached.
            return Err(StoreError::Query(format!(
                "{}: it was cut off: it ends at byte {} and went on to {} at least",
                self.path.display(),
                self.position,
                self.end
            )));
        }
        self.position += read;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
        } else if read == most {
            self.skip_line()?;
        }
        Ok(())
    }

    /// Goes behind the next line end.
    fn skip_line(&mut self) -> Result<(), StoreError> {
        let read = self.reader.skip_until(b'\n');
        self.position += read.map_err(|e| StoreError::io("read", &self.path, e))? as u64;
        Ok(())
    }
}

impl Iterator for Lines {
    type Item = Result<RecordBatch, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}
