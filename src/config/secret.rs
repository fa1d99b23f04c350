//! A value that may be secret: written in place, or named by environment variable or file.
//!
//! It is never shown: `Debug` hides it, and it can only be serialised masked, by where it came from
//! and by the name of its key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serializer};

/// A resolved value and whether it came from the environment or a file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    value: String,
    from_elsewhere: bool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a value, { env = \"NAME\" } or { file = \"PATH\" }")]
enum Written {
    Text(String),
    Whole(i64),
    Switch(bool),
    Env(FromEnv),
    File(FromFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromEnv {
    env: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromFile {
    file: String,
}

impl Secret {
    /// What a file holds, without the end of its last line.
    pub(crate) fn from_file(path: &Path) -> std::io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let value = text.trim_end_matches(['\r', '\n']).to_owned();
        Ok(Self { value, from_elsewhere: true })
    }

    /// The value in the clear.
    pub(crate) fn expose(&self) -> &str {
        &self.value
    }

    /// The value for people: masked when it came from elsewhere or `key` sounds secret.
    pub(crate) fn shown_as(&self, key: &str) -> &str {
        let sounds_secret =
            ["password", "secret", "token", "salt", "key.pem", "ssl.key", "sasl.jaas", "oauth"]
                .iter()
                .any(|word| key.contains(word));
        if self.value.is_empty() || !(self.from_elsewhere || sounds_secret) {
            &self.value
        } else {
            "(hidden)"
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Serialises values under their keys, the secret ones hidden.
pub(super) fn masked<S: Serializer>(
    values: &BTreeMap<String, Secret>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(key, value)| (key, value.shown_as(key))))
}

/// Serialises values that are all secret under their keys.
pub(super) fn all_hidden<S: Serializer>(
    values: &BTreeMap<String, Secret>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(key, value)| (key, value.shown_as("secret"))))
}

/// Serialises a value that is always secret.
pub(super) fn hidden<S: Serializer>(value: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.shown_as("secret"))
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let elsewhere = |value| Self { value, from_elsewhere: true };
        Ok(match Written::deserialize(deserializer)? {
            Written::Text(value) => Self { value, from_elsewhere: false },
            Written::Whole(value) => Self { value: value.to_string(), from_elsewhere: false },
            Written::Switch(value) => Self { value: value.to_string(), from_elsewhere: false },
            Written::Env(FromEnv { env }) => elsewhere(std::env::var(&env).map_err(|_| {
                D::Error::custom(format!(
                    "environment variable {env} is not set: set it, or write the value"
                ))
            })?),
            Written::File(FromFile { file }) => Self::from_file(Path::new(&file))
                .map_err(|error| D::Error::custom(format!("cannot read {file}: {error}")))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_by_origin_and_by_name() {
        let plain: Secret =
            toml::from_str::<toml::Table>("x = 'v'").unwrap()["x"].clone().try_into().unwrap();
        assert_eq!(plain.shown_as("client.rack"), "v");
        assert_eq!(plain.shown_as("sasl.password"), "(hidden)");
        assert_eq!(format!("{plain:?}"), "Secret(hidden)");
        let missing = toml::from_str::<toml::Table>("x = { env = 'TIDEGATE_NO_SUCH' }").unwrap();
        let error = missing["x"].clone().try_into::<Secret>().unwrap_err().to_string();
        assert!(error.contains("TIDEGATE_NO_SUCH"), "{error}");
    }
}
