//! Named places where a test can end the process as kill -9 would, make it slow, or panic.
//!
//! `TIDEGATE_FAILPOINT=name` aborts at the first passage of that place, `name=3` at the third;
//! `name=delay:50` takes 50 ms at each, `name=panic` panics at the first. Unset, a passage costs one load of
//! a variable that is never written again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

struct Armed {
    name: String,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Abort at the last of so many passages.
    Abort(AtomicU32),
    Delay(Duration),
    /// Panic at the first passage.
    Panic(AtomicBool),
}

/// Passes the place called `name`, or aborts there, or takes its time.
pub fn pass(name: &str) {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    let Some(armed) = ARMED.get_or_init(|| parse(&std::env::var("TIDEGATE_FAILPOINT").ok()?))
    else {
        return;
    };
    if armed.name != name {
        return;
    }
    match &armed.what {
        What::Abort(left) if left.fetch_sub(1, Ordering::Relaxed) == 1 => std::process::abort(),
        What::Abort(_) => {}
        What::Delay(delay) => std::thread::sleep(*delay),
        What::Panic(passed) if passed.swap(true, Ordering::Relaxed) => {}
        What::Panic(_) => panic!("failpoint {name}"),
    }
}

fn parse(text: &str) -> Option<Armed> {
    let (name, count) = text.split_once('=').unwrap_or((text, "1"));
    let what = match count.strip_prefix("delay:") {
        Some(ms) => What::Delay(Duration::from_millis(ms.parse().ok()?)),
        None if count == "panic" => What::Panic(AtomicBool::new(false)),
        None => What::Abort(AtomicU32::new(count.parse().ok().filter(|count| *count > 0)?)),
    };
    (!name.is_empty()).then(|| Armed { name: name.to_owned(), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_the_variable() {
        for (text, expected) in [
            ("a.b", Some("a.b Abort(1)")),
            ("a.b=3", Some("a.b Abort(3)")),
            ("a.b=delay:50", Some("a.b Delay(50ms)")),
            ("a.b=panic", Some("a.b Panic(false)")),
            ("a.b=delay:x", None),
            ("a.b=0", None),
            ("a.b=x", None),
            ("", None),
        ] {
            let parsed = parse(text);
            let have = parsed.map(|armed| format!("{} {:?}", armed.name, armed.what));
            assert_eq!(have.as_deref(), expected, "{text}");
        }
    }
}
