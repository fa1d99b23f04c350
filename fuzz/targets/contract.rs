//! Any text as a contract: an answer, and a contract that was read says itself again, with its id.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schemas::Contract;

fuzz_target!(|text: &str| {
    let Ok(contract) = Contract::from_toml(text) else { return };
    let again = Contract::from_toml(&contract.to_toml()).expect("what it writes it reads");
    assert_eq!(again.id(), contract.id(), "{}", contract.to_toml());
    assert_eq!(again.arrow_schema(), contract.arrow_schema());
    assert!(contract.json_schema().is_object());
});
