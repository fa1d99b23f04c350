//! Rules that one key's type cannot say: what must be set, and what must fit together.

use batch::archive::OBJECT_BYTES;
use batch::location;

use super::{Config, Mode, OutputMembers, Problem, without_user};

/// Every rule that `config` breaks.
pub(crate) fn check(config: &Config) -> Vec<Problem> {
    let mut found = Found(Vec::new());
    required(config, &mut found);
    topics(config, &mut found);
    time_outs(config, &mut found);
    sizes(config, &mut found);
    places(config, &mut found);
    found.0.extend(super::alerts::check(config));
    found.0.extend(super::labels::check(config));
    found.0.extend(super::jobs::check(config));
    found.0.extend(super::sql::check(config));
    monitor(config, &mut found);
    found.0
}

struct Found(Vec<Problem>);

impl Found {
    fn unless(&mut self, holds: bool, key: &str, value: impl ToString, message: &str) {
        if !holds {
            let (key, value, message) = (key.into(), value.to_string(), message.into());
            self.0.push(Problem { key, value, message });
        }
    }
}

fn required(config: &Config, found: &mut Found) {
    for (key, value, what) in [
        ("input.topic", &config.input.topic, "set it to the topic with the events"),
        ("output.topic", &config.output.topic, "set it to the topic for the results"),
        (
            "dead_letters.topic",
            &config.dead_letters.topic,
            "set it to the topic for rejected events",
        ),
        ("model.name", &config.model.name, "set it to a folder of model.repository"),
        (
            "model.version",
            &config.model.version,
            "set it to a folder of model.repository/model.name",
        ),
        ("kafka.brokers", &config.kafka.brokers, "set it to host:port of at least one broker"),
        ("pipeline.name", &config.pipeline.name, "set it: it names the consumer group"),
    ] {
        found.unless(!value.trim().is_empty(), key, "", &format!("is empty: {what}"));
    }
}

fn topics(config: &Config, found: &mut Found) {
    let (input, output, dead) =
        (&config.input.topic, &config.output.topic, &config.dead_letters.topic);
    let set = |topic: &String| !topic.is_empty();
    found.unless(
        !(set(input) && input == output),
        "output.topic",
        output,
        "is the input topic: results would be scored again; name another topic",
    );
    found.unless(
        !(set(input) && input == dead),
        "dead_letters.topic",
        dead,
        "is the input topic: rejects would come back for ever; name another topic",
    );
    found.unless(
        !(set(output) && output == dead),
        "dead_letters.topic",
        dead,
        "is the output topic: name another topic",
    );
    if let OutputMembers::Listed(members) = &config.output.members {
        let unique: std::collections::BTreeSet<_> = members.iter().collect();
        found.unless(
            unique.len() == members.len(),
            "output.members",
            members.join(", "),
            "names a field twice",
        );
    }
}

fn time_outs(config: &Config, found: &mut Found) {
    let kafka = &config.kafka;
    found.unless(
        kafka.max_poll_interval_ms >= kafka.session_timeout_ms,
        "kafka.max_poll_interval_ms",
        kafka.max_poll_interval_ms,
        &format!("must be at least kafka.session_timeout_ms ({})", kafka.session_timeout_ms),
    );
    found.unless(
        (3_000..=300_000).contains(&kafka.session_timeout_ms),
        "kafka.session_timeout_ms",
        kafka.session_timeout_ms,
        "must be 3000 to 300000: brokers refuse others by default",
    );
    found.unless(
        (1_000..=kafka.max_poll_interval_ms.max(1_000)).contains(&kafka.transaction_timeout_ms),
        "kafka.transaction_timeout_ms",
        kafka.transaction_timeout_ms,
        &format!("must be 1000 to kafka.max_poll_interval_ms ({})", kafka.max_poll_interval_ms),
    );
    found.unless(
        config.delivery.mode == Mode::AtLeastOnce
            || config.commit.interval_ms * 2 <= kafka.transaction_timeout_ms,
        "commit.interval_ms",
        config.commit.interval_ms,
        &format!(
            "must be at most half of kafka.transaction_timeout_ms ({})",
            kafka.transaction_timeout_ms
        ),
    );
}

fn sizes(config: &Config, found: &mut Found) {
    let between = |found: &mut Found, key: &str, value: u64, low: u64, high: u64| {
        found.unless(
            (low..=high).contains(&value),
            key,
            value,
            &format!("must be {low} to {high}"),
        );
    };
    between(found, "batch.max_rows", config.batch.max_rows as u64, 1, 65_536);
    between(found, "batch.max_bytes", config.batch.max_bytes as u64, 1_024, 256 << 20);
    between(found, "batch.max_delay_ms", config.batch.max_delay_ms, 0, 10_000);
    between(found, "commit.max_bytes", config.commit.max_bytes as u64, 65_536, 1 << 30);
    between(found, "workers.threads", config.workers.threads as u64, 0, 512);
    between(found, "workers.queue", config.workers.queue as u64, 1, 64);
    between(found, "memory.fetch_kib", config.memory.fetch_kib as u64, 64, 2_097_151);
    between(found, "memory.produce_kib", config.memory.produce_kib as u64, 64, 2_097_151);
    between(found, "memory.archive_kib", config.memory.archive_kib as u64, 1_024, 64 << 20);
    between(found, "archive.roll_rows", config.archive.roll_rows, 1, 100_000_000);
    between(found, "archive.roll_bytes", config.archive.roll_bytes, 1 << 16, 4 << 30);
    between(found, "archive.roll_seconds", config.archive.roll_seconds, 1, 86_400);
    found.unless(
        (0.0..=1.0).contains(&config.telemetry.trace_ratio),
        "telemetry.trace_ratio",
        config.telemetry.trace_ratio,
        "must be 0 to 1",
    );
    let endpoint = &config.telemetry.otlp_endpoint;
    found.unless(
        endpoint.is_empty() || endpoint.starts_with("http://"),
        "telemetry.otlp_endpoint",
        without_user(endpoint),
        "must be http://host:port (4318 is usual), or empty for none: TLS and gRPC are a \
         collector's, beside the process",
    );
    let listen = &config.server.listen;
    found.unless(
        listen.is_empty() || listen.parse::<std::net::SocketAddr>().is_ok(),
        "server.listen",
        listen,
        "must be address:port (127.0.0.1:9464, [::1]:9464, 0.0.0.0:9464), or empty for none",
    );
}

/// The tables may lie in an object store; whatever else is read or kept is this machine's.
fn places(config: &Config, found: &mut Found) {
    let archive = &config.archive;
    if let Err(why) = location::check(&archive.directory) {
        found.unless(false, "archive.directory", archive.directory.display(), &why);
    }
    found.unless(
        !location::is_object(&archive.directory) || archive.roll_bytes <= OBJECT_BYTES,
        "archive.roll_bytes",
        archive.roll_bytes,
        &format!("must be at most {OBJECT_BYTES} in an object store, where a file is one request"),
    );
    let references = config.monitor.references.iter();
    let references =
        references.map(|(version, path)| (format!("monitor.references.{version}"), path));
    let others = [
        ("contract.file", &config.contract.file),
        ("model.repository", &config.model.repository),
        ("alerts.state", &config.alerts.state),
        ("alerts.http.ca_file", &config.alerts.http.ca_file),
        ("scheduler.state", &config.scheduler.state),
        ("monitor.reference", &config.monitor.reference),
        ("sql.tls_certificate", &config.sql.tls_certificate),
        ("sql.tls_key", &config.sql.tls_key),
    ];
    let others = others.into_iter().map(|(key, path)| (key.to_owned(), path));
    for (key, path) in others.chain(references) {
        found.unless(
            !location::has_scheme(path),
            &key,
            path.display(),
            "must be a file or folder of this machine: only the tables, a job's input and its output may lie in an \
             object store",
        );
    }
}

fn monitor(config: &Config, found: &mut Found) {
    let of = &config.monitor;
    found.unless(
        of.pane_seconds > 0 && 86_400 % of.pane_seconds == 0,
        "monitor.pane_seconds",
        of.pane_seconds,
        "must divide a day (60, 300, 3600)",
    );
    if let Err(error) =
        monitor::window::Windows::new(of.window_seconds, of.slide_seconds, of.pane_seconds)
    {
        found.unless(false, "monitor.slide_seconds", of.slide_seconds, &error.to_string());
    }
    found.unless(
        of.slide_seconds > 0 && of.previous_seconds.is_multiple_of(of.slide_seconds.max(1)),
        "monitor.previous_seconds",
        of.previous_seconds,
        &format!("must be a multiple of monitor.slide_seconds ({})", of.slide_seconds),
    );
    found.unless(
        of.previous_seconds >= of.window_seconds,
        "monitor.previous_seconds",
        of.previous_seconds,
        &format!("must be at least monitor.window_seconds ({})", of.window_seconds),
    );
    for (key, value) in [
        ("monitor.alpha", of.alpha),
        ("monitor.ks_threshold", of.ks_threshold),
        ("monitor.null_rise", of.null_rise),
        ("monitor.new_share", of.new_share),
        ("monitor.out_of_range_share", of.out_of_range_share),
    ] {
        found.unless(value > 0.0 && value <= 1.0, key, value, "must be above 0 and at most 1");
    }
    found.unless(
        of.psi_threshold > 0.0 && of.psi_threshold.is_finite(),
        "monitor.psi_threshold",
        of.psi_threshold,
        "must be above 0",
    );
    found.unless(
        (0.0..1.0).contains(&of.volume_low),
        "monitor.volume_low",
        of.volume_low,
        "must be 0 to 1, less than 1",
    );
    found.unless(
        of.volume_high == 0.0 || (of.volume_high > 1.0 && of.volume_high.is_finite()),
        "monitor.volume_high",
        of.volume_high,
        "must be above 1, or 0 for never",
    );
}
