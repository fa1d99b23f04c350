//! From the outbox to the receivers.
//!
//! Pure parts: what a [`Message`] is, who wants it ([`Route`]), how each receiver writes it, when
//! it is tried again ([`next`]). One rim: [`Http`], which checks every address it connects to,
//! follows no redirect, reads no more than it must, and never says a secret.
//! Refuses to decide whether there is an alarm, and to keep anything itself: that is `state`.

mod address;
mod alertmanager;
mod guards;
mod http;
mod message;
mod pagerduty;
mod render;
mod route;
mod schedule;
mod secret;
mod slack;
#[cfg(test)]
pub(crate) mod tests;
mod webhook;

pub use address::{Allowed, AllowedError, is_private};
pub use guards::{GuardSettings, MAX_RETRAINING_BYTES, ModelFacts, OffsetsOf};
pub use http::{Http, HttpError, HttpSettings, Outcome};
pub use message::{Kind, Message};
pub use pagerduty::{MAX_DEDUP_BYTES, MAX_SUMMARY_CHARS, PAGERDUTY_URL};
pub use render::{Publish, Rendering, Request, render, render_resend};
pub use route::{Event, Route, RouteProblem, Target};
pub use schedule::{FALL_OVER_MS, GIVE_UP_MS, MAX_RETRY_AFTER_MS, Next, RETRY_MS, next};
pub use secret::{Secret, SigningKey, SigningKeyError};

pub(crate) use guards::{Withheld, add_offsets, request as retraining_request};
pub(crate) use render::{Rendered, rendered};
