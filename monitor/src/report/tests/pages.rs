//! What people see: no name from the data does harm, and the page asks for nothing.

use super::*;

const HOSTILE: &str = "</title><script>alert(1)</script>\"'&\n\u{1b}[2J\u{202e}x";

fn hostile() -> Report {
    let base = uniform(3000, 0);
    let moved: Vec<f64> = uniform(2000, 3).iter().map(|x| x + 0.5).collect();
    let rows: Vec<Option<&str>> = (0..3000).map(|n| [Some(HOSTILE), Some("b")][n % 2]).collect();
    let mut columns = vec![
        numbers(&numeric(HOSTILE, &base), &base, &moved),
        names(&categorical(HOSTILE, &rows), &[Some("new"); 1000]),
        new_column(HOSTILE, "Utf8"),
    ];
    let long = "x".repeat(1 << 20);
    columns.push(new_column(&long, "Utf8"));
    let mut all = report(columns);
    all.reference.name = HOSTILE.into();
    all
}

#[test]
fn hostile_names_are_text() {
    let page = html::page(&hostile());
    assert!(!page.contains("<script") && !page.contains('\u{1b}') && !page.contains('\u{202e}'));
    assert_eq!(page.matches("</title>").count(), 1 + page.matches("<g><title>").count());
    assert!(page.contains("&lt;script&gt;"));
    let text = hostile().to_string();
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    assert!(text.lines().all(|line| line.chars().count() < 400), "a long name is cut");
}

#[test]
fn the_page_is_complete_in_itself() {
    let page = html::page(&hostile());
    for asked in ["http://", "https://", "src=", "url(", "@import", "<link", "<script", "onclick"] {
        assert!(!page.contains(asked), "{asked}");
    }
    for wanted in [
        "<html lang=\"en\">",
        "<title>2 columns drifted",
        "default-src 'none'",
        "prefers-color-scheme: dark",
        "role=\"img\"",
        "aria-label=",
        "<caption>",
        "scope=\"row\"",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    for tag in ["section", "figure", "svg", "table", "details", "dl", "main"] {
        let opened =
            page.matches(&format!("<{tag}>")).count() + page.matches(&format!("<{tag} ")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}

#[test]
fn the_table_says_how_many() {
    let text = hostile().to_string();
    assert!(text.contains("2 of 2 columns drifted: PSI ≥ 0.1 or D ≥ 0.1, with q ≤ 0.05"), "{text}");
}
