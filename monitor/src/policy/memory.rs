//! What is remembered of one group: the courses of its subjects, its open and its last episode.

use std::collections::{BTreeMap, BTreeSet};

use super::book::{Changes, FORGET_AFTER_MS, Transition};
use super::{
    Concern, Course, Episode, Group, JudgedWindow, LastEpisode, MAX_CONCERNS, Phase, Rule,
    Severity, Subject, Time,
};

/// A quiet subject is dropped from memory after so long: retired versions must not pile up.
const DROP_AFTER_MS: i64 = 30 * 24 * 3_600_000;

/// One group's memory.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) courses: BTreeMap<Subject, Course>,
    pub(super) open: Option<Episode>,
    pub(super) last: Option<LastEpisode>,
    /// Ends of the newest windows of the group, by event time and by the clock on the wall.
    pub(super) newest: Newest,
    /// A beginning was held back and said so.
    pub(super) held: bool,
}

/// The two clocks may lie years apart: a replayed archive is judged while hops are watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    event_ms: i64,
    wall_ms: i64,
}

impl Newest {
    /// Takes a window's end in; the clock on the wall may go back.
    pub(super) fn see(&mut self, time: Time, end_ms: i64) {
        match time {
            Time::Event => self.event_ms = self.event_ms.max(end_ms),
            Time::Wall => self.wall_ms = end_ms,
        }
    }

    /// Takes a stored course's last window in.
    pub(super) fn remember(&mut self, time: Time, end_ms: i64) {
        self.see(time, self.of(time).max(end_ms));
    }

    fn of(self, time: Time) -> i64 {
        match time {
            Time::Event => self.event_ms,
            Time::Wall => self.wall_ms,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        let newest = Newest { event_ms: i64::MIN, wall_ms: i64::MIN };
        Self { courses: BTreeMap::new(), open: None, last: None, newest, held: false }
    }
}

impl Memory {
    /// Whether an episode is open, or some subject breached lately.
    pub(super) fn is_troubled(&self) -> bool {
        self.open.is_some() || self.courses.values().any(|course| course.phase != Phase::Quiet)
    }

    /// Lets go of what is no longer judged.
    pub(super) fn let_go(&mut self, rules: &BTreeMap<String, Rule>, changes: &mut Changes) {
        let mut dropped = Vec::new();
        for (of, course) in &mut self.courses {
            let time = rules.get(&of.rule).map_or(Time::Event, |rule| rule.measure.time());
            let newest = self.newest.of(time);
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
    pub(super) fn firing(&self, rules: &BTreeMap<String, Rule>) -> Vec<Concern> {
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

    pub(super) fn begin(
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

    pub(super) fn go_on(
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
