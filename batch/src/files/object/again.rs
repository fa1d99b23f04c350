//! When a `PUT` is sent again that left nothing: how often, and after what pause. Pure; what the name holds
//! is looked up first by whoever asks.

use std::time::Duration;

use object_store::Error;
use object_store::client::HttpErrorKind;

use super::said::failed_connection;

/// How often a `PUT` is sent that is refused although nothing has the name, as S3 does while another
/// writer's is under way, or whose connection ended in the middle: one with a condition is not sent again
/// by the library.
pub(super) const ATTEMPTS: u32 = 5;
/// The same for one that ran out of time: with what the library tries by itself, some five minutes.
const ATTEMPTS_TIMED_OUT: u32 = 2;
/// Before the second attempt; twice as long before each further one.
pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// How often a `PUT` is sent that ended like this, without an answer about the name. What the library
/// tries by itself for a minute is not tried again.
pub(super) fn attempts(error: &Error) -> u32 {
    match failed_connection(error) {
        Some(HttpErrorKind::Timeout) => ATTEMPTS_TIMED_OUT,
        Some(HttpErrorKind::Interrupted | HttpErrorKind::Unknown | HttpErrorKind::Decode) => {
            ATTEMPTS
        }
        // The kinds of the library may grow.
        _ => 1,
    }
}
