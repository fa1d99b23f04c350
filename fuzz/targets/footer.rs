//! Any text as the footer of an archive file: an answer, and never another position when it is written
//! and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::FooterPosition;

fuzz_target!(|text: &str| {
    let Ok(footer) = FooterPosition::from_json(Some(text)) else { return };
    assert!(footer.start <= footer.end, "{footer:?}");
    let again =
        FooterPosition::from_json(Some(&footer.to_json())).expect("what it writes it reads");
    assert_eq!(again, footer);
});
