//! Paths as URLs: DataFusion would take `*` and `?` in a plain path for a pattern.

use std::path::Path;

/// URL of a folder, which `path` names from the root.
pub(crate) fn url_of_folder(path: &Path) -> String {
    format!("{}/", url_of_file(path))
}

/// URL of a file, which `path` names from the root.
pub(crate) fn url_of_file(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' | b'=' => {
                url.push(char::from(*byte));
            }
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url
}
