//! What a Kafka administrator does to a topic, spoken by hand on one connection: the product deletes
//! no records and no topics and adds no partitions, so its client has no call for either.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Bound of one request.
const LIMIT: Duration = Duration::from_secs(30);

/// Removes everything before `before` from partition 0 of `topic`, as retention would.
pub(crate) fn delete_records(broker: &str, topic: &str, before: i64) {
    let mut body = one_topic(topic);
    // One partition.
    body.extend(1_i32.to_be_bytes());
    body.extend(0_i32.to_be_bytes());
    body.extend(before.to_be_bytes());
    body.extend((LIMIT.as_millis() as i32).to_be_bytes());
    let answer = ask(broker, (21, 0), &body);
    // It ends with the log's new start and an error code.
    let (start, code) = answer[answer.len() - 10..].split_at(8);
    assert_eq!(code, [0, 0], "DeleteRecords of {topic} before {before} was refused: {answer:?}");
    assert_eq!(start, before.to_be_bytes(), "{topic} begins elsewhere");
}

/// Grows `topic` to so many partitions.
pub(crate) fn add_partitions(broker: &str, topic: &str, partitions: i32) {
    let mut body = one_topic(topic);
    body.extend(partitions.to_be_bytes());
    // Wherever the broker likes them, and not only to try.
    body.extend((-1_i32).to_be_bytes());
    body.extend((LIMIT.as_millis() as i32).to_be_bytes());
    body.push(0);
    let answer = ask(broker, (37, 0), &body);
    // Correlation id, throttle time, one topic with its name, then an error code.
    let code = &answer[4 + 4 + 4 + 2 + topic.len()..][..2];
    assert_eq!(code, [0, 0], "CreatePartitions of {topic} was refused: {answer:?}");
}

/// Deletes `topic`.
pub(crate) fn delete_topic(broker: &str, topic: &str) {
    let mut body = one_topic(topic);
    body.extend((LIMIT.as_millis() as i32).to_be_bytes());
    let answer = ask(broker, (20, 1), &body);
    // It ends with an error code.
    assert!(answer.ends_with(&[0, 0]), "DeleteTopics of {topic} was refused: {answer:?}");
}

/// A list of one topic, as far as its name.
fn one_topic(topic: &str) -> Vec<u8> {
    let mut body = 1_i32.to_be_bytes().to_vec();
    body.extend((topic.len() as i16).to_be_bytes());
    body.extend(topic.as_bytes());
    body
}

/// A request of this API in this version, and what is answered.
fn ask(broker: &str, (api, version): (i16, i16), body: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    // Header: the API, its version, a correlation id, no client id.
    for number in [api, version] {
        request.extend(number.to_be_bytes());
    }
    request.extend(7_i32.to_be_bytes());
    request.extend((-1_i16).to_be_bytes());
    request.extend(body);
    let mut stream = TcpStream::connect(broker).expect("the broker listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a bound");
    stream.write_all(&(request.len() as i32).to_be_bytes()).expect("sent");
    stream.write_all(&request).expect("sent");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; i32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).expect("a whole answer");
    answer
}
