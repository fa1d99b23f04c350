//! Feeding a topic: batches of events, paced or flat out, keyed by a member where asked.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use ingest::{Connection, Outgoing, Producer};

/// Records of one batch when nothing paces them.
const BATCH_RECORDS: usize = 1024;

/// Bytes of one batch: large events go in small batches.
const BATCH_BYTES: usize = 1 << 20;

/// How long the brokers may take to acknowledge: Kafka's own default of `delivery.timeout.ms`, which a
/// broker that starts again on a busy machine needs.
const ACKNOWLEDGE: Duration = Duration::from_secs(120);

/// Pause between batches at a rate; what is due is sent then.
const TICK: Duration = Duration::from_millis(1);

/// Sends events to one topic.
pub(crate) struct Feed {
    producer: Producer,
    pace: Option<Pace>,
    key: Option<String>,
    headers: Vec<(String, String)>,
    pending: Outgoing,
    sent: u64,
}

struct Pace {
    per_second: f64,
    started: Instant,
}

impl Feed {
    /// A feed of `topic`, at `per_second` events or flat out, keyed by the member `key`.
    pub(crate) fn new(
        connection: &Connection,
        topic: &str,
        per_second: Option<f64>,
        key: Option<String>,
    ) -> anyhow::Result<Self> {
        let producer = Producer::new(connection, topic, ACKNOWLEDGE)?;
        let pace = per_second.map(|per_second| Pace { per_second, started: Instant::now() });
        let headers = Vec::new();
        Ok(Self { producer, pace, key, headers, pending: Outgoing::new(), sent: 0 })
    }

    /// The same feed, whose events carry these headers.
    pub(crate) fn with_headers(self, headers: Vec<(String, String)>) -> Self {
        Self { headers, ..self }
    }

    /// Adds an event; it is sent when its batch is full or due.
    pub(crate) fn push(&mut self, event: &[u8]) -> anyhow::Result<()> {
        let key = match &self.key {
            Some(member) => Some(member_of(event, member)?),
            None => None,
        };
        self.enqueue(key.as_deref(), event)
    }

    /// Adds an event under a given key.
    pub(crate) fn push_keyed(&mut self, key: &[u8], event: &[u8]) -> anyhow::Result<()> {
        self.enqueue(Some(key), event)
    }

    fn enqueue(&mut self, key: Option<&[u8]>, event: &[u8]) -> anyhow::Result<()> {
        self.pending.push(key, event, None);
        self.sent += 1;
        if self.is_full() { self.send() } else { Ok(()) }
    }

    /// Events handed over so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Sends what is left and waits until everything is acknowledged.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.send()?;
        Ok(self.producer.flush()?)
    }

    fn is_full(&self) -> bool {
        let due = match &self.pace {
            None => BATCH_RECORDS,
            // As many as a tick brings, so that slow rates are not bursts.
            Some(pace) => ((pace.per_second * TICK.as_secs_f64()) as usize).clamp(1, BATCH_RECORDS),
        };
        self.pending.len() >= due || self.pending.bytes() >= BATCH_BYTES
    }

    fn send(&mut self) -> anyhow::Result<()> {
        let mut batch = std::mem::take(&mut self.pending);
        self.headers.iter().for_each(|(name, value)| batch.header(name, value.as_bytes()));
        self.producer.send(batch)?;
        if let Some(pace) = &self.pace {
            let due_at = pace.started + Duration::from_secs_f64(self.sent as f64 / pace.per_second);
            while let Some(left) = due_at.checked_duration_since(Instant::now()) {
                self.producer.serve()?;
                std::thread::sleep(left.min(TICK));
            }
        }
        Ok(())
    }
}

/// The value of a top-level member as key bytes: a string's text, anything else as JSON.
fn member_of(event: &[u8], member: &str) -> anyhow::Result<Vec<u8>> {
    let shown = || String::from_utf8_lossy(&event[..event.len().min(120)]).into_owned();
    // Where it breaks is told by the event itself: each is line 1 of its own.
    let parsed: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(event)
        .ok()
        .with_context(|| format!("--key {member}: this is not a JSON object: {}", shown()))?;
    match parsed.get(member) {
        Some(serde_json::Value::String(text)) => Ok(text.clone().into_bytes()),
        Some(value) => Ok(value.to_string().into_bytes()),
        None => anyhow::bail!("--key {member}: this event has no such member: {}", shown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_text_or_json_and_a_missing_one_is_said() {
        assert_eq!(member_of(br#"{"id":"a b"}"#, "id").unwrap(), b"a b");
        assert_eq!(member_of(br#"{"id":17}"#, "id").unwrap(), b"17");
        assert!(member_of(br#"{"id":17}"#, "key").unwrap_err().to_string().contains("--key key"));
        assert!(member_of(b"[1]", "key").is_err());
    }
}
