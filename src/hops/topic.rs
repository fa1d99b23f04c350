//! Whether the topic under a table is still the one that was archived, and holds what is to be archived next.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use batch::TopicIdentity;
use ingest::{AdminError, HopError, TopicInfo, TopicNow};

use super::archive::ArchiveOf;

/// How long a look takes at most, about; the reader waits meanwhile.
const LOOK: Duration = Duration::from_secs(3);
/// From one look to the next, where not all answered.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Not all having answered for so long is told.
const LONG: Duration = Duration::from_secs(60);

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
    /// Partitions that came and whose logs were not looked at, and how far each is archived.
    came: BTreeMap<i32, i64>,
    looked_at: Option<Instant>,
    /// Since when some did not answer, and whether that was told.
    waiting: Option<(Instant, bool)>,
}

impl Looking {
    pub(super) fn new(archived: TopicIdentity) -> Self {
        Self { archived, came: BTreeMap::new(), looked_at: None, waiting: None }
    }

    /// A partition came that is archived up to `end`.
    pub(super) fn came(&mut self, partition: i32, end: i64) {
        self.came.insert(partition, end);
        self.looked_at = None;
    }

    /// Asks about the partitions that came. Brokers that do not answer are asked again later: a hop that ended for
    /// it would join its group anew while they come back.
    pub(super) fn look(
        &mut self,
        now: Instant,
        ask: impl FnOnce(Vec<i32>, Duration) -> Result<TopicNow, AdminError>,
    ) -> Result<(), HopError> {
        let is_due = self.looked_at.is_none_or(|at| now.duration_since(at) >= LOOK_AGAIN);
        if self.came.is_empty() || !is_due {
            return Ok(());
        }
        self.looked_at = Some(now);
        match ask(self.came.keys().copied().collect(), LOOK) {
            Ok(topic) => {
                is_still(&self.archived, &topic, &self.came)?;
                self.came.retain(|partition, _| !topic.ends.contains_key(partition));
            }
            Err(error) => {
                tracing::debug!(topic = self.archived.topic, %error, "the topic is looked at again later");
            }
        }
        self.tell_if_long(now);
        Ok(())
    }

    fn tell_if_long(&mut self, now: Instant) {
        let (topic, partitions) = (&self.archived.topic, self.came.len());
        if partitions == 0 {
            self.waiting = None;
            return;
        }
        let (since, is_told) = self.waiting.get_or_insert((now, false));
        if !*is_told && now.duration_since(*since) >= LONG {
            *is_told = true;
            tracing::warn!(
                topic,
                partitions,
                "the brokers do not say in time whether the archived topic is the same and its logs are whole; \
                 archiving goes on, and they are asked again"
            );
        }
    }
}

fn is_still(
    archived: &TopicIdentity,
    now: &TopicNow,
    reached: &BTreeMap<i32, i64>,
) -> Result<(), HopError> {
    let topic = &archived.topic;
    let found = TopicIdentity {
        cluster_id: now.cluster_id.clone(),
        topic: topic.clone(),
        topic_id: now.topic_id.clone(),
    };
    if archived.difference(&found).is_some() {
        // The next look names both.
        return Err(HopError::Retry(format!(
            "topic {topic:?} was made anew, or lies in another cluster, since its archive was opened"
        )));
    }
    for (partition, end) in reached {
        if let Some(high) = now.ends.get(partition).filter(|high| *high < end) {
            return Err(HopError::Config(format!(
                "{topic}/{partition} is archived up to {end}, and its log ends at {high}: the brokers lost records \
                 that were archived (an unclean leader election, or a power failure). What is written there now \
                 takes positions that the archive holds already. Name a new table in the configuration \
                 (archive.directory), which begins with what the log has"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archived() -> TopicIdentity {
        TopicIdentity { cluster_id: "c".into(), topic: "t".into(), topic_id: "i".into() }
    }

    fn now(topic_id: &str, ends: &[(i32, i64)]) -> TopicNow {
        let ends = ends.iter().copied().collect();
        TopicNow { cluster_id: "c".into(), topic_id: topic_id.into(), ends }
    }

    #[test]
    fn another_topic_and_a_log_that_was_cut_back_are_told_apart() {
        let look = |now: &TopicNow, end| is_still(&archived(), now, &BTreeMap::from([(3, end)]));
        assert!(look(&now("i", &[(3, 60)]), 60).is_ok());
        // A broker that tells no id.
        assert!(look(&now("", &[(3, 60)]), 60).is_ok());
        assert!(matches!(look(&now("j", &[(3, 60)]), 60), Err(HopError::Retry(_))));
        let cut_back = look(&now("i", &[(3, 59)]), 60);
        assert!(matches!(&cut_back, Err(HopError::Config(text)) if text.contains("ends at 59")));
    }

    #[test]
    fn brokers_that_do_not_answer_are_asked_again_until_all_did() {
        let mut looking = Looking::new(archived());
        let silent = |_, _| Err(AdminError::Unreachable("away".into()));
        let begun = Instant::now();
        let after = |looks| begun + LOOK_AGAIN * looks;
        assert!(looking.look(begun, |_, _| panic!("nothing came")).is_ok());
        looking.came(3, 60);
        looking.came(5, 61);
        assert!(looking.look(begun, silent).is_ok());
        assert!(looking.look(begun, |_, _| panic!("it is too early")).is_ok());
        let first = |asked, _| {
            assert_eq!(asked, [3, 5]);
            Ok(now("i", &[(3, 60)]))
        };
        assert!(looking.look(after(1), first).is_ok());
        let second = |asked, _| {
            assert_eq!(asked, [5]);
            Ok(now("i", &[(5, 60)]))
        };
        assert!(looking.look(after(2), second).is_err());
    }

    #[test]
    fn brokers_that_do_not_answer_for_long_are_told_once() {
        let mut looking = Looking::new(archived());
        looking.came(3, 60);
        let begun = Instant::now();
        let mut told = Vec::new();
        for looks in 0..8 {
            let silent = |_, _| Err(AdminError::Unreachable("away".into()));
            assert!(looking.look(begun + LOOK_AGAIN * looks, silent).is_ok());
            told.push(looking.waiting.is_some_and(|(_, is_told)| is_told));
        }
        assert_eq!(told, [false, false, false, false, false, false, true, true]);
        assert!(looking.look(begun + LOOK_AGAIN * 8, |_, _| Ok(now("i", &[(3, 60)]))).is_ok());
        assert_eq!(looking.waiting, None);
        assert!(looking.look(begun + LOOK_AGAIN * 9, |_, _| panic!("it is known")).is_ok());
    }
}
