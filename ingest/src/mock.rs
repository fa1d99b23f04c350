//! librdkafka's mock broker inside this process: for the demo and quick looks, not for guarantees.
//!
//! It keeps 5 MB a partition and shows aborted records; transactions, groups and static members work.

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A cluster of one mock broker on a free loopback port; it ends with this value.
pub struct Mock(MockCluster<'static, DefaultProducerContext>);

impl Mock {
    /// Starts it.
    pub fn start() -> Result<Self, KafkaError> {
        MockCluster::new(1).map(Self)
    }

    /// `host:port` of the broker.
    #[must_use]
    pub fn brokers(&self) -> String {
        self.0.bootstrap_servers()
    }

    /// Creates a topic with one replica.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> Result<(), KafkaError> {
        self.0.create_topic(topic, partitions, 1)
    }
}
