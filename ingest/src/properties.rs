//! Which librdkafka properties a user may pass through, and the time-outs that must fit each other.

use std::collections::BTreeMap;
use std::time::Duration;

/// One thing that is wrong with a configuration, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value:?}: {problem}; {fix}")]
pub struct Problem {
    /// Key path.
    pub key: String,
    /// The value found.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
    /// What would be accepted.
    pub fix: String,
}

/// Properties that tidegate sets itself because the guarantee or the memory bound rests on them.
const OURS: [(&str, &str); 31] = [
    ("acks", "delivery needs all replicas"),
    ("auto.commit.enable", "offsets are committed with the results"),
    ("auto.commit.interval.ms", "offsets are committed with the results"),
    ("auto.offset.reset", "a reset would skip or repeat records; set `start`"),
    ("bootstrap.servers", "set `brokers`"),
    ("client.id", "set `instance`"),
    ("delivery.report.only.error", "acknowledgements are counted"),
    ("enable.auto.commit", "offsets are committed with the results"),
    ("enable.auto.offset.store", "offsets are committed with the results"),
    ("enable.gapless.guarantee", "it changes what a lost record does"),
    ("enable.idempotence", "retries would duplicate and reorder"),
    ("enable.partition.eof", "ends are asked for where they are needed"),
    ("group.id", "set `group`"),
    ("group.instance.id", "set `instance`"),
    ("group.protocol", "the hop's fencing is built on the classic protocol"),
    ("heartbeat.interval.ms", "set `timeouts`"),
    ("isolation.level", "aborted records would be read as if they were committed"),
    ("max.in.flight", "order rests on it"),
    ("max.in.flight.requests.per.connection", "order rests on it"),
    ("max.poll.interval.ms", "set `timeouts`"),
    ("message.timeout.ms", "it follows the transaction's time-out"),
    ("delivery.timeout.ms", "it follows the transaction's time-out"),
    ("metadata.broker.list", "set `brokers`"),
    ("partition.assignment.strategy", "the hop's hand-over is built on cooperative-sticky"),
    ("partitioner", "set `partitioner`"),
    ("plugin.library.paths", "code inside the client could see and change every record"),
    ("request.required.acks", "delivery needs all replicas"),
    ("session.timeout.ms", "set `timeouts`"),
    (
        "sticky.partitioning.linger.ms",
        "a partition takes records without a key until they make a request",
    ),
    ("transaction.timeout.ms", "set `timeouts`"),
    ("transactional.id", "set `instance`"),
];

/// Finds the properties that would break the guarantee or the memory bound; all of them at once.
#[must_use]
pub fn check_properties(properties: &BTreeMap<String, String>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in properties {
        if let Some((_, why)) = OURS.iter().find(|(ours, _)| ours == name) {
            problems.push(refused(name, value, why));
        } else if name.starts_with("queued.max.") || name.starts_with("queue.buffering.max.kbytes")
        {
            problems.push(refused(name, value, "the memory bound rests on it; set `memory`"));
        } else if matches!(name.as_str(), "retries" | "message.send.max.retries") && value == "0" {
            problems.push(refused(
                name,
                value,
                "a record that is not retried fails its transaction",
            ));
        } else if let Err(error) = accepted(name, value) {
            problems.push(refused(name, "…", &error));
        }
    }
    problems
}

fn refused(name: &str, value: &str, why: &str) -> Problem {
    Problem {
        key: format!("properties.{name}"),
        value: value.into(),
        problem: format!("cannot be passed through: {why}"),
        fix: "remove it".into(),
    }
}

/// Asks librdkafka itself whether it knows the property and takes the value.
fn accepted(name: &str, value: &str) -> Result<(), String> {
    let mut config = rdkafka::ClientConfig::new();
    config.set(name, value);
    match config.create_native_config() {
        Ok(_) => Ok(()),
        Err(rdkafka::error::KafkaError::ClientConfig(_, description, _, _)) => Err(description),
        Err(error) => Err(error.to_string()),
    }
}

/// Time-outs of the group and of transactions. Short ones, so that a dead process is replaced soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The broker gives a silent member's partitions away after this.
    pub session: Duration,
    /// How often a member says that it lives.
    pub heartbeat: Duration,
    /// A consumer thread that does not poll for so long leaves its group.
    pub poll_interval: Duration,
    /// The coordinator aborts a transaction that is open for so long.
    pub transaction: Duration,
    /// Longest one transactional call, flush or metadata request may take.
    pub call: Duration,
    /// Longest a partition's hand-over waits for what is under way.
    pub revoke: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            session: seconds(10),
            heartbeat: seconds(2),
            poll_interval: seconds(15),
            transaction: seconds(14),
            call: seconds(8),
            revoke: seconds(5),
        }
    }
}

impl Timeouts {
    /// Checks them against each other; all problems at once.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let rules = [
            (
                "heartbeat",
                self.heartbeat * 3,
                self.session,
                "three heartbeats must fit into `session`",
            ),
            ("session", self.session, self.poll_interval, "`session` may not pass `poll_interval`"),
            (
                "revoke",
                self.revoke,
                self.poll_interval / 2,
                "must be at most half of `poll_interval`",
            ),
            ("revoke", self.revoke, self.transaction / 2, "must be at most half of `transaction`"),
            ("call", self.call, self.transaction, "must end before the `transaction` does"),
        ];
        rules
            .into_iter()
            .filter(|(_, value, limit, _)| value > limit)
            .map(|(key, value, limit, problem)| Problem {
                key: format!("timeouts.{key}"),
                value: format!("{value:?}"),
                problem: problem.into(),
                fix: format!("at most {limit:?} as the others are"),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_the_guarantee_is_refused_and_the_rest_passes() {
        let check = |name: &str, value: &str| {
            check_properties(&BTreeMap::from([(name.to_owned(), value.to_owned())])).len()
        };
        for (name, value, problems) in [
            ("isolation.level", "read_uncommitted", 1),
            ("enable.auto.commit", "true", 1),
            ("group.protocol", "consumer", 1),
            ("queued.max.messages.kbytes", "1", 1),
            ("retries", "0", 1),
            ("no.such.property", "1", 1),
            ("linger.ms", "soon", 1),
            ("linger.ms", "5", 0),
            ("compression.type", "zstd", 0),
            ("security.protocol", "ssl", 0),
        ] {
            assert_eq!(check(name, value), problems, "{name}={value}");
        }
    }

    #[test]
    fn a_value_that_librdkafka_refuses_is_not_repeated() {
        let secret = BTreeMap::from([("sasl.mechanism.x".to_owned(), "hunter2".to_owned())]);
        assert!(!check_properties(&secret)[0].to_string().contains("hunter2"));
    }

    #[test]
    fn the_defaults_fit_and_each_rule_bites() {
        let fine = Timeouts::default();
        assert_eq!(fine.check(), vec![]);
        let ms = Duration::from_millis;
        for broken in [
            Timeouts { heartbeat: ms(4000), ..fine },
            Timeouts { session: ms(16_000), ..fine },
            Timeouts { revoke: ms(7_400), ..fine },
            Timeouts { call: ms(15_000), ..fine },
        ] {
            assert_eq!(broken.check().len(), 1, "{broken:?}");
        }
    }
}
