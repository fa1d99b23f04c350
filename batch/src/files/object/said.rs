//! What an object store's library says, in the words of a file system. Refuses pages of XML.

use std::io;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

/// What an error says, at most: servers answer with pages.
const SAID_CHARS: usize = 600;

/// Whether the server says that it does not know what was asked for, which trying again does not change.
pub(super) fn is_not_implemented(error: &Error) -> bool {
    let text = error.to_string();
    matches!(error, Error::NotImplemented { .. })
        || ["status code: 501", "<Code>NotImplemented</Code>"].iter().any(|own| text.contains(own))
}

/// How a connection failed; `None` where the server answered.
pub(super) fn failed_connection(error: &Error) -> Option<HttpErrorKind> {
    let first: &(dyn std::error::Error + 'static) = error;
    let causes = std::iter::successors(Some(first), |cause| cause.source());
    causes.filter_map(|cause| cause.downcast_ref::<HttpError>()).map(HttpError::kind).next()
}

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
    if failed_connection(error) == Some(HttpErrorKind::Timeout) {
        text.push_str(" (AWS_TIMEOUT says how long a request may take; 120 s where it is not set)");
    }
    io::Error::new(kind, text)
}
