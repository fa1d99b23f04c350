//! What is remembered of one group: the courses of its subjects, its open and its last episode.

use std::collections::{BTreeMap, BTreeSet};

use super::book::{Changes, FORGET_AFTER_MS, Transition};
use super::rule::Chain;
use super::{
    Concern, Course, Episode, Group, JudgedWindow, LastEpisode, MAX_CONCERNS, Phase, Rule,
    Severity, Subject,
};

/// A quiet subject is dropped from memory after so long: retired versions must not pile up.
const DROP_AFTER_MS: i64 = 30 * 24 * 3_600_000;

/// One group's memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) courses: BTreeMap<Subject, Course>,
    pub(super) open: Option<Episode>,
    pub(super) last: Option<LastEpisode>,
    /// Ends of the group's newest windows.
    pub(super) newest: Newest,
    /// A beginning was held back and said so.
    pub(super) held: bool,
}

/// Ends of the newest windows, chain by chain. Chains may lie years apart: an archive is judged
/// late while hops are watched, and labels come days after the estimates.
#[derive(Clone, Debug, Default)]
pub(super) struct Newest(BTreeMap<Chain, i64>);

impl Newest {
    /// Takes a window's end in; the clock on the wall may go back.
    pub(super) fn see(&mut self, chain: Chain, end_ms: i64) {
        let newest_ms = match chain {
            Chain::Rows | Chain::Estimated | Chain::Realised => self.of(chain).max(end_ms),
            Chain::Clock => end_ms,
        };
        self.0.insert(chain, newest_ms);
    }

    /// Takes a stored course's last window in.
    pub(super) fn remember(&mut self, chain: Chain, end_ms: i64) {
        self.see(chain, self.of(chain).max(end_ms));
    }

    fn of(&self, chain: Chain) -> i64 {
        self.0.get(&chain).copied().unwrap_or(i64::MIN)
    }
}

impl Memory {
    /// Whether an episode is open, or some subject breached lately.
    pub(super) fn is_troubled(&self) -> bool {
        self.open.is_some() || self.courses.values().any(|course| course.phase != Phase::Quiet)
    }

    /// Lets go of what is no longer judged while others are on windows of the same chain.
    pub(super) fn let_go(&mut self, rules: &BTreeMap<String, Rule>, changes: &mut Changes) {
        let mut dropped = Vec::new();
        for (of, course) in &mut self.courses {
            let Some(rule) = rules.get(&of.rule) else { continue };
            let newest = self.newest.of(rule.measure.chain());
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
        let realised = |concern: &Concern| {
            rules.get(&concern.of.rule).is_some_and(|rule| rule.measure.chain() == Chain::Realised)
        };
        let by_labels = firing.iter().all(realised);
        let subjects = firing.len();
        firing.truncate(MAX_CONCERNS);
        let episode = Episode {
            id: Episode::id_of(group, by_labels, window.end_ms),
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
