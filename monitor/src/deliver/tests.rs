//! What receivers are sent, held against what they document; and the client against receivers that
//! do not behave. Receivers here are local and strict.

mod client;
mod receiver;
mod shapes;
mod tls;

pub(crate) use receiver::{Answer, Received, Receiver};

use super::*;
use crate::policy::{Class, Concern, Episode, Group, Severity, Subject};

pub(crate) const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) fn rendering() -> Rendering {
    Rendering {
        link: "https://monitor.example.org".into(),
        resend_ms: 60_000,
        heartbeat_ms: 300_000,
    }
}

/// An episode with `columns` columns, named with whatever `name` holds.
pub(crate) fn episode(columns: usize, name: &str) -> Episode {
    let concern = |n: usize| Concern {
        of: Subject {
            model: "flight-delay".into(),
            version: "1".into(),
            arm: "stable".into(),
            segment: String::new(),
            rule: "psi".into(),
            subject: crate::policy::clean(&format!("{name}{n}"), 200),
        },
        measure: "psi".into(),
        severity: Severity::Warning,
        value: 0.412,
        threshold: 0.2,
        q: Some(1e-9),
        rows: 12_345,
        reason: crate::policy::clean(&format!("<!channel> {name}"), 500),
        since_ms: 1_769_860_800_000,
    };
    Episode {
        id: "0123456789abcdef".into(),
        group: Group { model: "flight-delay".into(), class: Class::Drift },
        severity: Severity::Warning,
        fired_ms: 1_769_860_800_000,
        window_start_ms: 1_769_857_200_000,
        window_end_ms: 1_769_860_800_000,
        concerns: (0..columns.min(crate::policy::MAX_CONCERNS)).map(concern).collect(),
        subjects: columns,
    }
}

pub(crate) fn message(kind: Kind) -> Message {
    Message::about(&episode(2, "dep_delay"), kind, "flights", 1_769_860_801_000)
}

pub(crate) fn loopback() -> Allowed {
    Allowed::parse(["127.0.0.1"]).expect("an address")
}

pub(crate) fn http_settings() -> HttpSettings {
    HttpSettings {
        connect_timeout: std::time::Duration::from_secs(20),
        timeout: std::time::Duration::from_secs(20),
        max_response_bytes: 65_536,
        allowed: loopback(),
        authorities_pem: vec![],
    }
}
