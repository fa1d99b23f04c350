"""Reads an output topic as a `read_committed` reader does and counts it, apart from any pipeline."""

import json
import math
import re

SOURCE = re.compile(rb'"source":\{"topic":"[^"]*","partition":(\d+),"offset":(\d+),"timestamp":[^}]*\}\}$')
# Every so many offsets a result is kept, to be compared with another variant's.
KEEP_EVERY = 997
# No record for so long before the end of a partition: the topic is not what it should be.
PATIENCE_SECONDS = 20
# Batches of different sizes and another release of the runtime may differ in the last bits.
TOLERANCE = 1e-4


class Counted:
    """How many results there are, of how many events, how large, and some of them."""

    def __init__(self, address: str, topic: str, source_ends: list[int]):
        from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

        self.records, self.bytes, self.doubled, self.strange = 0, 0, 0, 0
        self.kept: dict[tuple[int, int], bytes] = {}
        seen = [bytearray(end) for end in source_ends]
        settings = {
            "bootstrap.servers": address,
            "group.id": f"{topic}-oracle",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 2,
            # What the reader holds must not push the next variant's input out of memory.
            "queued.max.messages.kbytes": 16384,
        }
        consumer = Consumer(settings)
        try:
            consumer.assign([TopicPartition(topic, at, OFFSET_BEGINNING) for at in range(len(source_ends))])
            open_partitions, waited = len(source_ends), 0.0
            while open_partitions:
                batch = consumer.consume(10_000, 0.5)
                waited = 0.0 if batch else waited + 0.5
                if waited > PATIENCE_SECONDS:
                    raise RuntimeError(f"{topic}: no record and no end for {PATIENCE_SECONDS} s")
                for message in batch:
                    if message.error() is None:
                        self._take(message.value(), seen)
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        open_partitions -= 1
                    else:
                        raise RuntimeError(f"{topic}: {message.error()}")
        finally:
            consumer.close()
        self.distinct = sum(sum(part) for part in seen)

    def _take(self, value: bytes, seen: list[bytearray]) -> None:
        self.records += 1
        self.bytes += len(value)
        found = SOURCE.search(value, len(value) - 160)
        if not found:
            self.strange += 1
            return
        partition, offset = int(found[1]), int(found[2])
        if seen[partition][offset]:
            self.doubled += 1
        seen[partition][offset] = 1
        if offset % KEEP_EVERY == 0:
            self.kept[partition, offset] = value

    def problems(self, events: int) -> list[str]:
        """What is not exactly once."""
        found = []
        if self.records != events or self.distinct != events or self.doubled or self.strange:
            found.append(
                f"{self.records} results of {self.distinct} of {events} events, "
                f"{self.doubled} doubled, {self.strange} unreadable"
            )
        return found

    def differences(self, other: "Counted") -> list[str]:
        """Results kept of both that differ in more than the time of scoring and last bits."""
        found = []
        for at in self.kept.keys() & other.kept.keys():
            mine, theirs = self.kept[at], other.kept[at]
            head = mine.split(b',"prediction":', 1)[0]
            if not theirs.startswith(head + b',"prediction":'):
                found.append(f"{at}: the event's own members differ")
                continue
            ours, others = json.loads(mine), json.loads(theirs)
            if any(ours[name] != others[name] for name in ("model", "arm", "source")):
                found.append(f"{at}: model, arm or source differ")
            elif list(ours) != list(others) or not close(ours["prediction"], others["prediction"]):
                found.append(f"{at}: {ours['prediction']} and {others['prediction']}")
        return found


def close(mine: dict, theirs: dict) -> bool:
    """The same members, numbers within the tolerance."""
    if list(mine) != list(theirs):
        return False
    for name, value in mine.items():
        other = theirs[name]
        if isinstance(value, str) or isinstance(other, str):
            if value != other:
                return False
        elif not math.isclose(value, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            return False
    return True
