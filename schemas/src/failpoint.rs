//! Named places where a test can end the process as kill -9 would, make it slow, hang, or panic.
//!
//! `TIDEGATE_FAILPOINT=name` aborts at the first passage of that place, `name=3` at the third, and nobody
//! passes there any more; `name=hang` never returns from the first, `name=hang:3` from the third, as a C
//! call that hangs; `name=delay:50` takes 50 ms at each, `name=panic` panics at the first. Unset, a passage
//! costs one load of a variable that is never written again.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

struct Armed {
    name: String,
    what: What,
}

#[derive(Debug)]
enum What {
    /// Abort at the last of so many passages, and at every later one: the process takes a moment to end,
    /// in which no other thread may pass.
    Abort(AtomicU32),
    /// Hang in the last of so many passages; other threads pass on.
    Hang(AtomicU32),
    Delay(Duration),
    /// Panic at the first passage.
    Panic(AtomicBool),
}

/// Passes the place called `name`, or aborts there, or takes its time, or stays there.
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
        What::Abort(left) if is_last_or_later(left) => std::process::abort(),
        What::Hang(left) if is_last(left) => loop {
            std::thread::sleep(Duration::from_secs(3600));
        },
        What::Abort(_) | What::Hang(_) => {}
        What::Delay(delay) => std::thread::sleep(*delay),
        What::Panic(passed) if passed.swap(true, Ordering::Relaxed) => {}
        What::Panic(_) => panic!("failpoint {name}"),
    }
}

fn parse(text: &str) -> Option<Armed> {
    let (name, what) = text.split_once('=').unwrap_or((text, "1"));
    let what = match what.split_once(':') {
        Some(("delay", ms)) => What::Delay(Duration::from_millis(ms.parse().ok()?)),
        Some(("hang", passages)) => What::Hang(passages_left(passages)?),
        Some(_) => return None,
        None if what == "hang" => What::Hang(AtomicU32::new(1)),
        None if what == "panic" => What::Panic(AtomicBool::new(false)),
        None => What::Abort(passages_left(what)?),
    };
    (!name.is_empty()).then(|| Armed { name: name.to_owned(), what })
}

fn passages_left(text: &str) -> Option<AtomicU32> {
    text.parse::<u32>().ok().filter(|passages| *passages > 0).map(AtomicU32::new)
}

fn is_last(left: &AtomicU32) -> bool {
    left.fetch_sub(1, Ordering::Relaxed) == 1
}

fn is_last_or_later(left: &AtomicU32) -> bool {
    let less = |left: u32| left.checked_sub(1);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).map_or(true, |left| left == 1)
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
            ("a.b=hang", Some("a.b Hang(1)")),
            ("a.b=hang:3", Some("a.b Hang(3)")),
            ("a.b=hang:0", None),
            ("a.b=wait:3", None),
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

    #[test]
    fn nobody_passes_after_the_last_passage() {
        let left = AtomicU32::new(3);
        let ends: Vec<bool> = (0..5).map(|_| is_last_or_later(&left)).collect();
        assert_eq!(ends, [false, false, true, true, true]);
    }
}
