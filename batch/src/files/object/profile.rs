//! The AWS command line's files, `~/.aws/credentials` and `~/.aws/config`: keys and region of a profile.
//!
//! Pure: text in, settings out. Refuses profiles whose keys would have to be fetched (roles, SSO,
//! programs): those are for the AWS tools, which can hand keys on in the environment.

use std::collections::BTreeMap;

/// Keys of a section, in lower case.
type Section = BTreeMap<String, String>;

/// What a profile says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<String>,
    pub(super) session_token: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint_url: Option<String>,
}

/// The profile `name` of both files; `None` where neither has it.
pub(super) fn find(name: &str, credentials: &str, config: &str) -> Result<Option<Profile>, String> {
    let keys = section(credentials, name);
    let headed = format!("profile {name}");
    let settings = section(config, if name == "default" { name } else { &headed });
    if keys.is_none() && settings.is_none() {
        return Ok(None);
    }
    let (keys, settings) = (keys.unwrap_or_default(), settings.unwrap_or_default());
    let get = |key: &str| keys.get(key).or_else(|| settings.get(key)).cloned();
    let profile = Profile {
        access_key_id: get("aws_access_key_id"),
        secret_access_key: get("aws_secret_access_key"),
        session_token: get("aws_session_token"),
        region: get("region"),
        endpoint_url: get("endpoint_url"),
    };
    let fetched = ["role_arn", "sso_session", "sso_start_url", "credential_process"];
    let fetched = fetched.into_iter().find(|key| get(key).is_some());
    match fetched {
        Some(key) if profile.access_key_id.is_none() || key == "role_arn" => Err(format!(
            "profile {name:?} has {key}, which is not done here: hand its keys on with `eval \"$(aws \
             configure export-credentials --profile {name} --format env)\"`"
        )),
        _ => Ok(Some(profile)),
    }
}

/// The keys below `[name]`; of two such sections the later's win.
fn section(text: &str, name: &str) -> Option<Section> {
    let (mut found, mut inside) = (None, false);
    for line in text.lines() {
        // What is indented belongs to a nested setting, `s3 =` for one.
        let indented = line.starts_with([' ', '\t']);
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = line.strip_prefix('[') {
            let head = head.split(']').next().unwrap_or_default();
            inside = head.split_whitespace().eq(name.split_whitespace());
            if inside {
                found.get_or_insert_with(Section::new);
            }
        } else if let (true, false, Some((key, value))) = (inside, indented, line.split_once('=')) {
            // A comment behind a value begins with a blank.
            let value = value.split(" #").next().unwrap_or_default().trim();
            let found = found.get_or_insert_with(Section::new);
            found.insert(key.trim().to_lowercase(), value.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "# keys\n[default]\naws_access_key_id = A\naws_secret_access_key=s/e+c=r\n\n\
                               [ other ]\nAWS_ACCESS_KEY_ID = B # mine\naws_secret_access_key = t\n\
                               aws_session_token = u\n";
    const CONFIG: &str = "[default]\nregion = eu-north-1\ns3 =\n  region = nested\n[profile other]\n\
                          endpoint_url = https://s3.example.org\n[profile role]\nrole_arn = arn:aws:x\n\
                          source_profile = default\n[profile sso]\nsso_session = corp\n";

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn both_files_make_a_profile() {
        let default = find("default", CREDENTIALS, CONFIG).unwrap().unwrap();
        assert_eq!(default.access_key_id, some("A"));
        assert_eq!(default.secret_access_key, some("s/e+c=r"));
        assert_eq!(default.region, some("eu-north-1"));
        let other = find("other", CREDENTIALS, CONFIG).unwrap().unwrap();
        assert_eq!((other.access_key_id, other.session_token), (some("B"), some("u")));
        assert_eq!((other.region, other.endpoint_url), (None, some("https://s3.example.org")));
        assert_eq!(find("nobody", CREDENTIALS, CONFIG), Ok(None));
    }

    #[test]
    fn keys_that_would_have_to_be_fetched_are_refused() {
        for name in ["role", "sso"] {
            let error = find(name, CREDENTIALS, CONFIG).unwrap_err();
            assert!(error.contains(name) && error.contains("export-credentials"), "{error}");
        }
    }
}
