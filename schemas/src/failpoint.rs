//! Named places where a test can end the process as kill -9 would.
//!
//! `TIDEGATE_FAILPOINT=name` aborts at the first passage of that place, `name=3` at the third.
//! Unset, a passage costs one load of a variable that is never written again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

struct Armed {
    name: String,
    left: AtomicU32,
}

/// Passes the place called `name`, or aborts there.
pub fn pass(name: &str) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let Some(armed) = ARMED.get_or_init(|| parse(&std::env::var("TIDEGATE_FAILPOINT").ok()?))
    else {
        return;
    };
    if armed.name == name && armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        std::process::abort();
    }
}

fn parse(text: &str) -> Option<Armed> {
    let (name, count) = text.split_once('=').unwrap_or((text, "1"));
    let count = count.parse().ok().filter(|count| *count > 0)?;
    (!name.is_empty()).then(|| Armed { name: name.to_owned(), left: AtomicU32::new(count) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_the_variable() {
        for (text, expected) in [
            ("a.b", Some(("a.b", 1))),
            ("a.b=3", Some(("a.b", 3))),
            ("a.b=0", None),
            ("a.b=x", None),
            ("", None),
        ] {
            let parsed = parse(text);
            let have = parsed.as_ref().map(|a| (a.name.as_str(), a.left.load(Ordering::Relaxed)));
            assert_eq!(have, expected, "{text}");
        }
    }
}
