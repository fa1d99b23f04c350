//! What holds for every rule and every sequence of windows.

use proptest::prelude::*;

use super::*;

fn rules() -> impl Strategy<Value = Rule> {
    (1u32..6, 1u32..6, 1u32..4, 0i64..6, 0.0f64..1.0).prop_map(|(k, more, clear, cool, low)| Rule {
        breaches: k,
        windows: k + more - 1,
        clear_windows: clear,
        cool_down_ms: cool * HOUR_MS,
        resolve: 0.2 * low,
        min_rows: 100,
        ..psi()
    })
}

/// Values around both thresholds, sometimes none; q around the level; rows around the minimum.
fn outcome() -> impl Strategy<Value = (f64, f64, u64)> {
    let value = prop_oneof![4 => 0.0..0.7f64, 1 => Just(f64::NAN), 1 => Just(0.2)];
    (
        value,
        prop_oneof![3 => Just(0.001), 1 => Just(0.5)],
        prop_oneof![5 => Just(500), 1 => Just(5)],
    )
}

/// Outcomes of two columns over time.
fn sequences() -> impl Strategy<Value = Vec<[(f64, f64, u64); 2]>> {
    prop::collection::vec([outcome(), outcome()], 1..80)
}

fn both(hour: i64, outcomes: &[(f64, f64, u64); 2]) -> JudgedWindow {
    let made = |(column, (value, q, rows)): (&str, &(f64, f64, u64))| Finding {
        q: Some(*q),
        rows: *rows,
        ..finding("psi", column, *value)
    };
    window(hour, ["a", "b"].into_iter().zip(outcomes).map(made).collect())
}

proptest! {
    /// Fired and resolved take turns, starting with fired; an upgrade only in between.
    #[test]
    fn a_resolve_is_never_before_its_trigger(rule in rules(), sequence in sequences()) {
        let mut book = Book::new([rule]);
        let mut open: Option<(String, Severity)> = None;
        for (hour, outcomes) in (1..).zip(&sequence) {
            for transition in book.judge(&both(hour, outcomes)) {
                match transition {
                    Transition::Fired(episode) => {
                        prop_assert!(open.is_none());
                        open = Some((episode.id, episode.severity));
                    }
                    Transition::Upgraded { episode, before } => {
                        prop_assert_eq!(&open, &Some((episode.id.clone(), before)));
                        prop_assert!(episode.severity > before);
                        open = Some((episode.id, episode.severity));
                    }
                    Transition::Changed(episode) => {
                        prop_assert_eq!(&open, &Some((episode.id, episode.severity)));
                    }
                    Transition::Resolved(episode) => {
                        prop_assert_eq!(open.take(), Some((episode.id, episode.severity)));
                    }
                    Transition::Pending(_) | Transition::HeldBack(_) => prop_assert!(open.is_none()),
                }
            }
            prop_assert_eq!(book.open().count(), usize::from(open.is_some()));
        }
    }

    /// It fires only if some column breached in k of its last n judged windows, the last included;
    /// and it resolves only after all columns were clear in as many judged windows as asked for.
    #[test]
    fn k_of_n_fire_and_clear_windows_resolve(rule in rules(), sequence in sequences()) {
        // What a cool-down held back fires at its end, without a breach of its own.
        let rule = Rule { cool_down_ms: 0, ..rule };
        let mut book = Book::new([rule.clone()]);
        let mut judged: [Vec<f64>; 2] = [vec![], vec![]];
        for (hour, outcomes) in (1..).zip(&sequence) {
            for (values, (value, q, rows)) in judged.iter_mut().zip(outcomes) {
                if *rows >= 100 && value.is_finite() {
                    // Without significance there is no breach, however large the effect.
                    values.push(if *q > 0.01 { value.min(0.199_999) } else { *value });
                }
            }
            let last = |values: &Vec<f64>, n: u32| values.iter().rev().take(n as usize).copied().collect::<Vec<_>>();
            for transition in book.judge(&both(hour, outcomes)) {
                match transition {
                    Transition::Fired(_) => {
                        let enough = judged.iter().any(|values| {
                            let last = last(values, rule.windows);
                            last.iter().filter(|value| **value >= rule.threshold).count() as u32
                                >= rule.breaches
                        });
                        prop_assert!(enough);
                    }
                    Transition::Resolved(episode) => for concern in &episode.concerns {
                        let values = &judged[usize::from(concern.of.subject == "b")];
                        let last = last(values, rule.clear_windows);
                        prop_assert!(last.len() as u32 == rule.clear_windows);
                        prop_assert!(last.iter().all(|value| *value < rule.resolve), "{last:?}");
                    },
                    _ => {}
                }
            }
        }
    }

    /// Values that stay between the thresholds never change anything: no flapping.
    #[test]
    fn between_the_thresholds_nothing_happens(
        values in prop::collection::vec(0.1..0.2f64, 1..100),
        fires in any::<bool>(),
    ) {
        let mut book = Book::new([psi()]);
        if fires {
            book.judge(&window(1, vec![finding("psi", "a", 0.3)]));
            book.judge(&window(2, vec![finding("psi", "a", 0.3)]));
        }
        for (hour, value) in (3..).zip(values) {
            prop_assert_eq!(book.judge(&window(hour, vec![finding("psi", "a", value)])), []);
        }
        prop_assert_eq!(book.open().count(), usize::from(fires));
    }

    /// However wildly a value swings, alarms are at least as far apart as the cool-down, unless
    /// they get worse.
    #[test]
    fn the_cool_down_bounds_the_number_of_alarms(sequence in sequences(), hours in 1i64..10) {
        let rule = Rule {
            breaches: 1, windows: 1, clear_windows: 1, critical: None,
            cool_down_ms: hours * HOUR_MS, ..psi()
        };
        let mut book = Book::new([rule]);
        let mut resolved: Option<i64> = None;
        for (hour, outcomes) in (1..).zip(&sequence) {
            for transition in book.judge(&both(hour, outcomes)) {
                match transition {
                    Transition::Fired(_) => prop_assert!(resolved.is_none_or(|at| hour - at >= hours)),
                    Transition::Resolved(_) => resolved = Some(hour),
                    _ => {}
                }
            }
        }
    }

    /// Windows that come again, in any order, change nothing.
    #[test]
    fn repeats_change_nothing(rule in rules(), sequence in sequences(), again in prop::collection::vec(0usize..80, 0..40)) {
        let mut book = Book::new([rule]);
        for (hour, outcomes) in (1..).zip(&sequence) {
            book.judge(&both(hour, outcomes));
        }
        for index in again {
            if let Some(outcomes) = sequence.get(index).filter(|pair| pair.iter().all(|one| one.0.is_finite() && one.2 >= 100)) {
                // The last window of a column may have been no evidence: then it is no repeat.
                let last_good = sequence.iter().rposition(|pair| pair.iter().all(|one| one.0.is_finite() && one.2 >= 100));
                if last_good >= Some(index) {
                    prop_assert_eq!(book.judge(&both(index as i64 + 1, outcomes)), []);
                }
            }
        }
    }

    /// Stored and read back after any window, everything goes on as if nothing had been.
    #[test]
    fn memory_survives_being_stored(rule in rules(), sequence in sequences()) {
        let mut whole = Book::new([rule.clone()]);
        let mut stored = Book::new([rule.clone()]);
        let mut courses = std::collections::BTreeMap::new();
        let mut groups = std::collections::BTreeMap::new();
        for (hour, outcomes) in (1..).zip(&sequence) {
            let expected = whole.judge(&both(hour, outcomes));
            let changes = stored.take(&both(hour, outcomes));
            // A stored number may differ in its last bit; that it was said that something is held
            // back is not stored.
            let told = |all: &[Transition]| -> Vec<(&'static str, Option<(String, usize)>)> {
                let of = |episode: &Episode| Some((episode.id.clone(), episode.subjects));
                all.iter()
                    .filter(|one| !matches!(one, Transition::HeldBack(_)))
                    .map(|one| (word(one), match one {
                        Transition::Fired(episode) | Transition::Changed(episode)
                        | Transition::Resolved(episode) | Transition::Upgraded { episode, .. } => of(episode),
                        Transition::Pending(_) | Transition::HeldBack(_) => None,
                    }))
                    .collect()
            };
            prop_assert_eq!(told(&changes.transitions), told(&expected));
            courses.extend(changes.courses);
            groups.extend(changes.groups.into_iter().map(|(group, open, last)| (group, (open, last))));
            stored = Book::new([rule.clone()]);
            for (of, course) in &courses {
                let text = serde_json::to_string(course).unwrap();
                stored.restore_course(of.clone(), serde_json::from_str(&text).unwrap());
            }
            for (group, (open, last)) in &groups {
                stored.restore_group(group.clone(), open.clone(), last.clone());
            }
        }
    }

    /// A clock that jumps, back or forth, neither panics nor keeps an alarm from firing and
    /// resolving within the windows that it takes, plus one cool-down.
    #[test]
    fn a_jumping_clock_holds_nothing_up(jumps in prop::collection::vec(-10_000i64..10_000, 1..60)) {
        let rule = Rule {
            name: "lag".into(), measure: Measure::Lag, threshold: 60.0, resolve: 30.0,
            critical: None, level: None, cool_down_ms: 2 * HOUR_MS, ..psi()
        };
        let mut book = Book::new([rule]);
        let mut hour = 0;
        let mut tick = |book: &mut Book, step: i64, value: f64| {
            hour += step;
            let end_ms = hour * HOUR_MS;
            let findings = vec![finding("lag", "score", value)];
            book.judge(&JudgedWindow { start_ms: end_ms, end_ms, time: Time::Wall, findings })
        };
        for jump in jumps {
            tick(&mut book, jump, 10.0);
            for _ in 0..5 {
                tick(&mut book, 1, 100.0);
            }
            prop_assert_eq!(book.open().count(), 1);
            tick(&mut book, jump.max(1), 10.0);
            tick(&mut book, 1, 10.0);
            prop_assert_eq!(book.open().count(), 0);
        }
    }
}
