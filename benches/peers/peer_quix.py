"""The Quix Streams peer: exactly once, its checkpoint is the transaction.

Its functions see one event at a time. To score many together without committing offsets of events
that are still held back, the model sits in a sink: sinks are flushed before a checkpoint commits,
and this one produces with the application's own producer, inside its transaction. `--per-event`
calls the model in `apply` instead, once an event.
"""

import argparse
import pathlib
import sys
import time

import numpy as np
import orjson
from quixstreams import Application, message_context
from quixstreams.sinks import BatchingSink, SinkBatch

import scoring

# A checkpoint flushes, so lingering costs no latency; see README for what it saves.
PRODUCER = {"compression.type": "lz4", "linger.ms": 50, "batch.num.messages": 100_000}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("brokers", "group", "input", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--package", type=pathlib.Path, required=True)
    parser.add_argument("--commit-ms", type=float, default=100.0)
    parser.add_argument("--per-event", action="store_true")
    parser.add_argument("-C", dest="consumer", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-P", dest="producer", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


class Results(BatchingSink):
    """Scores what a partition brought since the last checkpoint, and produces it."""

    def __init__(self, model: scoring.Model, app: Application, output: str):
        super().__init__()
        # It has no public name; a producer of one's own would be outside the transaction.
        self.model, self.producer, self.output = model, app._producer, output
        self.form = "%b".join(["", *model.heads(), ""])

    def write(self, batch: SinkBatch) -> None:
        items = list(batch)
        names, model = self.model.features, self.model
        rows = [[event[name] for name in names] for event in (orjson.loads(item.value) for item in items)]
        columns = model.predict(model.filled(np.array(rows, "float32")))
        texts = [words(output, column) for output, column in zip(model.outputs, columns)]
        end = f'{batch.partition},"offset":%d,"timestamp":%d}}}}'
        form = (self.form + model.middle(batch.topic) + end).encode()
        produce, output = self.producer.produce, self.output
        for item, *predicted in zip(items, *texts):
            produce(output, form % (item.value[:-1], *predicted, item.offset, item.timestamp), item.key)


def words(output: dict, column: np.ndarray) -> list[bytes]:
    """The JSON text of one output's answers."""
    if output["kind"] == "label":
        labels = [f'"{name}"'.encode() for name in output["classes"]]
        return [labels[at] for at in column.tolist()]
    return [str(number).encode() for number in column]


def scorer(model: scoring.Model, topic: str):
    """From an event's bytes to its result's."""
    heads = [head.encode() for head in model.heads()]
    names, features = model.features, np.empty((1, len(model.features)), "float32")
    # Written anew when the millisecond has changed: it holds the time of scoring.
    middle, made_at = "", 0

    def score(value: bytes, _key, timestamp: int, _headers) -> bytes:
        nonlocal middle, made_at
        now = time.time_ns() // 1_000_000
        if now != made_at:
            middle, made_at = model.middle(topic), now
        event = orjson.loads(value)
        features[0] = [event[name] for name in names]
        pieces = [value[:-1]]
        for head, output, column in zip(heads, model.outputs, model.predict(model.filled(features))):
            pieces += (head, *words(output, column))
        at = message_context()
        pieces.append(f'{middle}{at.partition},"offset":{at.offset},"timestamp":{timestamp}}}}}'.encode())
        return b"".join(pieces)

    return score


def pairs(given: list[str]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in given)


def main() -> None:
    said = arguments()
    model = scoring.Model(said.package)
    app = Application(
        broker_address=said.brokers,
        consumer_group=said.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=said.commit_ms / 1000,
        consumer_poll_timeout=0.05,
        auto_create_topics=False,
        use_changelog_topics=False,
        consumer_extra_config={"fetch.queue.backoff.ms": 2, **pairs(said.consumer)},
        producer_extra_config={**PRODUCER, **pairs(said.producer)},
        loglevel="WARNING",
    )
    source = app.topic(said.input, key_deserializer="bytes", value_deserializer="bytes")
    target = app.topic(said.output, key_serializer="bytes", value_serializer="bytes")
    if said.per_event:
        app.dataframe(source).apply(scorer(model, said.input), metadata=True).to_topic(target)
    else:
        app.dataframe(source).sink(Results(model, app, said.output))
    print("ready", file=sys.stderr, flush=True)
    app.run()


if __name__ == "__main__":
    main()
