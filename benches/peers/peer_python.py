"""The Python peer: confluent-kafka in batches, pyarrow or orjson, onnxruntime on one thread.

Exactly once by a transaction that holds the results and the consumed offsets. It refuses nothing
and has no dead letters: one bad event ends it, which is less than Tidegate does for an event.
`--parquet` writes the rows beside, not exactly once: a kill would repeat or lose rows.
"""

import argparse
import gc
import os
import pathlib
import signal
import sys
import time

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq
from confluent_kafka import Consumer, Producer, TopicPartition

import scoring

EVENTS = pa.schema(
    [("id", pa.string()), ("departed_at", pa.timestamp("s", "UTC")), ("carrier", pa.string())]
    + [("flight", pa.int32()), ("tail", pa.string()), ("origin", pa.string()), ("dest", pa.string())]
    + [("weekday", pa.int8())]
    + [(name, pa.int16()) for name in ("sched_dep", "sched_arr", "dep_delay", "distance")]
    + [(name, pa.float32()) for name in ("temp", "wind", "visib")]
)
# Rows of one row group: as many as Tidegate's order of magnitude; small groups cost more.
GROUP_ROWS = 131_072


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("brokers", "group", "input", "output"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--package", type=pathlib.Path, required=True)
    parser.add_argument("--decoder", choices=["arrow", "orjson"], default="arrow")
    parser.add_argument("--parquet", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--commit-ms", type=float, default=100.0)
    parser.add_argument("--batch", type=int, default=8192, help="events of one consume(); default %(default)s")
    parser.add_argument("--splice", choices=["arrow", "python"], default="python")
    parser.add_argument("--produce", choices=["batch", "single"], default="batch")
    parser.add_argument("--fields", choices=["features", "all"], default="features", help="what arrow decodes")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("-C", dest="consumer", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("-P", dest="producer", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


def decode_arrow(values: list[bytes], fields: pa.Schema) -> pa.Table:
    text = b"\n".join(values)
    return pyarrow.json.read_json(
        pa.BufferReader(text),
        read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pyarrow.json.ParseOptions(explicit_schema=fields, unexpected_field_behavior="ignore"),
    )


def features_of_table(table: pa.Table, model: scoring.Model) -> np.ndarray:
    features = np.empty((len(table), len(model.features)), "float32")
    for at, (name, fill) in enumerate(zip(model.features, model.fill)):
        column = table.column(name).combine_chunks()
        if column.null_count:
            column = column.fill_null(fill.item())
        features[:, at] = column.to_numpy(zero_copy_only=False)
    return features


def spliced_by_arrow(model, values, partitions, offsets, timestamps, columns, topic) -> list[bytes]:
    """All records of a batch by pyarrow's kernels: no work per record in Python but at both ends."""
    pieces = [pc.binary_slice(pa.array(values, pa.binary()), 0, -1)]
    for head, output, column in zip(model.heads(), model.outputs, columns):
        pieces.append(head.encode())
        if output["kind"] == "label":
            labels = pa.array([f'"{name}"'.encode() for name in output["classes"]], pa.binary())
            pieces.append(labels.take(pa.array(column)))
        else:
            pieces.append(pa.array(column).cast(pa.string()).cast(pa.binary()))
    pieces.append(model.middle(topic).encode())
    for numbers, then in ((partitions, b',"offset":'), (offsets, b',"timestamp":'), (timestamps, b"}}")):
        pieces.append(pa.array(numbers, pa.int64()).cast(pa.string()).cast(pa.binary()))
        pieces.append(then)
    return pc.binary_join_element_wise(*pieces, b"").to_pylist()


def spliced_by_python(model, values, partitions, offsets, timestamps, columns, topic) -> list[bytes]:
    """One formatting operation a record."""
    names = [output["classes"] if output["kind"] == "label" else None for output in model.outputs]
    texts = [
        [f'"{name[at]}"'.encode() for at in column.tolist()]
        if name
        else pa.array(column).cast(pa.string()).cast(pa.binary()).to_pylist()
        for name, column in zip(names, columns)
    ]
    form = ("%b".join(["", *model.heads(), ""]) + model.middle(topic) + '%d,"offset":%d,"timestamp":%d}}').encode()
    return [
        form % record
        for record in zip([value[:-1] for value in values], *texts, partitions, offsets, timestamps)
    ]


class Parquet:
    """Rows beside the topic: the event's fields, the predictions and the source, zstd 1."""

    def __init__(self, folder: pathlib.Path, model: scoring.Model):
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.model = folder / f"{os.getpid()}.parquet", model
        self.writer, self.waiting, self.rows = None, [], 0

    def add(self, events: pa.Table, columns, partitions, offsets, timestamps) -> None:
        for output, column in zip(self.model.outputs, columns):
            if output["kind"] == "label":
                column = pa.array(output["classes"]).take(pa.array(column))
            events = events.append_column(f"prediction_{output['name']}", pa.array(column))
        for name, numbers in (("partition", partitions), ("offset", offsets), ("timestamp", timestamps)):
            events = events.append_column(f"source_{name}", pa.array(numbers, pa.int64()))
        for name, value in (("name", self.model.name), ("version", self.model.version)):
            column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(events), "int8")), pa.array([value]))
            events = events.append_column(f"model_{name}", column)
        self.waiting.append(events)
        self.rows += len(events)
        if self.rows >= GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        if not self.waiting:
            return
        table = pa.concat_tables(self.waiting).combine_chunks()
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, table.schema, compression="zstd", compression_level=1)
        self.writer.write_table(table, row_group_size=len(table))
        self.waiting, self.rows = [], 0

    def close(self) -> None:
        self.flush()
        if self.writer is not None:
            self.writer.close()


class Peer:
    """One consumer, one session, one transactional producer."""

    def __init__(self, said: argparse.Namespace, index: int):
        self.said, self.model = said, scoring.Model(said.package)
        self.parquet = Parquet(said.parquet, self.model) if said.parquet else None
        wanted = EVENTS.names if said.parquet or said.fields == "all" else self.model.features
        self.fields = pa.schema([EVENTS.field(name) for name in wanted])
        consumer = {
            "bootstrap.servers": said.brokers,
            "group.id": said.group,
            "group.instance.id": f"python-{index}",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10_000,
            "fetch.queue.backoff.ms": 2,
            **dict(pair.split("=", 1) for pair in said.consumer),
        }
        producer = {
            "bootstrap.servers": said.brokers,
            "transactional.id": f"{said.group}-{index}",
            "transaction.timeout.ms": 12_000,
            "compression.type": "lz4",
            # A commit sends what waits, so lingering costs no latency; see README for what it saves.
            "linger.ms": 50,
            "batch.num.messages": 100_000,
            "queue.buffering.max.messages": 0,
            "queue.buffering.max.kbytes": 1 << 20,
            "delivery.report.only.error": True,
            **dict(pair.split("=", 1) for pair in said.producer),
        }
        self.consumer, self.producer = Consumer(consumer), Producer(producer)
        self.ends: dict[int, int] = {}
        self.opened = 0.0

    def run(self, stopping) -> None:
        self.producer.init_transactions(30)
        print("ready", file=sys.stderr, flush=True)
        self.consumer.subscribe([self.said.input], on_revoke=self.revoked, on_lost=self.lost)
        interval = self.said.commit_ms / 1000
        while not stopping():
            left = self.opened + interval - time.monotonic() if self.ends else interval
            messages = self.consumer.consume(self.said.batch, max(0.0, min(left, 0.05, interval / 4)))
            if messages:
                self.score(messages)
            if self.ends and time.monotonic() >= self.opened + interval:
                self.commit()
        self.commit()
        if self.parquet:
            self.parquet.close()
        self.consumer.close()

    def score(self, messages: list) -> None:
        for message in messages:
            if message.error() is not None:
                raise SystemExit(f"consuming: {message.error()}")
        values = [message.value() for message in messages]
        partitions = [message.partition() for message in messages]
        offsets = [message.offset() for message in messages]
        timestamps = [message.timestamp()[1] for message in messages]
        keys = [message.key() for message in messages]
        if self.said.decoder == "arrow":
            table = decode_arrow(values, self.fields)
            features = features_of_table(table, self.model)
        else:
            events = [orjson.loads(value) for value in values]
            rows = [[event[name] for name in self.model.features] for event in events]
            features = self.model.filled(np.array(rows, "float32"))
        columns = self.model.predict(features)
        splice = spliced_by_arrow if self.said.splice == "arrow" else spliced_by_python
        results = splice(self.model, values, partitions, offsets, timestamps, columns, self.said.input)
        if not self.ends:
            self.producer.begin_transaction()
            self.opened = time.monotonic()
        if self.said.produce == "batch":
            batch = [
                {"value": value} if key is None else {"value": value, "key": key} for value, key in zip(results, keys)
            ]
            if self.producer.produce_batch(self.said.output, batch) != len(batch):
                raise SystemExit("producing: the queue refused a record")
        else:
            produce, topic = self.producer.produce, self.said.output
            for value, key in zip(results, keys):
                produce(topic, value, key)
        self.producer.poll(0)
        self.ends.update(zip(partitions, [offset + 1 for offset in offsets]))
        if self.parquet:
            if self.said.decoder == "orjson":
                table = pa.Table.from_pylist(events, schema=EVENTS.set(1, EVENTS.field(1).with_type(pa.string())))
                instants = pc.cast(table.column("departed_at"), EVENTS.field(1).type)
                table = table.set_column(1, EVENTS.field(1), instants)
            self.parquet.add(table, columns, partitions, offsets, timestamps)

    def commit(self) -> None:
        if not self.ends:
            return
        ends = [TopicPartition(self.said.input, partition, end) for partition, end in self.ends.items()]
        self.producer.send_offsets_to_transaction(ends, self.consumer.consumer_group_metadata(), 10)
        self.producer.commit_transaction(10)
        self.ends.clear()

    def revoked(self, _consumer, _partitions) -> None:
        self.commit()

    def lost(self, _consumer, _partitions) -> None:
        raise SystemExit("partitions lost: another start aborts the transaction and goes on")


def main() -> None:
    said = arguments()
    index = 0
    children = []
    for other in range(1, said.processes):
        child = os.fork()
        if child == 0:
            index, children = other, []
            break
        children.append(child)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    peer = Peer(said, index)
    # What is alive now stays: the collector need not look at it again.
    gc.freeze()
    peer.run(lambda: bool(stop))
    for child in children:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
