//! Whether the topic under a table is still the one that was archived, and holds what is to be archived next.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use batch::TopicIdentity;
use ingest::{AdminError, HopError, TopicInfo};

use super::archive::ArchiveOf;

/// Patience with one answer; the reader waits meanwhile.
const ASK: Duration = Duration::from_secs(1);
/// Pause until brokers that did not answer are asked again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// The topic's identity in every footer.
pub(crate) fn identity(info: &TopicInfo) -> TopicIdentity {
    TopicIdentity {
        cluster_id: info.cluster_id.clone(),
        topic: info.topic.clone(),
        topic_id: info.topic_id.clone(),
    }
}

/// Retention was faster than the archive: only a person may say that the archive goes on.
pub(super) fn overtaken(of: ArchiveOf, topic: &str, partition: i32, gap: Range<i64>) -> HopError {
    let table = of.name();
    HopError::Config(format!(
        "{topic}/{partition} is archived up to {}, and its log begins at {}: retention removed what \
         lay between before it was archived. `tidegate archive accept-gap --table {table} \
         --partition {partition}` records that it is gone and lets the archive go on",
        gap.start, gap.end
    ))
}

/// Looks at the topic again when partitions come: the hop may have run for long since it looked first.
pub(super) struct Looking {
    archived: TopicIdentity,
    /// Partitions that came since the last look, and how far each is archived.
    came: BTreeMap<i32, i64>,
    asked_at: Option<Instant>,
}

impl Looking {
    pub(super) fn new(archived: TopicIdentity) -> Self {
        Self { archived, came: BTreeMap::new(), asked_at: None }
    }

    /// A partition came that is archived up to `end`.
    pub(super) fn came(&mut self, partition: i32, end: i64) {
        self.came.insert(partition, end);
        self.asked_at = None;
    }

    /// Asks about the partitions that came. Brokers that do not answer are asked again later: a hop that ended for
    /// it would join its group anew while they come back.
    pub(super) fn look(
        &mut self,
        now: Instant,
        ask: impl FnOnce(Duration) -> Result<TopicInfo, AdminError>,
    ) -> Result<(), HopError> {
        let is_due = self.asked_at.is_none_or(|at| now.duration_since(at) >= ASK_AGAIN);
        if self.came.is_empty() || !is_due {
            return Ok(());
        }
        self.asked_at = Some(now);
        match ask(ASK) {
            Ok(info) => is_still(&self.archived, &info, std::mem::take(&mut self.came)),
            Err(error) => {
                let topic = &self.archived.topic;
                tracing::debug!(topic, %error, "the topic is looked at again later");
                Ok(())
            }
        }
    }
}

fn is_still(
    archived: &TopicIdentity,
    now: &TopicInfo,
    reached: BTreeMap<i32, i64>,
) -> Result<(), HopError> {
    let topic = &archived.topic;
    if archived.difference(&identity(now)).is_some() {
        // The next look names both.
        return Err(HopError::Retry(format!(
            "topic {topic:?} was made anew, or lies in another cluster, since its archive was opened"
        )));
    }
    for (partition, end) in reached {
        let log = now.partitions.iter().find(|each| each.partition == partition);
        if let Some(log) = log.filter(|log| log.high < end) {
            return Err(HopError::Config(format!(
                "{topic}/{partition} is archived up to {end}, and its log ends at {}: the brokers lost records \
                 that were archived (an unclean leader election, or a power failure). What is written there now \
                 takes positions that the archive holds already. Name a new table in the configuration \
                 (archive.directory), which begins with what the log has",
                log.high
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ingest::PartitionInfo;

    use super::*;

    fn info(topic_id: &str, high: i64) -> TopicInfo {
        TopicInfo {
            cluster_id: "c".into(),
            topic: "t".into(),
            topic_id: topic_id.into(),
            partitions: vec![PartitionInfo { partition: 3, low: 0, high }],
            max_message_bytes: 1,
            retention_ms: None,
            cleanup_policy: String::new(),
        }
    }

    #[test]
    fn another_topic_and_a_log_that_was_cut_back_are_told_apart() {
        let archived = identity(&info("i", 60));
        let look = |now: &TopicInfo, end| is_still(&archived, now, BTreeMap::from([(3, end)]));
        assert!(look(&info("i", 60), 60).is_ok());
        // A broker that tells no id.
        assert!(look(&info("", 60), 60).is_ok());
        assert!(matches!(look(&info("j", 60), 60), Err(HopError::Retry(_))));
        let cut_back = look(&info("i", 59), 60);
        assert!(matches!(&cut_back, Err(HopError::Config(text)) if text.contains("ends at 59")));
    }

    #[test]
    fn brokers_that_do_not_answer_are_asked_again_until_they_do() {
        let mut looking = Looking::new(identity(&info("i", 60)));
        let silent = |_| Err(AdminError::Unreachable("away".into()));
        let begun = Instant::now();
        assert!(looking.look(begun, |_| panic!("nothing came")).is_ok());
        looking.came(3, 61);
        assert!(looking.look(begun, silent).is_ok());
        assert!(looking.look(begun, |_| panic!("it is too early")).is_ok());
        let late = begun + ASK_AGAIN;
        assert!(looking.look(late, |_| Ok(info("i", 60))).is_err());
        assert!(looking.look(late + ASK_AGAIN, |_| panic!("it is known")).is_ok());
    }
}
