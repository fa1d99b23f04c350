//! ONNX Runtime: package, checks, sessions; refuses to know Kafka and Parquet.
