//! The pages as they are sent: embedded, complete, asking nothing of anybody else.
//!
//! A page is the same for everybody; what it shows it asks the API for. The policy forbids whatever
//! is not one of these files, so that a name from a topic can never become code.

use std::sync::LazyLock;

/// What a browser may do with a page.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

static OVERVIEW: LazyLock<String> =
    LazyLock::new(|| in_shell("Overview", "overview", include_str!("pages/overview.html")));
static COLUMN: LazyLock<String> =
    LazyLock::new(|| in_shell("Column", "column", include_str!("pages/column.html")));
static ALERTS: LazyLock<String> =
    LazyLock::new(|| in_shell("Alerts", "alerts", include_str!("pages/alerts.html")));
static ALERT: LazyLock<String> =
    LazyLock::new(|| in_shell("Alert", "alert", include_str!("pages/alert.html")));

/// A file to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Its media type.
    pub kind: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The page or asset at this path.
#[must_use]
pub fn page(path: &str) -> Option<Page> {
    let html = |text| Page { kind: HTML, text };
    let script = |text| Page { kind: SCRIPT, text };
    Some(match path {
        "/" => html(&OVERVIEW),
        "/column" => html(&COLUMN),
        "/alerts" => html(&ALERTS),
        "/assets/style.css" => Page { kind: STYLE, text: include_str!("pages/style.css") },
        "/assets/common.js" => script(include_str!("pages/common.js")),
        "/assets/charts.js" => script(include_str!("pages/charts.js")),
        "/assets/performance.js" => script(include_str!("pages/performance.js")),
        "/assets/overview.js" => script(include_str!("pages/overview.js")),
        "/assets/column.js" => script(include_str!("pages/column.js")),
        "/assets/alerts.js" => script(include_str!("pages/alerts.js")),
        "/assets/alert.js" => script(include_str!("pages/alert.js")),
        path => match path.strip_prefix("/alerts/") {
            Some(id) if !id.is_empty() && !id.contains('/') => html(&ALERT),
            Some(_) | None => return None,
        },
    })
}

/// A page around its `main`; head and navigation are those of all pages.
fn in_shell(title: &str, script: &str, main: &str) -> String {
    // One alert lies a folder deeper.
    let (up, home) = if script == "alert" { ("../", "../") } else { ("", "./") };
    let current = |page| if page == script { " aria-current=\"page\"" } else { "" };
    format!(
        include_str!("pages/shell.html"),
        title = title,
        script = script,
        up = up,
        home = home,
        on_overview = current("overview"),
        on_alerts = current("alerts"),
        main = main
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 12] = [
        "/",
        "/column",
        "/alerts",
        "/alerts/0123456789abcdef",
        "/assets/style.css",
        "/assets/common.js",
        "/assets/charts.js",
        "/assets/performance.js",
        "/assets/overview.js",
        "/assets/column.js",
        "/assets/alerts.js",
        "/assets/alert.js",
    ];

    #[test]
    fn what_a_page_asks_for_is_there() {
        for path in PATHS {
            let page = page(path).unwrap_or_else(|| panic!("{path} is not there"));
            let up = if path.starts_with("/alerts/") { "../" } else { "" };
            for part in page.text.split(['"', '\'']) {
                let asset = part.strip_prefix(up).and_then(|rest| rest.strip_prefix("assets/"));
                let script = part.strip_prefix("./").filter(|rest| rest.ends_with(".js"));
                if let Some(name) = asset.or(script) {
                    assert!(super::page(&format!("/assets/{name}")).is_some(), "{path}: {part}");
                }
            }
        }
        for path in ["", "/alerts/", "/alerts/a/b", "/assets/", "/assets/../lib.rs", "/favicon.ico"]
        {
            assert_eq!(page(path), None, "{path}");
        }
    }

    #[test]
    fn nothing_is_inserted_as_markup_and_nothing_is_inline() {
        let banned = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "srcdoc",
            "eval(",
            "new Function",
            "javascript:",
            "style=\"",
            "onclick=",
            "<style",
            "http://127",
            "https://",
        ];
        for path in PATHS {
            let text = page(path).unwrap().text;
            for word in banned {
                assert!(!text.contains(word), "{path}: {word}");
            }
            assert!(!text.contains("<script>"), "{path}: an inline script");
        }
    }
}
