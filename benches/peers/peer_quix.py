"""The Quix Streams peer: exactly once, one event at a time, as its API has it.

A function sees one event, so the model is called once an event. Holding events back to score them
together would commit offsets of events whose results are not written yet, so it is not done.
"""

import argparse
import pathlib
import sys
import time

import numpy as np
import orjson
from quixstreams import Application, message_context

import scoring


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("brokers", "group", "input", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--package", type=pathlib.Path, required=True)
    parser.add_argument("--commit-ms", type=float, default=100.0)
    parser.add_argument("-C", dest="consumer", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-P", dest="producer", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


def scorer(model: scoring.Model, topic: str):
    """From an event's bytes to its result's."""
    heads = [head.encode() for head in model.heads()]
    classes = [[f'"{name}"'.encode() for name in output.get("classes", [])] for output in model.outputs]
    labels = [output["kind"] == "label" for output in model.outputs]
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
        for head, column, is_label, words in zip(heads, model.predict(model.filled(features)), labels, classes):
            number = column[0]
            pieces += (head, words[number] if is_label else str(number).encode())
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
        producer_extra_config={"compression.type": "lz4", "linger.ms": 5, **pairs(said.producer)},
        loglevel="WARNING",
    )
    source = app.topic(said.input, key_deserializer="bytes", value_deserializer="bytes")
    target = app.topic(said.output, key_serializer="bytes", value_serializer="bytes")
    results = app.dataframe(source).apply(scorer(model, said.input), metadata=True)
    results.to_topic(target)
    print("ready", file=sys.stderr, flush=True)
    app.run()


if __name__ == "__main__":
    main()
