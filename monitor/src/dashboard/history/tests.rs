//! More names than series are kept.

use super::super::tests::History as Made;
use super::*;

/// Names of columns by window, the oldest first; empty for the window's rows as a whole.
fn kept(history: &History) -> Vec<Vec<String>> {
    let names = |window: &Window| {
        let name = |point| history.key(point).column.clone().unwrap_or_default();
        window.points.iter().map(name).collect()
    };
    history.windows().values().map(names).collect()
}

fn history(made: &Made, most_series: usize) -> History {
    let mut history = History::new(made.reports(), MOST_ROWS);
    history.most_series = most_series;
    history.refresh().unwrap();
    history
}

#[test]
fn the_series_judged_longest_ago_makes_room_for_a_new_one() {
    let made = Made::of(1, 4);
    let mut history = history(&made, 6);
    assert_eq!(kept(&history), [["", "c0000", "c0001", "c0002", "c0003"]]);
    let mut take = |window, names: &[&str]| {
        made.publish(window, names.iter().copied());
        history.refresh().unwrap();
        (kept(&history), history.left_out())
    };
    // The sixth fits; for the seventh and eighth two of the first window go, with their points.
    let (names, left_out) = take(1, &["c0001", "a", "b", "c"]);
    assert_eq!(names, [vec!["", "c0001", "c0003"], vec!["", "c0001", "a", "b", "c"]]);
    assert_eq!(left_out, 2);
    // Who comes back is a new one; places that were freed are of their new names.
    let (names, left_out) = take(2, &["c0000", "a"]);
    assert_eq!(
        names,
        [vec!["", "c0001"], vec!["", "c0001", "a", "b", "c"], vec!["", "c0000", "a"]]
    );
    assert_eq!(left_out, 3);
}

#[test]
fn what_is_newer_does_not_make_room_for_what_is_older() {
    let made = Made::of(1, 4);
    made.publish(1, ["a", "b"].into_iter());
    // Files are read from the newest on.
    let history = history(&made, 3);
    assert_eq!(kept(&history), [vec![""], vec!["", "a", "b"]]);
    assert_eq!(history.left_out(), 4);
}

#[test]
fn a_window_with_more_names_than_are_kept_keeps_the_first() {
    let made = Made::of(1, 9);
    let history = history(&made, 4);
    assert_eq!(kept(&history), [["", "c0000", "c0001", "c0002"]]);
    assert_eq!(history.left_out(), 6);
}
