//! Lines for people, hostile names and reasons, and patterns.

use super::*;

#[test]
fn hostile_texts_become_short_lines() {
    for (text, max, expected) in [
        ("plain", 10, "plain"),
        ("a\nb\tc\0d\x1b[31m", 100, "a b c d [31m"),
        ("left\u{202e}right\u{2028}x", 100, "left right x"),
        ("<script>alert(1)</script>", 100, "<script>alert(1)</script>"),
    ] {
        assert_eq!(clean(text, max), expected);
    }
    let (long, other) = ("ä".repeat(1 << 20), "ä".repeat((1 << 20) + 1));
    let (a, b) = (clean(&long, MAX_NAME_BYTES), clean(&other, MAX_NAME_BYTES));
    assert!(a.len() <= MAX_NAME_BYTES && a.starts_with("ää"), "{a}");
    assert_ne!(a, b, "what is cut off still tells names apart");
}

#[test]
fn a_megabyte_of_label_stays_outside() {
    let mut book = Book::new([nulls()]);
    let mut hostile = finding("nulls", &"x\n".repeat(1 << 19), 0.9);
    hostile.of.segment = "<b>".repeat(1 << 18);
    hostile.reason = "\r\n".repeat(1 << 19);
    book.judge(&window(1, vec![hostile]));
    let episode = book.open().next().map(|episode| serde_json::to_string(episode).unwrap());
    let episode = episode.expect("it fires like any other");
    assert!(episode.len() < 3_000 && !episode.contains("\\n"), "{episode}");
}

#[test]
fn a_line_tells_what_is_bad_from_what_is_not_clear_yet() {
    let volume = Rule { measure: Measure::Volume, threshold: 0.5, resolve: 0.7, ..nulls() };
    for (rule, value, expected) in [
        (nulls(), 0.05, "a null_share 0.05, limit 0.05"),
        (nulls(), 0.03, "a null_share 0.03, limit 0.05, not clear yet"),
        (volume.clone(), 0.2, "a volume 0.2, limit 0.5"),
        (volume.clone(), 0.5, "a volume 0.5, limit 0.5"),
        (volume, 0.6, "a volume 0.6, limit 0.5, not clear yet"),
    ] {
        let mut book = Book::new([rule.clone()]);
        let bad = if rule.measure == Measure::Volume { 0.1 } else { 0.9 };
        book.judge(&window(1, vec![finding("nulls", "a", bad)]));
        book.judge(&window(2, vec![finding("nulls", "a", value)]));
        let lines: Vec<String> =
            book.open().flat_map(|episode| &episode.concerns).map(Concern::line).collect();
        assert_eq!(lines, [expected]);
    }
}

#[test]
fn patterns() {
    for (pattern, name, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a*", "ab", true),
        ("*", "", true),
        ("*b", "ab", true),
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*c", "ab", false),
        ("a*b*c", "a-b-b-c", true),
        ("aa*aa", "aaa", false),
        ("", "", true),
        ("", "x", false),
        ("*x*", "axb", true),
    ] {
        assert_eq!(matches_any(&[pattern.into()], name), expected, "{pattern} on {name}");
    }
}
