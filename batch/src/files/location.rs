//! Where data lies: a folder of this machine, or `s3://bucket/prefix` in an object store.
//!
//! Both are written as a path, and joined as one; which of them it is, is found out here only. Refuses
//! other schemes, so that `gs://…` never becomes a folder of that name.

use std::io;
use std::path::{Path, PathBuf};

const SCHEME: &str = "s3://";
/// Between a scheme and what it names.
const AFTER_SCHEME: &str = "://";
/// S3 takes 3 to 63 characters today, and has older buckets of up to 255.
const BUCKET_BYTES: std::ops::RangeInclusive<usize> = 3..=255;
/// S3's limit of a key is 1,024 bytes; what is written below a prefix has up to some 600.
const PREFIX_BYTES: usize = 400;

/// Whether `path` begins with a scheme, of an object store that is known or of another.
#[must_use]
pub fn has_scheme(path: &Path) -> bool {
    scheme(&path.to_string_lossy()).is_some()
}

/// What stands before `://`, where it is made as a scheme is (RFC 3986, 3.1).
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(AFTER_SCHEME)?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let begins = scheme.as_bytes().first().is_some_and(u8::is_ascii_alphabetic);
    (begins && scheme.bytes().all(legal)).then_some(scheme)
}

/// Whether `path` names a place in an object store.
#[must_use]
pub fn is_object(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().starts_with(SCHEME.as_bytes())
}

/// What is wrong with a place for data, in words that follow its name.
pub fn check(path: &Path) -> Result<(), String> {
    let text = path.to_string_lossy();
    let Some((bucket, key)) = parts(&text) else {
        return match scheme(&text) {
            Some(scheme) => Err(format!(
                "of the places with a scheme s3://bucket/prefix is known, {scheme}:// is not"
            )),
            None => Ok(()),
        };
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if !BUCKET_BYTES.contains(&bucket.len()) || !bucket.bytes().all(legal) {
        return Err(format!("{bucket:?} is no name of a bucket: write s3://bucket/prefix"));
    }
    if key.len() > PREFIX_BYTES {
        return Err(format!("its prefix has {} bytes, more than {PREFIX_BYTES}", key.len()));
    }
    object_store::path::Path::parse(key).map(|_| ()).map_err(|error| error.to_string())
}

/// `path` as it is meant by a file in the folder `base`; whatever has a scheme is left as it is.
#[must_use]
pub fn from_folder(base: &Path, path: &Path) -> PathBuf {
    if has_scheme(path) { path.to_path_buf() } else { base.join(path) }
}

/// `path` named from the root.
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    if is_object(path) { Ok(path.to_path_buf()) } else { std::path::absolute(path) }
}

/// The bucket of a place in an object store.
pub(super) fn bucket_name(path: &Path) -> Option<String> {
    parts(&path.to_string_lossy()).map(|(bucket, _)| bucket.to_owned())
}

/// Bucket and key of a place in an object store.
pub(super) fn parts(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix(SCHEME)?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// The place that a key of a bucket is.
pub(super) fn place(bucket: &str, key: &str) -> PathBuf {
    PathBuf::from(format!("{SCHEME}{bucket}/{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart_and_joined() {
        for (text, object, fine) in [
            ("data", false, true),
            ("/var/lib/s3:", false, true),
            ("s3:/bucket", false, true),
            ("s3://bucket", true, true),
            ("s3://bucket/", true, true),
            ("s3://bucket/a/b c/d=1", true, true),
            ("s3://", true, false),
            ("s3://b", true, false),
            ("s3://bu cket/a", true, false),
            ("s3://bucket/a//b", true, false),
            ("s3://bucket/a/../b", true, false),
            ("gs://bucket/a", false, false),
            ("file:///data", false, false),
            ("data/a://b", false, true),
            ("./gs://b", false, true),
            ("://b", false, true),
        ] {
            let path = Path::new(text);
            assert_eq!(has_scheme(path), object || check(path).is_err(), "{text}");
            assert_eq!((is_object(path), check(path).is_ok()), (object, fine), "{text}");
        }
        let below = Path::new("s3://bucket/").join("results").join("t");
        assert_eq!(parts(&below.to_string_lossy()), Some(("bucket", "results/t")));
        assert_eq!(below.parent(), Some(Path::new("s3://bucket/results")));
        assert_eq!(place("bucket", "results/t"), below);
    }

    #[test]
    fn only_a_folder_is_relative_to_another() {
        let base = Path::new("/etc/tidegate");
        assert_eq!(from_folder(base, Path::new("data")), Path::new("/etc/tidegate/data"));
        assert_eq!(from_folder(base, Path::new("s3://b/data")), Path::new("s3://b/data"));
        // What is not known is refused by its own name.
        assert_eq!(from_folder(base, Path::new("gs://b/data")), Path::new("gs://b/data"));
        assert_eq!(absolute(Path::new("s3://b/data")).unwrap(), Path::new("s3://b/data"));
    }
}
