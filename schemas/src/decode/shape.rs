//! Learned shapes: events of one producer have the same members in the same order.
//!
//! A shape is an accepted event without its values: the bytes between them. Where these bytes are
//! found again in their places and a JSON value of the right kind lies in each gap, the event has
//! the same members, each once, none missing that was there; so nothing else needs a look.

use super::columns::Builder;
use super::cursor::Cursor;
use super::general::General;

/// Shapes kept: producers of one topic that differ, or optional members that come and go.
const MAX_SHAPES: usize = 4;

/// After so many events in a row that no shape fitted, only one in so many is learned: where no two
/// events are alike, learning is wasted.
const PATIENCE: usize = 32;

/// Bytes of a shape; an event with more between its values is not worth remembering.
const MAX_SHAPE_BYTES: usize = 64 << 10;

/// What lies in a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// The value of this column.
    Column(usize),
    /// A value that no column wants, in this many objects.
    Skip { depth: u32 },
}

/// The shapes seen last.
#[derive(Default)]
pub(super) struct Shapes {
    shapes: Vec<Shape>,
    /// The one that fitted last.
    current: usize,
    /// The one to forget next.
    oldest: usize,
    /// Events since one fitted.
    misses: usize,
}

#[derive(Default)]
struct Shape {
    steps: Vec<Step>,
    /// The bytes before every value, then those behind the last.
    literals: Vec<u8>,
    tail: usize,
    /// Columns whose members are missing: null in every row.
    missing: Vec<usize>,
    /// Bytes from the closing brace to the end.
    from_brace: usize,
}

/// Bytes to compare, then a value.
struct Step {
    /// The first 16 bytes, to compare at once.
    head: u128,
    head_mask: u128,
    start: usize,
    len: usize,
    slot: Slot,
}

impl Shapes {
    /// Takes the values of the record that is `bytes[..len]` as row `row` and returns the index of
    /// the closing brace; `None`, and nothing taken, where no shape fits.
    ///
    /// `bytes` reaches to the end of the batch, so that wide loads need no care. Reading past the
    /// record is harmless: a shape fits only if it ends where the record ends.
    #[inline]
    pub(super) fn decode(
        &mut self,
        bytes: &[u8],
        len: usize,
        builders: &mut [Builder],
        row: u32,
    ) -> Option<usize> {
        for index in (self.current..self.shapes.len()).chain(0..self.current) {
            let shape = &self.shapes[index];
            let mut taken = 0;
            if shape.decode(bytes, len, builders, row, &mut taken).is_some() {
                (self.current, self.misses) = (index, 0);
                return Some(len - shape.from_brace);
            }
            if taken > 0 {
                builders.iter_mut().for_each(|builder| builder.truncate(row as usize));
            }
        }
        None
    }

    /// Remembers the shape of `record`, which `general` has just accepted.
    pub(super) fn learn(&mut self, record: &[u8], object_end: usize, general: &General) {
        self.misses += 1;
        if self.misses > PATIENCE && !self.misses.is_multiple_of(PATIENCE) {
            return;
        }
        let values: usize = general.slots.iter().map(|(range, _)| range.len()).sum();
        if record.len() - values > MAX_SHAPE_BYTES {
            return;
        }
        if self.shapes.len() < MAX_SHAPES {
            self.shapes.push(Shape::default());
            self.current = self.shapes.len() - 1;
        } else {
            self.current = self.oldest;
            self.oldest = (self.oldest + 1) % MAX_SHAPES;
        }
        self.shapes[self.current].learn(record, object_end, general);
    }
}

impl Shape {
    fn learn(&mut self, record: &[u8], object_end: usize, general: &General) {
        self.steps.clear();
        self.literals.clear();
        let mut end = 0;
        for (range, slot) in &general.slots {
            let literal = &record[end..range.start];
            let mut head = [0; 16];
            let mut mask = [0; 16];
            let count = literal.len().min(16);
            head[..count].copy_from_slice(&literal[..count]);
            mask[..count].fill(0xff);
            self.steps.push(Step {
                head: u128::from_le_bytes(head),
                head_mask: u128::from_le_bytes(mask),
                start: self.literals.len(),
                len: literal.len(),
                slot: *slot,
            });
            self.literals.extend_from_slice(literal);
            end = range.end;
        }
        self.tail = self.literals.len();
        self.literals.extend_from_slice(&record[end..]);
        self.missing.clear();
        self.missing.extend(general.missing());
        self.from_brace = record.len() - object_end;
    }

    #[inline]
    fn decode(
        &self,
        bytes: &[u8],
        len: usize,
        builders: &mut [Builder],
        row: u32,
        taken: &mut usize,
    ) -> Option<()> {
        let mut at = 0;
        for step in &self.steps {
            if !self.fits(step, bytes, at) {
                return None;
            }
            at += step.len;
            *taken += 1;
            match step.slot {
                Slot::Column(column) => {
                    let builder = &mut builders[column];
                    at = match builder.push_plain(bytes, at) {
                        Some(end) => end,
                        None => push_any(builder, bytes, at, len, row)?,
                    };
                }
                Slot::Skip { depth } => at = skip(bytes, at, len, depth)?,
            }
        }
        if bytes.get(at..len)? != &self.literals[self.tail..] {
            return None;
        }
        self.missing.iter().for_each(|column| builders[*column].push_null(row));
        Some(())
    }

    #[inline(always)]
    fn fits(&self, step: &Step, bytes: &[u8], at: usize) -> bool {
        match bytes.get(at..at + 16).and_then(|window| window.try_into().ok()) {
            Some(window) => {
                (u128::from_le_bytes(window) ^ step.head) & step.head_mask == 0
                    && (step.len <= 16 || {
                        let rest = &self.literals[step.start + 16..step.start + step.len];
                        bytes[at + 16..].starts_with(rest)
                    })
            }
            None => bytes.get(at..).is_some_and(|rest| {
                rest.starts_with(&self.literals[step.start..step.start + step.len])
            }),
        }
    }
}

/// A value that is not plain: null, escaped, long, a list.
#[inline(never)]
fn push_any(builder: &mut Builder, bytes: &[u8], at: usize, len: usize, row: u32) -> Option<usize> {
    if at > len {
        return None;
    }
    let mut cursor = Cursor { bytes: &bytes[..len], at };
    builder.push(&mut cursor, row).ok()?;
    Some(cursor.at)
}

#[inline(never)]
fn skip(bytes: &[u8], at: usize, len: usize, depth: u32) -> Option<usize> {
    if at > len {
        return None;
    }
    let mut cursor = Cursor { bytes: &bytes[..len], at };
    cursor.skip_value(depth).ok()?;
    Some(cursor.at)
}
