//! Member names to what they mean: a column, an object that holds columns, a reserved name.

use std::collections::HashMap;

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
    by_name: HashMap<Vec<u8>, Member>,
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
                    let at = match layout.top.by_name.get(object.as_bytes()) {
                        Some(Member::Object(at)) => *at,
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
            self.top.by_name.insert(name.into(), Member::Reserved(self.reserved.len()));
            self.reserved.push(name.into());
        }
    }
}

impl Level {
    fn add(&mut self, name: &str, member: Member) {
        let before = self.by_name.insert(name.into(), member);
        assert!(before.is_none(), "member {name:?} is wanted twice");
        self.order.push((name.into(), member));
    }

    /// The member called `name`; `hint` is where in the usual order it is looked for first.
    pub(super) fn find(&self, name: &[u8], hint: &mut usize) -> Option<Member> {
        if let Some((expected, member)) = self.order.get(*hint)
            && expected == name
        {
            *hint += 1;
            return Some(*member);
        }
        self.by_name.get(name).copied()
    }
}
