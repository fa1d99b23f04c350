//! When an open file is published. Pure: amounts and ages in, a reason out.

use std::time::Duration;

/// Limits of an open file.
#[derive(Clone, Copy, Debug)]
pub(super) struct RollAt {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) age: Duration,
    pub(super) carry_after: Duration,
}

/// What a partition holds that is not published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    /// Since the position first moved past the published end; `None` when it has not.
    pub(super) age: Option<Duration>,
}

/// Why a file is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Rows,
    Bytes,
    Age,
    /// The position advanced without rows.
    Carry,
}

impl RollAt {
    pub(super) fn due(&self, held: Held) -> Option<Due> {
        let age = held.age?;
        match held.rows {
            0 => (age >= self.carry_after).then_some(Due::Carry),
            rows if rows >= self.rows => Some(Due::Rows),
            _ if held.bytes >= self.bytes => Some(Due::Bytes),
            _ => (age >= self.age).then_some(Due::Age),
        }
    }

    /// How old what is held may become.
    pub(super) fn limit(&self, rows: u64) -> Duration {
        if rows == 0 { self.carry_after } else { self.age }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_reached_not_passed() {
        let at = RollAt {
            rows: 10,
            bytes: 100,
            age: Duration::from_secs(5),
            carry_after: Duration::from_secs(60),
        };
        for (rows, bytes, age, expected) in [
            (0, 0, None, None),
            (0, 0, Some(59), None),
            (0, 0, Some(60), Some(Due::Carry)),
            (9, 99, Some(4), None),
            (10, 0, Some(0), Some(Due::Rows)),
            (1, 100, Some(0), Some(Due::Bytes)),
            (1, 1, Some(5), Some(Due::Age)),
        ] {
            let held = Held { rows, bytes, age: age.map(Duration::from_secs) };
            assert_eq!(at.due(held), expected, "{held:?}");
        }
    }
}
