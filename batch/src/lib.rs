//! Data at rest: atomic publish, archive, SQL; refuses to know Kafka and ONNX.
