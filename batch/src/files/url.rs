//! Paths as URLs: DataFusion would take `*` and `?` in a plain path for a pattern.

use std::path::Path;

use datafusion::datasource::object_store::ObjectStoreUrl;

use super::location::{bucket_name, is_object};

/// URL of a folder, which `path` names from the root.
pub(crate) fn url_of_folder(path: &Path) -> String {
    format!("{}/", url_of_file(path).trim_end_matches('/'))
}

/// URL of the store that has `path`, as DataFusion knows it.
pub(crate) fn url_of_store(path: &Path) -> ObjectStoreUrl {
    let parsed = bucket_name(path).map(|bucket| ObjectStoreUrl::parse(format!("s3://{bucket}")));
    // A bucket that is open has a name that a URL takes.
    parsed.map_or_else(ObjectStoreUrl::local_filesystem, |url| url.expect("checked when opened"))
}

/// URL of a file, which `path` names from the root.
pub(crate) fn url_of_file(path: &Path) -> String {
    const SCHEME: &str = "s3://";
    let bytes = path.as_os_str().as_encoded_bytes();
    let (mut url, rest) = match is_object(path) {
        true => (String::from(SCHEME), &bytes[SCHEME.len()..]),
        false => (String::from("file://"), bytes),
    };
    for byte in rest {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b'=' => {
                url.push(char::from(*byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_a_pattern_is_escaped() {
        for (path, file, store) in [
            ("/a b/c*.parquet", "file:///a%20b/c%2A.parquet", "file:///"),
            ("s3://bucket/a b/p=1", "s3://bucket/a%20b/p=1", "s3://bucket/"),
        ] {
            let path = Path::new(path);
            assert_eq!(url_of_file(path), file);
            assert_eq!(url_of_folder(path), format!("{file}/"));
            assert_eq!(url_of_store(path).as_str(), store);
        }
    }
}
