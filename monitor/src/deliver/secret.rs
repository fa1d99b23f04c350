//! Values that nobody may see: they are used, never shown.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
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
/// path alone, a value of the query, and a token without its scheme, each as it is and as JSON,
/// URLs and base64 write it.
pub(super) fn said_back(url: &str, values: &[&str]) -> Vec<String> {
    let mut texts = vec![url.to_owned()];
    for value in values {
        texts.push(value.trim().to_owned());
        if let Some((scheme, token)) = value.trim().split_once(' ') {
            texts.push(token.trim().to_owned());
            texts.extend(password(scheme, token.trim()));
        }
    }
    if let Ok(url) = reqwest::Url::parse(url) {
        texts.push(url.as_str().to_owned());
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
    texts = texts.iter().flat_map(|text| forms(text)).collect();
    texts.retain(|text| text.len() >= MIN_HIDDEN_BYTES);
    texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    texts.dedup();
    texts
}

/// What HTTP's basic authentication hides in a token: the password.
fn password(scheme: &str, token: &str) -> Option<String> {
    let decoded = STANDARD.decode(token).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(_, password)| password.to_owned())
}

/// `text` as it is and in every writing that a receiver may answer with.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned(), decoded(text)];
    let json = serde_json::to_string(text).expect("a text is JSON");
    let json = json[1..json.len() - 1].to_owned();
    let ascii = |json: &str| json.chars().map(unicode_escape).collect::<String>();
    // PHP escapes slashes, too, and Python whatever is not ASCII.
    let slashed = json.replace('/', "\\/");
    forms.extend([ascii(&json), ascii(&slashed), json, slashed]);
    for kept in ["", "/", "/:?=&@+,;"] {
        let encoded = encoded(text, kept);
        forms.extend([encoded.replace("%20", "+"), lower_hex(&encoded), encoded]);
    }
    forms.extend((0..3).flat_map(|place| base64(text, place)));
    forms
}

fn unicode_escape(c: char) -> String {
    if c.is_ascii() {
        return c.into();
    }
    let mut units = [0; 2];
    c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// `text` percent-encoded but for letters, digits, `-._~` and what is kept.
fn encoded(text: &str, kept: &str) -> String {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.as_bytes().contains(&byte)
    };
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

/// The digits behind each `%` in lower case.
fn lower_hex(encoded: &str) -> String {
    let mut digits = 0;
    let lower = |c: char| {
        let is_digit = digits > 0;
        digits = if c == '%' { 2 } else { i32::max(digits - 1, 0) };
        if is_digit { c.to_ascii_lowercase() } else { c }
    };
    encoded.chars().map(lower).collect()
}

/// `text` with what is percent-encoded as it reads.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        let digit = |at: usize| char::from(*behind.get(at)?).to_digit(16);
        let hex = digit(0).zip(digit(1)).filter(|_| *first == b'%');
        let byte = hex.and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The base64 of `text`, `place` bytes behind a group of three: what does not change with what
/// stands around it.
fn base64(text: &str, place: usize) -> [String; 2] {
    let whole = [&vec![0; place][..], text.as_bytes()].concat();
    // Characters that hold bits of what stands before, and behind.
    let (before, behind) = ([0, 2, 3][place], (whole.len() % 3).min(1));
    [STANDARD_NO_PAD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)]
        .map(|made| made[before..made.len() - behind].to_owned())
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
