//! Values that nobody may see: they are used, never shown.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Bytes that Standard Webhooks asks of a key.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Shorter texts are not looked for in errors, of which nothing but gaps would be left.
const MIN_HIDDEN_BYTES: usize = 6;

/// A path so short says nothing.
const MIN_PATH_BYTES: usize = 9;

/// A text that `Debug` hides. A URL is one, too: Slack's is a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// A signing key of Standard Webhooks, written `whsec_` and base64.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

/// What is wrong with a signing key. Does not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// Another form.
    #[error(
        "must be whsec_ followed by base64 (`echo whsec_$(openssl rand -base64 32)` makes one)"
    )]
    Form,
    /// Too short to be safe or longer than the standard has it.
    #[error("holds {0} bytes, the standard asks for 24 to 64")]
    Length(usize),
}

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text in the clear.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What a receiver may say back of a URL and of the values of headers, the longest first: also the
/// path alone, a value of the query, and a token without its scheme.
pub(super) fn said_back(url: &str, values: &[&str]) -> Vec<String> {
    let mut texts = vec![url.to_owned()];
    for value in values {
        texts.push(value.trim().to_owned());
        texts.extend(value.trim().split_once(' ').map(|(_, token)| token.trim().to_owned()));
    }
    if let Ok(url) = reqwest::Url::parse(url) {
        texts.extend(Some(url.path().to_owned()).filter(|path| path.len() >= MIN_PATH_BYTES));
        let pairs = url.query().unwrap_or_default().split('&');
        let raw = pairs.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        texts.extend(raw.map(str::to_owned));
        texts.extend(url.query_pairs().map(|(key, value)| {
            // `?secret` is a key without a value.
            if value.is_empty() { key.into_owned() } else { value.into_owned() }
        }));
    }
    texts.retain(|text| text.len() >= MIN_HIDDEN_BYTES);
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(hidden)")
    }
}

impl SigningKey {
    /// Reads `whsec_…`.
    ///
    /// # Errors
    /// Another form or length.
    pub fn parse(text: &str) -> Result<Self, SigningKeyError> {
        let encoded = text.trim().strip_prefix("whsec_").ok_or(SigningKeyError::Form)?;
        let key = STANDARD.decode(encoded).map_err(|_| SigningKeyError::Form)?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(SigningKeyError::Length(key.len()));
        }
        Ok(Self(key))
    }

    /// `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_seconds: i64, body: &[u8]) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp_seconds}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}
