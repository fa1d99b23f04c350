//! Windows judged on real count files.

use std::path::Path;
use std::sync::Arc;

use schemas::Contract;

use super::{
    Clock, Finding, FindingRule, Reference, ReportRow, Reports, Round, Rules, State, Versions,
    WINDOWS_BYTES, Watched, complete, group_bytes, publish, together,
};
use crate::count::tests::{Dice, HOUR, Row, archive, count, counter, profile};
use crate::count::{Counter, MICROS, Settings};
use crate::window::{Lagging, Windows, late_rows};

const ROWS: i64 = 800;

fn clock() -> Clock {
    Clock {
        windows: Windows::new(3600, 3600, 60).unwrap(),
        previous_seconds: 3600,
        lateness_seconds: 300,
        idle_seconds: 600,
    }
}

/// Rows of one hour, changed by `change`.
fn hour(dice: &mut Dice, number: i64, change: impl Fn(usize, &mut Row)) -> Vec<Row> {
    let start = HOUR + number * 3600;
    (0..ROWS as usize)
        .map(|place| {
            let mut row = dice.row(start + place as i64 * 3600 / ROWS);
            change(place, &mut row);
            row
        })
        .collect()
}

fn judged(root: &Path, now: i64) -> Round {
    judged_by(counter(root, 60), root, now)
}

fn judged_by(mut counter: Counter, root: &Path, now: i64) -> Round {
    count(&mut counter);
    let watched = [Watched { counter, versions: Versions::AllBut(vec![]) }];
    let mut reports = Reports::open(root, "scored", clock(), "test").unwrap();
    let round = complete(
        &watched,
        &reports,
        clock(),
        Rules::default(),
        now * MICROS,
        &Lagging::default(),
        2,
    )
    .unwrap();
    publish(&mut reports, clock(), &round).unwrap();
    round
}

fn crossed(rows: &[ReportRow]) -> Vec<Finding> {
    let all = rows.iter().flat_map(|row| row.findings(Rules::default()));
    all.filter(|finding| finding.crossed).collect()
}

#[test]
fn windows_are_judged_once_when_their_time_has_passed() {
    let root = tempfile::tempdir().unwrap();
    let mut dice = Dice(5);
    let hours: Vec<Vec<Row>> = (0..4).map(|number| hour(&mut dice, number, |_, _| ())).collect();
    archive(root.path(), 0, &hours[0]);
    archive(root.path(), 1, &hours[1]);
    // Partition 0 is active and an hour behind: nothing is complete.
    let round = judged(root.path(), HOUR + 3600);
    assert!(round.rows.is_empty() && round.windows.is_empty());
    archive(root.path(), 0, &hours[2]);
    let round = judged(root.path(), HOUR + 2 * 3600);
    assert_eq!(round.windows.end - round.windows.start, 1, "partition 1 holds the second back");
    assert_eq!(crossed(&round.rows), []);
    // It went silent; the last hour is not over.
    let round = judged(root.path(), HOUR + 4 * 3600);
    assert_eq!(round.windows.end - round.windows.start, 1);
    archive(root.path(), 0, &hours[3]);
    let round = judged(root.path(), HOUR + 5 * 3600);
    assert_eq!(round.windows.end - round.windows.start, 1);
    assert_eq!(crossed(&round.rows), []);
    // A late row is counted, and what was judged stays.
    archive(root.path(), 1, &hours[0][..10]);
    assert!(judged(root.path(), HOUR + 5 * 3600).rows.is_empty());
}

/// Whoever counted it, and whether or not it was told before: what the newest report did not count came late.
#[test]
fn what_came_late_follows_from_the_newest_report() {
    let root = tempfile::tempdir().unwrap();
    let mut dice = Dice(13);
    let hours: Vec<Vec<Row>> = (0..5).map(|number| hour(&mut dice, number, |_, _| ())).collect();
    let late = |pane_seconds: u32| {
        let mut counter = counter(root.path(), pane_seconds);
        count(&mut counter);
        let reports = Reports::open(root.path(), "scored", clock(), "test").unwrap();
        let next = clock().windows.extent(reports.position().unwrap()).start;
        late_rows(counter.counted(), reports.counted(), next).unwrap()
    };
    archive(root.path(), 0, &hours[..3].concat());
    assert_eq!(judged(root.path(), HOUR + 9 * 3600).windows.count(), 2);
    assert_eq!(late(60), 0);
    archive(root.path(), 0, &hours[0][..10]);
    archive(root.path(), 1, &hours[1][..20]);
    assert_eq!((late(60), late(60)), (30, 30), "also when they were counted before");
    assert_eq!(late(300), 30, "what is counted anew did not come late");
    archive(root.path(), 0, &hours[3..].concat());
    assert_eq!(judged(root.path(), HOUR + 20 * 3600).windows.count(), 2);
    assert_eq!(late(60), 0);
}

#[test]
fn what_changes_is_found_by_its_rule() {
    type Change = fn(usize, &mut Row);
    let cases: [(Change, &[FindingRule]); 6] = [
        (
            |_, row| row.x = row.x.map(|x| x + 0.7),
            &[FindingRule::DriftTraining, FindingRule::DriftPrevious],
        ),
        (|place, row| row.x = row.x.filter(|_| place % 10 > 0), &[FindingRule::Nulls]),
        (
            |place, row| row.city = if place % 50 == 0 { Some("Atlantis") } else { row.city },
            &[FindingRule::NewCategories],
        ),
        (|place, row| row.x = if place == 7 { Some(1e6) } else { row.x }, &[]),
        (|place, row| row.version = if place % 4 > 0 { "2" } else { "1" }, &[FindingRule::Volume]),
        (|_, row| row.version = "2", &[FindingRule::NoData]),
    ];
    for (at, (change, expected)) in cases.into_iter().enumerate() {
        let root = tempfile::tempdir().unwrap();
        let mut dice = Dice(7 + at as u64);
        let hours = [0, 1, 2].map(|number| match number {
            1 => hour(&mut dice, number, change),
            _ => hour(&mut dice, number, |_, _| ()),
        });
        archive(root.path(), 0, &hours.concat());
        let round = judged(root.path(), HOUR + 9 * 3600);
        let second = round.rows.iter().filter(|row| row.start_us == (HOUR + 3600) * MICROS);
        let whole: Vec<ReportRow> =
            second.filter(|row| row.group.segment.is_none()).cloned().collect();
        let mut rules: Vec<FindingRule> = crossed(&whole).iter().map(|it| it.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        // Nulls and new categories have bins, so they are drift, too.
        rules.retain(|rule| expected.contains(rule) || !expected.iter().any(is_fault_of_values));
        assert_eq!(rules, expected, "case {at}");
    }
}

#[test]
fn a_column_that_is_gone_and_values_outside_of_the_contracts_range_are_found() {
    let root = tempfile::tempdir().unwrap();
    let mut dice = Dice(17);
    let rows = hour(&mut dice, 0, |_, _| ());
    // The next hour says that this one is over.
    archive(root.path(), 0, &[&rows[..], &hour(&mut dice, 1, |_, _| ())].concat());
    let text = "name = \"c\"\nfields = [{ name = \"id\", type = \"string\", role = \"key\" }, \
                { name = \"x\", type = \"float64\", range = [-1, 1] }]";
    let contract = Contract::from_toml(text).unwrap_or_else(|errors| panic!("{errors}"));
    let mut profile = (*profile()).clone();
    let mut gone = profile.column("x").unwrap().clone();
    gone.name = "gone".into();
    profile.columns.push(gone);
    let settings = Settings::new(Arc::new(profile), Some(&contract), 60, &[], &[]).unwrap();
    let counter = Counter::open(settings, root.path(), "results", "scored", "test").unwrap();
    let round = judged_by(counter, root.path(), HOUR + 9 * 3600);
    let of = |column: &str| {
        let mut rows = round.rows.iter().filter(|row| row.column.as_deref() == Some(column));
        rows.find(|row| row.reference == Reference::Training).unwrap()
    };
    let outside =
        rows.iter().filter(|row| row.x.is_some_and(|x| !(-1.0..=1.0).contains(&x) && !x.is_nan()));
    let share = outside.count() as f64 / ROWS as f64;
    assert!(share > 0.2 && of("x").out_of_range_share == Some(share), "{share} {:?}", of("x"));
    assert_eq!((of("x").state, of("gone").state), (State::Stable, State::Missing));
    assert_eq!((of("city").state, of("city").out_of_range_share), (State::Stable, None));
    let crossed: Vec<(FindingRule, String)> =
        crossed(&round.rows).into_iter().map(|it| (it.rule, it.column.unwrap())).collect();
    let expected =
        [(FindingRule::OutOfRange, "x".to_owned()), (FindingRule::Missing, "gone".to_owned())];
    assert_eq!(crossed, expected);
}

fn is_fault_of_values(rule: &FindingRule) -> bool {
    matches!(rule, FindingRule::Nulls | FindingRule::NewCategories)
}

#[test]
fn windows_are_taken_together_as_memory_allows() {
    let root = tempfile::tempdir().unwrap();
    let watched =
        [Watched { counter: counter(root.path(), 60), versions: Versions::AllBut(vec![]) }];
    let settings = watched[0].counter.settings();
    // All rows, four cities, the rest and nulls: known before any window was judged.
    assert_eq!(settings.groups(), 7);
    for (groups, threads) in [(0, 1), (7, 1), (0, 16), (9, 16), (1_000, 2)] {
        let windows = together(&watched, groups, threads) as usize;
        let one = groups.max(7) * group_bytes(settings, threads);
        assert!(windows * one <= WINDOWS_BYTES, "{windows} windows of {groups} groups");
        assert!((windows + 1) * one > WINDOWS_BYTES, "{windows} windows of {groups} groups");
    }
    assert_eq!(together(&watched, 1_000_000, 2), 1, "one is judged whatever it takes");
}

#[test]
fn few_rows_and_no_reference_say_so() {
    let root = tempfile::tempdir().unwrap();
    let mut dice = Dice(11);
    archive(root.path(), 0, &hour(&mut dice, 0, |_, _| ())[..50]);
    archive(root.path(), 0, &hour(&mut dice, 2, |_, _| ()));
    let round = judged(root.path(), HOUR + 9 * 3600);
    let rows: Vec<&ReportRow> =
        round.rows.iter().filter(|row| row.column.as_deref() == Some("x")).collect();
    assert!(rows.iter().all(|row| row.state == State::TooFewRows && row.n <= 50), "{rows:?}");
    let previous = rows.iter().find(|row| row.reference == Reference::Previous).unwrap();
    assert_eq!((previous.reference_n, previous.reference_null_share), (0, None));
    assert_eq!(crossed(&round.rows), []);
}
