//! Everything the policy remembers, and the one step that takes a window in.

use std::collections::BTreeMap;

use super::memory::Memory;
use super::{Course, Episode, Group, JudgedWindow, LastEpisode, Phase, Rule, Severity, Subject};

/// A firing subject that was not judged for so long, while others of its group were on windows of
/// the same kind, is let go: its version was replaced or its column dropped. (Where nothing is
/// judged any more, nothing is let go: that is what the no-data rule is for.)
pub const FORGET_AFTER_MS: i64 = 24 * 3_600_000;

/// What a window changed about a group.
#[derive(Clone, Debug, PartialEq)]
pub enum Transition {
    /// Some subject breached for the first time; nobody is told.
    Pending(Group),
    /// A new episode.
    Fired(Episode),
    /// More or fewer subjects in an open episode; nobody is told.
    Changed(Episode),
    /// An open episode became more severe than it ever was.
    Upgraded {
        /// As it is now.
        episode: Episode,
        /// The severity so far.
        before: Severity,
    },
    /// All subjects of an episode are clear; it holds the last ones.
    Resolved(Episode),
    /// An episode would have begun, but the last one ended too short a time ago.
    HeldBack(Group),
}

/// A stored course.
pub type CourseRow = (Subject, Course);

/// The memory of all groups. What changed since it was last asked is kept for the store.
#[derive(Clone, Debug, Default)]
pub struct Book {
    rules: BTreeMap<String, Rule>,
    groups: BTreeMap<Group, Memory>,
    /// Stored subjects of rules that there are no more, until they are let go.
    orphans: Vec<Subject>,
}

/// What has to be stored after a window.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) courses: Vec<CourseRow>,
    pub(crate) dropped: Vec<Subject>,
    pub(crate) groups: Vec<(Group, Option<Episode>, Option<LastEpisode>)>,
    pub(crate) transitions: Vec<Transition>,
}

impl Book {
    /// An empty memory under these rules.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let rules = rules.into_iter().map(|rule| (rule.name.clone(), rule)).collect();
        Self { rules, groups: BTreeMap::new(), orphans: Vec::new() }
    }

    /// Takes a stored course back.
    pub(crate) fn restore_course(&mut self, of: Subject, course: Course) {
        let Some(rule) = self.rules.get(&of.rule) else {
            self.orphans.push(of);
            return;
        };
        let (class, chain) = (rule.measure.class(), rule.measure.chain());
        let memory = self.memory(&of.model, class);
        memory.newest.remember(chain, course.last_ms);
        memory.courses.insert(of, course);
    }

    /// Takes a stored group back.
    pub(crate) fn restore_group(
        &mut self,
        group: Group,
        open: Option<Episode>,
        last: Option<LastEpisode>,
    ) {
        let memory = self.groups.entry(group).or_default();
        (memory.open, memory.last) = (open, last);
    }

    /// The rule of this name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.get(name)
    }

    /// Open episodes.
    pub fn open(&self) -> impl Iterator<Item = &Episode> {
        self.groups.values().filter_map(|memory| memory.open.as_ref())
    }

    /// Subjects of each rule and model that are pending and that fire, quiet ones not counted.
    pub(crate) fn standing(&self) -> BTreeMap<(&str, &str), [u64; 2]> {
        let mut standing: BTreeMap<(&str, &str), [u64; 2]> = BTreeMap::new();
        for (of, course) in self.groups.values().flat_map(|memory| &memory.courses) {
            let counts = standing.entry((&of.rule, &of.model)).or_default();
            match course.phase {
                Phase::Quiet => {}
                Phase::Pending => counts[0] += 1,
                Phase::Firing => counts[1] += 1,
            }
        }
        standing
    }

    /// The open episode of a group.
    pub fn open_of(&self, group: &Group) -> Option<&Episode> {
        self.groups.get(group)?.open.as_ref()
    }

    /// Whether any subject of the group breached lately: firing or pending.
    pub fn is_troubled(&self, group: &Group) -> bool {
        self.groups.get(group).is_some_and(Memory::is_troubled)
    }

    /// Takes a window in. Findings of unknown rules, or of columns that a rule leaves out, are
    /// passed over; a window that was taken before changes nothing.
    pub fn judge(&mut self, window: &JudgedWindow) -> Vec<Transition> {
        self.take(window).transitions
    }

    /// As [`Book::judge`], with all that the store must write.
    pub(crate) fn take(&mut self, window: &JudgedWindow) -> Changes {
        let mut changes = Changes::default();
        // Groups with a new outcome, and whether they were in trouble before.
        let mut touched = BTreeMap::new();
        for finding in &window.findings {
            let of = finding.of.cleaned();
            let Some(rule) = self.rules.get(&of.rule) else { continue };
            if !rule.applies(&of.model, &of.subject) {
                continue;
            }
            let group = Group { model: of.model.clone(), class: rule.measure.class() };
            let memory = self.groups.entry(group.clone()).or_default();
            let before = memory.courses.get(&of);
            let mut course = before.cloned().unwrap_or_else(Course::new);
            course.step(rule, finding, window);
            if before == Some(&course) || course.last_ms == i64::MIN {
                continue;
            }
            touched.entry(group).or_insert_with(|| memory.is_troubled());
            memory.newest.see(rule.measure.chain(), window.end_ms);
            changes.courses.push((of.clone(), course.clone()));
            memory.courses.insert(of, course);
        }
        for (group, was_troubled) in touched {
            self.settle(group, was_troubled, window, &mut changes);
        }
        changes
    }

    /// Takes over the groups of another book; its own others stay.
    pub(crate) fn adopt(&mut self, other: Self) {
        self.groups.extend(other.groups);
    }

    /// All that it remembers, for a store that has none of it.
    pub(crate) fn whole(&self) -> Changes {
        let memories = self.groups.values();
        let courses = memories.flat_map(|memory| memory.courses.clone()).collect();
        let group = |(group, memory): (&Group, &Memory)| {
            (group.clone(), memory.open.clone(), memory.last.clone())
        };
        Changes { courses, groups: self.groups.iter().map(group).collect(), ..Changes::default() }
    }

    /// Lets go of subjects whose rule is gone, so that they do not fire unseen when it comes back,
    /// and ends open episodes of which no subject is left.
    pub(crate) fn end_orphans(&mut self) -> Changes {
        let dropped = std::mem::take(&mut self.orphans);
        let mut changes = Changes { dropped, ..Changes::default() };
        for (group, memory) in &mut self.groups {
            if memory.firing(&self.rules).is_empty()
                && let Some(episode) = memory.open.take()
            {
                memory.last = Some(LastEpisode {
                    resolved_ms: episode.window_end_ms,
                    severity: episode.severity,
                    cool_down_ms: 0,
                });
                changes.groups.push((group.clone(), None, memory.last.clone()));
                changes.transitions.push(Transition::Resolved(episode));
            }
        }
        changes
    }

    fn memory(&mut self, model: &str, class: super::Class) -> &mut Memory {
        let group = Group { model: model.to_owned(), class };
        self.groups.entry(group).or_default()
    }

    /// Makes the group's episode say what its subjects say.
    fn settle(
        &mut self,
        group: Group,
        was_troubled: bool,
        window: &JudgedWindow,
        changes: &mut Changes,
    ) {
        let Some(memory) = self.groups.get_mut(&group) else { return };
        memory.let_go(&self.rules, changes);
        let firing = memory.firing(&self.rules);
        let before = memory.open.take();
        // What is worth a note does not keep an alarm up.
        let least =
            before.as_ref().map_or(Severity::Info, |open| open.severity.min(Severity::Warning));
        let over = firing.iter().all(|concern| concern.severity < least);
        let transition = match (before, over) {
            (None, true) => {
                let pending = memory.courses.values().any(|course| course.phase == Phase::Pending);
                (pending && !was_troubled).then(|| Transition::Pending(group.clone()))
            }
            (None, false) => memory.begin(&group, firing, &self.rules, window),
            (Some(mut episode), true) => {
                let cool_down_ms = cool_down(&episode, &self.rules);
                (episode.window_start_ms, episode.window_end_ms) = (window.start_ms, window.end_ms);
                memory.last = Some(LastEpisode {
                    resolved_ms: window.end_ms,
                    severity: episode.severity,
                    cool_down_ms,
                });
                Some(Transition::Resolved(episode))
            }
            (Some(episode), false) => memory.go_on(episode, firing, window),
        };
        changes.groups.push((group, memory.open.clone(), memory.last.clone()));
        changes.transitions.extend(transition);
    }
}

/// The longest cool-down of the rules that an episode names.
fn cool_down(episode: &Episode, rules: &BTreeMap<String, Rule>) -> i64 {
    let named = episode.concerns.iter().filter_map(|concern| rules.get(&concern.of.rule));
    named.map(|rule| rule.cool_down_ms).max().unwrap_or(0)
}
