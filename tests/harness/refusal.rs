//! What a broker answers to a request that it refuses, written by hand: in the versions that
//! librdkafka asks in, and it fails on any other.

/// The answer to `request` with this error code in each of its places.
pub(crate) fn of(request: &[u8], code: i16) -> Vec<u8> {
    let mut read = Reader(request);
    let (api, version) = (read.i16(), read.i16());
    let mut answer = read.take(4).to_vec();
    read.short_string();
    match (api, version) {
        // SyncGroup: throttle, code, no assignment.
        (14, 3) => {
            answer.extend(0_i32.to_be_bytes());
            answer.extend(code.to_be_bytes());
            answer.extend(0_i32.to_be_bytes());
        }
        // OffsetFetch of one group: its name, no topics, code; with tags behind each structure.
        (9, 9) => {
            read.tags();
            assert_eq!(read.count(), 1, "librdkafka asks for one group");
            answer.push(0);
            answer.extend(0_i32.to_be_bytes());
            answer.push(1 + 1);
            answer.extend(read.compact_string());
            answer.push(1);
            answer.extend(code.to_be_bytes());
            answer.extend([0, 0]);
        }
        // InitProducerId: tags of the header, then throttle, code, no producer.
        (22, 4) => {
            answer.push(0);
            answer.extend(0_i32.to_be_bytes());
            answer.extend(code.to_be_bytes());
            answer.extend((-1_i64).to_be_bytes());
            answer.extend((-1_i16).to_be_bytes());
            answer.push(0);
        }
        // AddPartitionsToTxn: behind transaction and producer come topics with their partitions.
        (24, 0) => {
            read.short_string();
            read.take(8 + 2);
            answer.extend(0_i32.to_be_bytes());
            let topics = read.i32();
            answer.extend(topics.to_be_bytes());
            for _ in 0..topics {
                answer.extend(read.short_string());
                let partitions = read.i32();
                answer.extend(partitions.to_be_bytes());
                for _ in 0..partitions {
                    answer.extend(read.take(4));
                    answer.extend(code.to_be_bytes());
                }
            }
        }
        // AddOffsetsToTxn, EndTxn: throttle and code.
        (25, 0) | (26, 1) => {
            answer.extend(0_i32.to_be_bytes());
            answer.extend(code.to_be_bytes());
        }
        // TxnOffsetCommit, all in compact forms with tags behind each structure.
        (28, 3) => {
            read.tags();
            read.compact_string();
            read.compact_string();
            read.take(8 + 2 + 4);
            read.compact_string();
            read.compact_string();
            answer.push(0);
            answer.extend(0_i32.to_be_bytes());
            let topics = read.count();
            answer.push(topics + 1);
            for _ in 0..topics {
                answer.extend(read.compact_string());
                let partitions = read.count();
                answer.push(partitions + 1);
                for _ in 0..partitions {
                    answer.extend(read.take(4));
                    read.take(8 + 4);
                    read.compact_string();
                    read.tags();
                    answer.extend(code.to_be_bytes());
                    answer.push(0);
                }
                read.tags();
                answer.push(0);
            }
            answer.push(0);
        }
        other => panic!("request {other:?} (API, version) is not known here"),
    }
    answer
}

/// Reads a request from its front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(bytes);
        self.0 = rest;
        taken
    }

    fn i16(&mut self) -> i16 {
        i16::from_be_bytes(self.take(2).try_into().expect("two bytes"))
    }

    fn i32(&mut self) -> i32 {
        i32::from_be_bytes(self.take(4).try_into().expect("four bytes"))
    }

    /// A string behind a length of two bytes; both, as they stand.
    fn short_string(&mut self) -> &'a [u8] {
        let length = i16::from_be_bytes([self.0[0], self.0[1]]).max(0);
        self.take(2 + length as usize)
    }

    /// A string behind its length plus one, 0 for none; both, as they stand.
    fn compact_string(&mut self) -> &'a [u8] {
        assert!(self.0[0] < 0x80, "the tests' names are short");
        self.take(usize::from(self.0[0].max(1)))
    }

    /// How many elements follow.
    fn count(&mut self) -> u8 {
        let plus_one = self.take(1)[0];
        assert!((1..0x80).contains(&plus_one), "the tests' lists are short");
        plus_one - 1
    }

    fn tags(&mut self) {
        assert_eq!(self.take(1), [0], "librdkafka sends no tags");
    }
}
