//! Any text as a model's descriptor: an answer, and what was read is written and read again.
#![no_main]

use infer::Descriptor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(descriptor) = Descriptor::from_toml(text) else { return };
    let written = descriptor.to_toml();
    let again = Descriptor::from_toml(&written).expect("what it writes it reads");
    assert_eq!(again.to_toml(), written);
});
