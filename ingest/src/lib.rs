//! Kafka, both directions; refuses to know what the bytes mean.
