//! How a sensitive value is written where it must not be read: salted and hashed, or not at all.
//!
//! Hop 1 applies it to the output record and its key. Hop 2 keeps what is a hash already and hashes
//! what is not, so that nothing in the clear is archived, whoever wrote the topic.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, StringBuilder};
use sha2::{Digest, Sha256};

use crate::encode::Values;
use crate::{Contract, Sensitive, TimestampForms};

/// Characters of a hash: SHA-256 in lower-case hex.
const HASH_LEN: usize = 64;

/// What becomes of a Kafka key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyRule {
    /// It stays.
    Keep,
    /// Its hash takes its place.
    Hash,
    /// It is left out.
    Omit,
}

impl KeyRule {
    /// The key stays only where the contract says that it may: without sensitive fields, or with a
    /// field of the role `key` that is none.
    pub(crate) fn of(contract: &Contract) -> Self {
        match contract.key() {
            Some(field) => match field.sensitive {
                Some(Sensitive::Hash) => Self::Hash,
                Some(Sensitive::Drop) => Self::Omit,
                None => Self::Keep,
            },
            None if contract.has_sensitive() => Self::Omit,
            None => Self::Keep,
        }
    }
}

/// The first field that is hashed, for the message that a salt is missing.
pub(crate) fn first_hashed(contract: &Contract) -> Option<&str> {
    let mut fields = contract.fields().iter();
    fields.find(|field| field.sensitive == Some(Sensitive::Hash)).map(|field| field.name.as_str())
}

/// Hash of a value's text: lower-case hex of the SHA-256 of the salt followed by it.
pub(crate) fn hash(salt: &[u8], text: &[u8]) -> String {
    sha256_hex(&[salt, text])
}

/// The hash of `text`, or `text` itself where hop 1 has hashed it already.
pub(crate) fn hash_once(salt: &[u8], text: &[u8]) -> String {
    match str::from_utf8(text) {
        Ok(hashed) if is_hash(hashed) => hashed.to_owned(),
        _ => hash(salt, text),
    }
}

/// A column of a contract's type as the results table keeps it where its field is hashed: the hex
/// SHA-256 of `salt` followed by the value's text; null stays null.
///
/// # Panics
/// When the column's type is not one of a contract's ([`crate::FieldType::data_type`]).
#[must_use]
pub fn hashed(column: &ArrayRef, salt: &[u8]) -> ArrayRef {
    hashed_by(column, |text| hash(salt, text))
}

/// The same, but a text that is such a hash already, as in a results table, stays.
///
/// # Panics
/// As [`hashed`].
#[must_use]
pub fn hashed_once(column: &ArrayRef, salt: &[u8]) -> ArrayRef {
    hashed_by(column, |text| hash_once(salt, text))
}

fn hashed_by(column: &ArrayRef, hash: impl Fn(&[u8]) -> String) -> ArrayRef {
    let values = Values::new(column, TimestampForms::RFC3339);
    let mut hashes = StringBuilder::with_capacity(column.len(), column.len() * 64);
    let mut text = Vec::new();
    for row in 0..column.len() {
        text.clear();
        let value = values.write_bare(&mut text, row).then(|| hash(&text));
        hashes.append_option(value);
    }
    Arc::new(hashes.finish())
}

fn is_hash(text: &str) -> bool {
    text.len() == HASH_LEN && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Lower-case hex of the SHA-256 of `parts`, one behind the other.
pub(crate) fn sha256_hex(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().iter().fold(String::with_capacity(HASH_LEN), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
