//! Everything the policy remembers, and the one step that takes a window in.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Concern, Course, Episode, Group, JudgedWindow, LastEpisode, MAX_CONCERNS, Phase, Rule,
    Severity, Subject,
};

/// A firing subject that was not judged for so long, while its group was, is let go: its version
/// was replaced or its column dropped. (Where nothing is judged any more, nothing is let go: that
/// is what the no-data rule is for.)
pub const FORGET_AFTER_MS: i64 = 24 * 3_600_000;

/// A quiet subject is dropped from memory after so long: retired versions must not pile up.
const DROP_AFTER_MS: i64 = 30 * 24 * 3_600_000;

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
}

#[derive(Clone, Debug)]
struct Memory {
    courses: BTreeMap<Subject, Course>,
    open: Option<Episode>,
    last: Option<LastEpisode>,
    /// End of the newest window of the group.
    newest_ms: i64,
    /// A beginning was held back and said so.
    held: bool,
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
        Self { rules, groups: BTreeMap::new() }
    }

    /// Takes a stored course back.
    pub(crate) fn restore_course(&mut self, of: Subject, course: Course) {
        // A subject whose rule is gone is let go with it.
        if let Some(rule) = self.rules.get(&of.rule) {
            let memory = self.memory(&of.model, rule.measure.class());
            memory.newest_ms = memory.newest_ms.max(course.last_ms);
            memory.courses.insert(of, course);
        }
    }

    /// Takes a stored group back.
    pub(crate) fn restore_group(
        &mut self,
        group: Group,
        open: Option<Episode>,
        last: Option<LastEpisode>,
    ) {
        let memory = self.groups.entry(group).or_default();
        let ends = open.iter().map(|episode| episode.window_end_ms);
        memory.newest_ms = ends.fold(memory.newest_ms, i64::max);
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
            changes.courses.push((of.clone(), course.clone()));
            memory.courses.insert(of, course);
        }
        for (group, was_troubled) in touched {
            self.settle(group, was_troubled, window, &mut changes);
        }
        changes
    }

    /// Ends open episodes of which no subject is left, because the rules changed.
    pub(crate) fn end_orphans(&mut self) -> Changes {
        let mut changes = Changes::default();
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
        memory.newest_ms = match window.time {
            super::Time::Event => memory.newest_ms.max(window.end_ms),
            super::Time::Wall => window.end_ms,
        };
        memory.let_go(changes);
        let firing = memory.firing(&self.rules);
        let before = memory.open.take();
        let transition = match (before, firing.is_empty()) {
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

impl Default for Memory {
    fn default() -> Self {
        let courses = BTreeMap::new();
        Self { courses, open: None, last: None, newest_ms: i64::MIN, held: false }
    }
}

impl Memory {
    /// Whether an episode is open, or some subject breached lately.
    fn is_troubled(&self) -> bool {
        self.open.is_some() || self.courses.values().any(|course| course.phase != Phase::Quiet)
    }

    /// Lets go of what is no longer judged.
    fn let_go(&mut self, changes: &mut Changes) {
        let newest = self.newest_ms;
        let mut dropped = Vec::new();
        for (of, course) in &mut self.courses {
            let silent_ms = newest.saturating_sub(course.last_ms);
            if course.phase != Phase::Quiet && silent_ms > FORGET_AFTER_MS {
                course.end(newest);
                changes.courses.push((of.clone(), course.clone()));
            } else if course.phase == Phase::Quiet && silent_ms > DROP_AFTER_MS {
                dropped.push(of.clone());
            }
        }
        for of in dropped {
            self.courses.remove(&of);
            changes.dropped.push(of);
        }
    }

    /// Firing subjects, the worst first.
    fn firing(&self, rules: &BTreeMap<String, Rule>) -> Vec<Concern> {
        let mut firing: Vec<(f64, Concern)> = self
            .courses
            .iter()
            .filter(|(_, course)| course.phase == Phase::Firing)
            .filter_map(|(of, course)| {
                let rule = rules.get(&of.rule)?;
                Some((rule.excess(course.value), Concern::new(of, course, rule)))
            })
            .collect();
        firing.sort_by(|(a, left), (b, right)| {
            right.severity.cmp(&left.severity).then(b.total_cmp(a)).then(left.of.cmp(&right.of))
        });
        firing.into_iter().map(|(_, concern)| concern).collect()
    }

    fn begin(
        &mut self,
        group: &Group,
        mut firing: Vec<Concern>,
        rules: &BTreeMap<String, Rule>,
        window: &JudgedWindow,
    ) -> Option<Transition> {
        let severity = most_severe(&firing);
        if let Some(last) = &mut self.last {
            // A clock that went back must not make the cool-down longer than it is.
            last.resolved_ms = last.resolved_ms.min(window.end_ms);
            let since_ms = window.end_ms - last.resolved_ms;
            if since_ms < last.cool_down_ms && severity <= last.severity {
                let said = std::mem::replace(&mut self.held, true);
                return (!said).then(|| Transition::HeldBack(group.clone()));
            }
        }
        self.held = false;
        let subjects = firing.len();
        firing.truncate(MAX_CONCERNS);
        let episode = Episode {
            id: Episode::id_of(group, window.end_ms),
            group: group.clone(),
            severity,
            fired_ms: window.end_ms,
            window_start_ms: window.start_ms,
            window_end_ms: window.end_ms,
            concerns: firing,
            subjects,
        };
        debug_assert!(episode.concerns.iter().all(|concern| rules.contains_key(&concern.of.rule)));
        self.open = Some(episode.clone());
        Some(Transition::Fired(episode))
    }

    fn go_on(
        &mut self,
        before: Episode,
        mut firing: Vec<Concern>,
        window: &JudgedWindow,
    ) -> Option<Transition> {
        let before_severity = before.severity;
        let severity = before_severity.max(most_severe(&firing));
        let subjects = firing.len();
        firing.truncate(MAX_CONCERNS);
        let named = |concerns: &[Concern]| -> BTreeSet<Subject> {
            concerns.iter().map(|concern| concern.of.clone()).collect()
        };
        let same = subjects == before.subjects && named(&firing) == named(&before.concerns);
        let upgraded = severity > before_severity;
        let episode = Episode {
            severity,
            window_start_ms: window.start_ms,
            window_end_ms: window.end_ms,
            concerns: firing,
            subjects,
            ..before
        };
        self.open = Some(episode.clone());
        if upgraded {
            Some(Transition::Upgraded { episode, before: before_severity })
        } else {
            (!same).then_some(Transition::Changed(episode))
        }
    }
}

fn most_severe(firing: &[Concern]) -> Severity {
    firing.iter().map(|concern| concern.severity).max().unwrap_or(Severity::Info)
}

/// The longest cool-down of the rules that an episode names.
fn cool_down(episode: &Episode, rules: &BTreeMap<String, Rule>) -> i64 {
    let named = episode.concerns.iter().filter_map(|concern| rules.get(&concern.of.rule));
    named.map(|rule| rule.cool_down_ms).max().unwrap_or(0)
}
