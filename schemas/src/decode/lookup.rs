//! Member names to what they mean: a column, an object that holds columns, a reserved name.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::Column;

/// What a member is to the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// Index of a column.
    Column(usize),
    /// Index of an object that holds columns.
    Object(usize),
    /// Index of a name that an event may not have.
    Reserved(usize),
}

/// The columns and where they lie.
pub(super) struct Layout {
    pub(super) columns: Vec<Column>,
    pub(super) top: Level,
    /// Objects that hold columns: name and members.
    pub(super) objects: Vec<(String, Level)>,
    pub(super) reserved: Vec<String>,
}

/// The named members of one object.
#[derive(Default)]
pub(super) struct Level {
    by_name: HashMap<Vec<u8>, usize, BuildHasherDefault<Fnv>>,
    /// As they were named: events mostly hold them in this order.
    order: Vec<(Vec<u8>, Member)>,
}

impl Layout {
    /// # Panics
    /// When a path has no name or more than two, or two columns want the same member.
    pub(super) fn new(columns: Vec<Column>) -> Self {
        let mut layout =
            Self { columns: vec![], top: Level::default(), objects: vec![], reserved: vec![] };
        for (index, column) in columns.iter().enumerate() {
            match &column.path[..] {
                [name] => layout.top.add(name, Member::Column(index)),
                [object, name] => {
                    let at = match layout.top.find(object.as_bytes(), &mut 0) {
                        Some(Member::Object(at)) => at,
                        _ => {
                            layout.objects.push((object.clone(), Level::default()));
                            layout.top.add(object, Member::Object(layout.objects.len() - 1));
                            layout.objects.len() - 1
                        }
                    };
                    layout.objects[at].1.add(name, Member::Column(index));
                }
                path => panic!("column {:?} lies at {path:?}: one or two names", column.name),
            }
        }
        layout.columns = columns;
        layout
    }

    /// Names a top-level member that an event may not have, unless a column lies there.
    pub(super) fn reserve(&mut self, name: &str) {
        if !self.top.by_name.contains_key(name.as_bytes()) {
            self.top.add(name, Member::Reserved(self.reserved.len()));
            self.reserved.push(name.into());
        }
    }
}

impl Level {
    fn add(&mut self, name: &str, member: Member) {
        let before = self.by_name.insert(name.into(), self.order.len());
        assert!(before.is_none(), "member {name:?} is wanted twice");
        self.order.push((name.into(), member));
    }

    /// The member called `name`; `hint` is where in the usual order it is looked for first, and
    /// moves behind it.
    pub(super) fn find(&self, name: &[u8], hint: &mut usize) -> Option<Member> {
        let expected = self.order.get(*hint).is_some_and(|(expected, _)| expected == name);
        let at = if expected { *hint } else { *self.by_name.get(name)? };
        *hint = at + 1;
        Some(self.order[at].1)
    }
}

/// FNV-1a 64: names are short, and no event can add one to the table.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
