//! What a panic says on standard error. Its words may be values of events: where the contract has sensitive
//! fields it is thread and place alone.

use std::io::Write as _;
use std::panic::{self, Location};
use std::sync::Once;

use schemas::Contract;

/// Stands for the words.
pub(crate) const WITHHELD: &str = "its words are withheld, since the contract has sensitive fields";

/// Where `contract` has sensitive fields, withholds the words of all panics of this process from now on.
pub(crate) fn withhold(contract: &Contract) {
    static ONCE: Once = Once::new();
    if contract.has_sensitive() {
        ONCE.call_once(|| {
            panic::set_hook(Box::new(|info| {
                let thread = std::thread::current();
                // That it cannot be said can be said to nobody.
                let _ = writeln!(std::io::stderr(), "{}", said(thread.name(), info.location()));
            }));
        });
    }
}

fn said(thread: Option<&str>, place: Option<&Location<'_>>) -> String {
    let thread = thread.unwrap_or("<unnamed>");
    let place = place.map_or_else(|| "an unknown place".to_owned(), |place| place.to_string());
    format!("thread '{thread}' panicked at {place}: {WITHHELD}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_named_by_thread_and_place() {
        let named = said(Some("tg-score"), Some(Location::caller()));
        assert!(named.starts_with("thread 'tg-score' panicked at "), "{named}");
        assert!(named.contains(file!()) && named.ends_with(WITHHELD), "{named}");
        assert!(said(None, None).contains("'<unnamed>' panicked at an unknown place"));
    }
}
