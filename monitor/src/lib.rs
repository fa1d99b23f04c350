//! Drift statistics; refuses to know Kafka and ONNX.
