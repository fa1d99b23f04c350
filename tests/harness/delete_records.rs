//! What retention does, at once: Kafka's DeleteRecords request, spoken by hand on one connection.
//! The product deletes no records, so its client has no call for it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Bound of one request.
const LIMIT: Duration = Duration::from_secs(30);

/// Removes everything before `before` from partition 0 of `topic`.
pub(crate) fn delete_records(broker: &str, topic: &str, before: i64) {
    let mut request = Vec::new();
    // Header: DeleteRecords, version 0, a correlation id, no client id.
    for number in [21_i16, 0] {
        request.extend(number.to_be_bytes());
    }
    request.extend(7_i32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    // One topic with one partition.
    request.extend(1_i32.to_be_bytes());
    request.extend((topic.len() as i16).to_be_bytes());
    request.extend(topic.as_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(0_i32.to_be_bytes());
    request.extend(before.to_be_bytes());
    request.extend((LIMIT.as_millis() as i32).to_be_bytes());

    let mut stream = TcpStream::connect(broker).expect("the broker listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a bound");
    stream.write_all(&(request.len() as i32).to_be_bytes()).expect("sent");
    stream.write_all(&request).expect("sent");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).expect("a whole answer");
    // It ends with the log's new start and an error code.
    let (start, code) = answer[answer.len() - 10..].split_at(8);
    assert_eq!(code, [0, 0], "DeleteRecords of {topic} before {before} was refused: {answer:?}");
    assert_eq!(start, before.to_be_bytes(), "{topic} begins elsewhere");
}
