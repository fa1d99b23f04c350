//! A connection to a bucket, from the environment and the files that AWS's own tools read.
//!
//! `AWS_*` variables go first, as everywhere; keys are looked for in the environment, a web identity
//! (Kubernetes), the AWS profile, the container's and at last the machine's metadata service. Nothing
//! that is secret is logged or part of an error.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::client::SpawnedReqwestConnector;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use tokio::runtime::Handle;

use super::profile::{self, Profile};

/// A connection that is not there within this is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// One request, body included: a file of 128 MiB at 1 MiB/s. `AWS_TIMEOUT` says otherwise.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// 5xx, 429 and connections that are not made are tried again so often and no longer than this, and those
/// that end in the middle where a request has no condition; then the hop starts over, with a back-off of
/// its own.
const RETRIES: usize = 10;
const RETRY_FOR: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// The AWS files are read up to here.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Variables by their names.
type Variables = BTreeMap<String, String>;

/// Opens `bucket` with this process's environment; its requests are made on `io`.
pub(in crate::files) fn connect(bucket: &str, io: Handle) -> Result<Arc<dyn ObjectStore>, String> {
    let variables: Variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let builder = builder(bucket, &variables, &read)?;
    let built = builder.with_http_connector(SpawnedReqwestConnector::new(io)).build();
    Ok(Arc::new(built.map_err(|error| error.to_string())?))
}

/// A file's text; `None` where it is not there.
type ReadText<'a> = &'a dyn Fn(&Path) -> Result<Option<String>, String>;

fn read(path: &Path) -> Result<Option<String>, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

fn builder(
    bucket: &str,
    variables: &Variables,
    read: ReadText<'_>,
) -> Result<AmazonS3Builder, String> {
    let client = |key| AmazonS3ConfigKey::Client(key);
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    let mut builder = AmazonS3Builder::new()
        .with_config(client(ClientConfigKey::ConnectTimeout), seconds(CONNECT_TIMEOUT))
        .with_config(client(ClientConfigKey::Timeout), seconds(REQUEST_TIMEOUT))
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: FIRST_PAUSE,
                max_backoff: LONGEST_PAUSE,
                base: 2.0,
            },
            max_retries: RETRIES,
            retry_timeout: RETRY_FOR,
        });
    let profile = profile(variables, read)?;
    for (key, value) in [
        (AmazonS3ConfigKey::AccessKeyId, profile.access_key_id),
        (AmazonS3ConfigKey::SecretAccessKey, profile.secret_access_key),
        (AmazonS3ConfigKey::Token, profile.session_token),
        (AmazonS3ConfigKey::Region, profile.region),
        (AmazonS3ConfigKey::Endpoint, profile.endpoint_url),
    ] {
        if let Some(value) = value {
            builder = builder.with_config(key, value);
        }
    }
    // An empty variable says nothing, as with AWS's own tools.
    let set = variables.iter().filter(|(_, value)| !value.is_empty());
    for (name, value) in set.filter(|(name, _)| name.starts_with("AWS_")) {
        if let Ok(key) = name.to_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    plain_http(&builder)?;
    // Not for the environment to say: exactly once stands on it.
    Ok(builder.with_bucket_name(bucket).with_conditional_put(S3ConditionalPut::ETagMatch))
}

/// Plain HTTP wants to be asked for.
fn plain_http(builder: &AmazonS3Builder) -> Result<(), String> {
    let get = |key| builder.get_config_value(&key);
    let endpoint = get(AmazonS3ConfigKey::S3Endpoint).or(get(AmazonS3ConfigKey::Endpoint));
    let allowed = get(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
    let allowed = allowed.is_some_and(|text| ["true", "1"].contains(&text.as_str()));
    match endpoint {
        Some(url) if url.starts_with("http://") && !allowed => Err(format!(
            "{url} is plain HTTP: use https://, or set AWS_ALLOW_HTTP=true where nobody listens in"
        )),
        _ => Ok(()),
    }
}

/// What the AWS profile says; of keys and the region nothing where the environment has its own.
fn profile(variables: &Variables, read: ReadText<'_>) -> Result<Profile, String> {
    let get = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let home = |file: &str| get("HOME").map(|home| Path::new(home).join(".aws").join(file));
    let file = |variable: &str, name: &str| get(variable).map(PathBuf::from).or_else(|| home(name));
    let has_keys = ["AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE"];
    let has_keys = has_keys.into_iter().any(|name| get(name).is_some());
    let asked = get("AWS_PROFILE");
    // `AWS_DEFAULT_REGION` does not replace a region that is set already.
    let no_region = |_: &String| get("AWS_REGION").or_else(|| get("AWS_DEFAULT_REGION")).is_none();
    let text = |path: Option<PathBuf>| path.map_or(Ok(None), |path| read(&path));
    let credentials = text(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"))?.unwrap_or_default();
    let config = text(file("AWS_CONFIG_FILE", "config"))?.unwrap_or_default();
    let found = match profile::find(asked.map_or("default", |name| name), &credentials, &config) {
        // The environment's keys go first, whatever the profile would need.
        Err(_) if has_keys => None,
        found => found?,
    };
    match (found, asked) {
        (None, Some(name)) if !has_keys => {
            Err(format!("AWS_PROFILE = {name:?}: no such profile in ~/.aws/credentials or config"))
        }
        (found, _) if has_keys => {
            let Profile { region, endpoint_url, .. } = found.unwrap_or_default();
            Ok(Profile { region: region.filter(no_region), endpoint_url, ..Profile::default() })
        }
        (found, _) => {
            let found = found.unwrap_or_default();
            Ok(Profile { region: found.region.filter(no_region), ..found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &str); 2] = [
        ("/h/me/.aws/credentials", "[default]\naws_access_key_id=FILE\naws_secret_access_key=x\n"),
        ("/h/me/.aws/config", "[default]\nregion=eu-north-1\n"),
    ];

    fn build(variables: &[(&str, &str)]) -> Result<AmazonS3Builder, String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let read = |path: &Path| {
            let file = FILES.iter().find(|(name, _)| Path::new(name) == path);
            Ok(file.map(|(_, text)| (*text).to_owned()))
        };
        builder("bucket", &variables.iter().map(own).collect(), &read)
    }

    fn value(variables: &[(&str, &str)], key: AmazonS3ConfigKey) -> Option<String> {
        build(variables).unwrap().get_config_value(&key)
    }

    #[test]
    fn keys_are_taken_where_aws_tools_take_them() {
        use AmazonS3ConfigKey::{AccessKeyId, Endpoint, Region, Token};
        let home = ("HOME", "/h/me");
        let env = [home, ("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_SECRET_ACCESS_KEY", "y")];
        let of_role = [home, ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn")];
        for (variables, key, expected) in [
            (&[home][..], AccessKeyId, Some("FILE")),
            (&[home], Region, Some("eu-north-1")),
            (&env, AccessKeyId, Some("ENV")),
            (&env, Region, Some("eu-north-1")),
            (&[home, ("AWS_REGION", "us-west-2")], Region, Some("us-west-2")),
            (&[home, ("AWS_DEFAULT_REGION", "us-west-2")], Region, Some("us-west-2")),
            (&[home, ("AWS_DEFAULT_REGION", "")], Region, Some("eu-north-1")),
            (
                &[home, ("AWS_ACCESS_KEY_ID", "ENV"), ("AWS_DEFAULT_REGION", "us-west-2")],
                Region,
                Some("us-west-2"),
            ),
            (
                &[home, ("AWS_DEFAULT_REGION", "us-west-2"), ("AWS_REGION", "us-east-2")],
                Region,
                Some("us-east-2"),
            ),
            (&of_role, AccessKeyId, None),
            (&[], AccessKeyId, None),
            (&[("AWS_SESSION_TOKEN", "t")], Token, Some("t")),
            (
                &[("AWS_ENDPOINT_URL", "https://s3.example.org")],
                Endpoint,
                Some("https://s3.example.org"),
            ),
        ] {
            assert_eq!(value(variables, key).as_deref(), expected, "{variables:?} {key:?}");
        }
        let error = build(&[home, ("AWS_PROFILE", "nobody")]).err().unwrap();
        assert!(error.contains("nobody"), "{error}");
    }

    #[test]
    fn the_guarantee_is_not_for_the_environment_to_switch_off() {
        let off = [("AWS_CONDITIONAL_PUT", "disabled"), ("AWS_BUCKET", "another")];
        let put = value(&off, AmazonS3ConfigKey::ConditionalPut);
        assert_eq!(put.as_deref(), Some("etag"));
        assert_eq!(value(&off, AmazonS3ConfigKey::Bucket).as_deref(), Some("bucket"));
    }

    #[test]
    fn plain_http_wants_to_be_asked_for() {
        let endpoint = ("AWS_ENDPOINT_URL", "http://127.0.0.1:5000");
        let error = build(&[endpoint]).err().unwrap();
        assert!(error.contains("AWS_ALLOW_HTTP"), "{error}");
        build(&[endpoint, ("AWS_ALLOW_HTTP", "true")]).unwrap();
    }
}
