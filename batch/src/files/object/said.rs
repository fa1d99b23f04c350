//! What an object store's library says, in the words of a file system. Refuses pages of XML.

use std::io;

use object_store::Error;

/// What an error says, at most: servers answer with pages.
const SAID_CHARS: usize = 600;

/// The store's error as the system's, on one line.
pub(super) fn said(error: &Error) -> io::Error {
    let kind = match error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::AlreadyExists { .. } => io::ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            io::ErrorKind::PermissionDenied
        }
        Error::InvalidPath { .. } => io::ErrorKind::InvalidInput,
        Error::NotSupported { .. } | Error::NotImplemented { .. } => io::ErrorKind::Unsupported,
        _ => io::ErrorKind::Other,
    };
    let text = error.to_string();
    let mut text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = text.char_indices().nth(SAID_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    if text.contains("169.254.169.254") {
        text.push_str(
            " (no credentials in the environment or in ~/.aws, so the machine's metadata service was \
             asked: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the machine a \
             role)",
        );
    }
    io::Error::new(kind, text)
}
