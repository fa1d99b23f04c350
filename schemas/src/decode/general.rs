//! The general decoder: any event, whatever its order, whitespace and escapes. It defines what is
//! right: each member at most once in the event and in the objects that hold columns, nothing
//! behind the event, required members there. Members that no column wants are checked as JSON only.

use super::columns::Builder;
use super::cursor::Cursor;
use super::lookup::{Layout, Level, Member};
use super::problem::{Fault, Place, Problem, kind_at};
use super::shape::Slot;

/// What one record taught, and memory that every record uses again.
#[derive(Default)]
pub(super) struct General {
    columns_seen: Vec<bool>,
    objects_seen: Vec<bool>,
    unknown: Names,
    name: Vec<u8>,
    /// Where the values lay, for a shape to be learned.
    pub(super) slots: Vec<(std::ops::Range<usize>, Slot)>,
}

/// An event whose values were taken.
pub(super) struct Event {
    /// Index of the closing brace.
    pub(super) object_end: usize,
    /// A member with this reserved name is in it.
    pub(super) reserved: Option<usize>,
}

impl General {
    /// Takes the values of `record` as row `row`. After a fault the row must be taken back.
    pub(super) fn decode(
        &mut self,
        layout: &Layout,
        record: &[u8],
        builders: &mut [Builder],
        row: u32,
    ) -> Result<Event, Fault> {
        self.columns_seen.clear();
        self.columns_seen.resize(layout.columns.len(), false);
        self.objects_seen.clear();
        self.objects_seen.resize(layout.objects.len(), false);
        self.unknown.clear();
        self.slots.clear();
        let mut walk = Walk {
            general: self,
            layout,
            builders,
            row,
            cursor: Cursor { bytes: record, at: 0 },
            reserved: None,
        };
        walk.cursor.whitespace();
        if !walk.cursor.take(b'{') {
            return Err(not_an_object(&mut walk.cursor, 0).into());
        }
        walk.object(&layout.top, 1)?;
        let object_end = walk.cursor.at - 1;
        walk.cursor.whitespace();
        if walk.cursor.peek().is_some() {
            return Err(walk.cursor.syntax("something follows the event").into());
        }
        walk.missing()?;
        Ok(Event { object_end, reserved: walk.reserved })
    }

    /// Columns that the last record did not have.
    pub(super) fn missing(&self) -> impl Iterator<Item = usize> {
        (0..self.columns_seen.len()).filter(|column| !self.columns_seen[*column])
    }
}

/// One pass over one record.
struct Walk<'a> {
    general: &'a mut General,
    layout: &'a Layout,
    builders: &'a mut [Builder],
    row: u32,
    cursor: Cursor<'a>,
    reserved: Option<usize>,
}

impl Walk<'_> {
    /// Reads the members of an object behind its `{`, its `}` included.
    fn object(&mut self, level: &Level, depth: u32) -> Result<(), Fault> {
        self.cursor.whitespace();
        if self.cursor.take(b'}') {
            return Ok(());
        }
        let (first_unknown, mut hint) = (self.general.unknown.len(), 0);
        loop {
            self.member(level, depth, &mut hint)?;
            self.cursor.whitespace();
            if self.cursor.take(b'}') {
                break;
            }
            if !self.cursor.take(b',') {
                return Err(self
                    .cursor
                    .syntax("a comma or the end of an object was expected")
                    .into());
            }
            self.cursor.whitespace();
        }
        if self.general.unknown.drain_has_twins(first_unknown) {
            return Err(Problem::Duplicate.into());
        }
        Ok(())
    }

    fn member(&mut self, level: &Level, depth: u32, hint: &mut usize) -> Result<(), Fault> {
        let text = self.cursor.member_name()?;
        let mut name = text.raw;
        if text.escaped {
            self.general.name.clear();
            text.unescape(&mut self.general.name);
            name = &self.general.name;
        }
        let start = self.cursor.at;
        match level.find(name, hint) {
            Some(Member::Column(column)) => {
                let place = Place::Column(column);
                if std::mem::replace(&mut self.general.columns_seen[column], true) {
                    return Err(Fault { problem: Problem::Duplicate, place });
                }
                self.builders[column]
                    .push(&mut self.cursor, self.row)
                    .map_err(|problem| Fault { problem, place })?;
                self.general.slots.push((start..self.cursor.at, Slot::Column(column)));
            }
            Some(Member::Object(object)) => {
                let place = Place::Object(object);
                if std::mem::replace(&mut self.general.objects_seen[object], true) {
                    return Err(Fault { problem: Problem::Duplicate, place });
                }
                // A null object is one whose members are all missing; it is no slot, so that a
                // shape learned here only fits where it is null again.
                match self.cursor.peek() {
                    Some(b'{') => {
                        self.cursor.at += 1;
                        let layout = self.layout;
                        self.object(&layout.objects[object].1, depth + 1)?;
                    }
                    Some(b'n') => self.cursor.word(b"null")?,
                    _ => {
                        return Err(Fault {
                            problem: not_an_object(&mut self.cursor, depth),
                            place,
                        });
                    }
                }
            }
            other => {
                if let Some(Member::Reserved(name)) = other {
                    self.reserved = Some(name);
                }
                self.general.unknown.push(name);
                self.cursor.skip_value(depth)?;
                self.general.slots.push((start..self.cursor.at, Slot::Skip { depth }));
            }
        }
        Ok(())
    }

    fn missing(&mut self) -> Result<(), Fault> {
        for (column, builder) in self.builders.iter_mut().enumerate() {
            if self.general.columns_seen[column] {
                continue;
            }
            if !builder.nullable() {
                return Err(Fault { problem: Problem::Missing, place: Place::Column(column) });
            }
            builder.push_null(self.row);
        }
        Ok(())
    }
}

/// Names of members that no column wants, to find one that appears twice.
#[derive(Default)]
struct Names {
    text: Vec<u8>,
    spans: Vec<(usize, usize)>,
}

impl Names {
    fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
    }

    fn len(&self) -> usize {
        self.spans.len()
    }

    fn push(&mut self, name: &[u8]) {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        self.spans.push((start, self.text.len()));
    }

    /// Whether two names from `first` on are the same; forgets these names.
    fn drain_has_twins(&mut self, first: usize) -> bool {
        let (text, spans) = (&self.text, &mut self.spans[first..]);
        let name = |span: &(usize, usize)| &text[span.0..span.1];
        // A few are compared pairwise; many are sorted, or a hostile event would cost their square.
        let twins = if spans.len() <= 16 {
            (1..spans.len())
                .any(|at| spans[..at].iter().any(|other| name(other) == name(&spans[at])))
        } else {
            spans.sort_unstable_by(|left, right| name(left).cmp(name(right)));
            spans.windows(2).any(|pair| name(&pair[0]) == name(&pair[1]))
        };
        self.spans.truncate(first);
        twins
    }
}

/// What is wrong with what stands where an object was expected: another value, or no JSON at all.
fn not_an_object(cursor: &mut Cursor<'_>, depth: u32) -> Problem {
    let Some(found) = kind_at(cursor.peek()) else {
        return cursor.syntax("an object was expected");
    };
    cursor.skip_value(depth).err().unwrap_or(Problem::NotAnObject { found })
}
