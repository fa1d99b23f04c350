#!/usr/bin/env python3
"""From handing an event to the producer until a `read_committed` reader holds its result.

One instrument for all: a producer that sends at a steady rate, and a reader in a process of its
own; both read the machine's monotonic clock. `floor` has no pipeline: the producer commits a
transaction of what is due, again and again, and the reader reads its topic.

Events have no key, and go to one partition for the time of a request, a millisecond, then to the next:
near to what Kafka's producers do, which stay longer. With `--round-robin` each event goes to the next
partition: at this rate every event is a request of its own then, and it is the broker under requests
that is measured.
"""

import argparse
import contextlib
import json
import multiprocessing
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

import harness
from harness import say

SOURCE = re.compile(rb'"partition":(\d+),"offset":(\d+),"timestamp":[^}]*\}\}$')
SEQUENCE = re.compile(rb'^\{"n":(\d+),')
# Pause between two looks at what is due.
TICK_SECONDS = 0.0005
# How long a producer gathers a request, and stays with a partition.
LINGER_SECONDS = 0.001
# Events at the beginning that do not count: caches, connections, the first assignment.
WARM_UP_SECONDS = 2.0
# How long results may still come after the last event.
TAIL_SECONDS = 15.0
VARIANTS = ["floor", "python-arrow", "java", "tidegate", "tidegate --set delivery.mode=at_least_once"]
READER = {
    "enable.auto.commit": False,
    "fetch.queue.backoff.ms": 1,
    "fetch.min.bytes": 1,
    "fetch.wait.max.ms": 20,
    "isolation.level": "read_committed",
}
COLUMNS = [
    ("p50", "p50_ms", ".1f"),
    ("p90", "p90_ms", ".1f"),
    ("p99", "p99_ms", ".1f"),
    ("input's p50", "input_p50_ms", ".1f"),
]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=5000.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--warm-up", type=int, default=3, metavar="ROUNDS", help="before those, that do not count")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--round-robin", action="store_true", help="each event to the next partition")
    parser.add_argument("--model", default="flight-delay")
    parser.add_argument("--commit-ms", type=float, default=20.0, help="of the peers; Tidegate keeps its own")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, metavar="'NAME OPTION...'")
    parser.add_argument("--bench", action="store_true", help="what `tidegate bench` itself says, too")
    parser.add_argument("--brokers", metavar="HOST:PORT")
    parser.add_argument("--json", metavar="FILE", help="write everything there; - is standard output")
    return parser.parse_args()


def read(address: str, topic: str, partitions: int, total: int, is_floor: bool, ready, answer) -> None:
    """The reader's process: when each event's result arrived, by its source's partition and offset.

    The floor's events say which they are: their offsets are not known before.
    """
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": f"{topic}-reader", **READER})
    consumer.assign([TopicPartition(topic, at, 0) for at in range(partitions)])
    arrived: dict[tuple[int, int], int] = {}
    doubled, quiet_since = 0, time.monotonic()
    consumer.consume(1, 1.0)
    ready.set()
    while len(arrived) < total and time.monotonic() - quiet_since < TAIL_SECONDS:
        # One at a time: a batch call waits for its whole time-out unless its array is full.
        message = consumer.poll(0.05)
        if message is None:
            continue
        now, quiet_since = time.monotonic_ns(), time.monotonic()
        if message.error() is not None:
            raise SystemExit(f"reading {topic}: {message.error()}")
        value = message.value()
        if is_floor:
            at = (0, int(SEQUENCE.match(value)[1]))
        else:
            found = SOURCE.search(value, len(value) - 160)
            at = (int(found[1]), int(found[2]))
        if at in arrived:
            doubled += 1
        arrived.setdefault(at, now)
    consumer.close()
    answer.put((arrived, doubled))


def send_plain(
    said, address: str, topic: str, events: list[bytes], total: int
) -> tuple[dict[tuple[int, int], int], dict[tuple[int, int], float]]:
    """At the rate; when each event was handed over, and how many ms each took to be in."""
    from confluent_kafka import Producer

    # Idempotent, as Kafka's own producer is by default: five requests under way at most, where librdkafka
    # would otherwise send without an end, and a broker that is late for once would have a queue before it
    # from then on.
    settings = {"linger.ms": LINGER_SECONDS * 1000, "compression.type": "lz4", "enable.idempotence": True}
    producer = Producer({"bootstrap.servers": address, **settings})
    sent: dict[tuple[int, int], int] = {}
    acknowledged: dict[tuple[int, int], float] = {}
    ends = [0] * said.partitions

    def delivered(error, message) -> None:
        if error is not None:
            raise RuntimeError(f"{topic}: {error}")
        acknowledged[message.partition(), message.offset()] = message.latency() * 1000

    begun = time.monotonic()
    while len(sent) < total:
        passed = time.monotonic() - begun
        due = min(total, int(passed * said.rate))
        while len(sent) < due:
            at = len(sent)
            partition = (at if said.round_robin else int(passed / LINGER_SECONDS)) % said.partitions
            sent[partition, ends[partition]] = time.monotonic_ns()
            ends[partition] += 1
            producer.produce(topic, events[at % len(events)], partition=partition, on_delivery=delivered)
        producer.poll(0)
        time.sleep(TICK_SECONDS)
    if producer.flush(30):
        raise RuntimeError(f"{topic}: not every event was acknowledged")
    return sent, acknowledged


def send_floor(said, address: str, topic: str, events: list[bytes], total: int) -> dict[tuple[int, int], int]:
    """The same in transactions, one after the other, each of what is due."""
    from confluent_kafka import Producer

    settings = {"linger.ms": 0, "compression.type": "lz4", "transactional.id": topic}
    producer = Producer({"bootstrap.servers": address, **settings})
    producer.init_transactions(30)
    sent: dict[tuple[int, int], int] = {}
    begun, turn = time.monotonic(), 0
    while len(sent) < total:
        due = min(total, int((time.monotonic() - begun) * said.rate))
        if due == len(sent):
            time.sleep(TICK_SECONDS)
            continue
        producer.begin_transaction()
        turn += 1
        while len(sent) < due:
            at = len(sent)
            sent[0, at] = time.monotonic_ns()
            value = b'{"n":%d,%b' % (at, events[at % len(events)][1:])
            producer.produce(topic, value, partition=(at if said.round_robin else turn) % said.partitions)
        producer.commit_transaction(30)
    return sent


def measure(said, text: str, address: str, topics, events: list[bytes], name: str) -> dict:
    """One variant once."""
    import variants

    total, partitions = int(said.rate * said.seconds), said.partitions
    source = topics.create(f"{name}-in", partitions)
    is_floor = text == "floor"
    made, folder = [source], pathlib.Path(tempfile.mkdtemp(prefix="tidegate-peers-latency."))
    context = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: shutil.rmtree(folder, ignore_errors=True))
        stack.callback(lambda: topics.delete(*made))
        target = source
        if not is_floor:
            target = topics.create(f"{name}-out", partitions)
            made += [target, topics.create(f"{name}-dead", partitions)]
            job = variants.Job(address, f"{name}-score", source, target, made[-1], said.model, folder)
            variant = variants.Variant(text)
            job.commit_ms = None if variant.is_tidegate else said.commit_ms
            process = stack.enter_context(variant.start(job))
            process.wait_until_ready()
            # A member takes its partitions and looks for its position before it reads.
            time.sleep(3)
        ready, answer = context.Event(), context.Queue()
        reader = context.Process(target=read, args=(address, target, partitions, total, is_floor, ready, answer))
        reader.start()
        stack.callback(lambda: (reader.kill(), reader.join()))
        if not ready.wait(30):
            raise RuntimeError("the reader did not start")
        if is_floor:
            sent, acknowledged = send_floor(said, address, source, events, total), {}
        else:
            sent, acknowledged = send_plain(said, address, source, events, total)
        arrived, doubled = answer.get(timeout=TAIL_SECONDS * 2)
        if not is_floor:
            process.check()
    if len(arrived) != total or doubled:
        raise RuntimeError(f"{text}: {len(arrived)} of {total} results, {doubled} doubled")
    counts_from = min(sent.values()) + WARM_UP_SECONDS * 1e9
    counted = [at for at, when in sent.items() if when >= counts_from]
    latencies = sorted((arrived[at] - sent[at]) / 1e6 for at in counted)
    quantile = lambda share: latencies[min(len(latencies) - 1, int(share * len(latencies)))]
    return {
        "variant": text,
        "events": len(counted),
        "p50_ms": quantile(0.5),
        "p90_ms": quantile(0.9),
        "p99_ms": quantile(0.99),
        "max_ms": latencies[-1],
        # How much of it is the event's own way into the input topic.
        "input_p50_ms": statistics.median(acknowledged[at] for at in counted) if acknowledged else None,
    }


def bench(binary: pathlib.Path, said, address: str) -> dict:
    """Tidegate's own instrument, to hold this one against."""
    command = [binary, "bench", "--config", harness.ROOT / "deploy/demo/tidegate.toml", "--only", "score"]
    command += ["--set", f"kafka.brokers={address}", "--set", f"model.name={said.model}", "--events", 20_000]
    command += ["--partitions", said.partitions, "--rate", said.rate, "--seconds", int(said.seconds), "--json"]
    command += [harness.ROOT / "deploy/demo/flights.parquet"]
    library = harness.sh(harness.ROOT / "deploy/setup/onnxruntime.sh")
    done = subprocess.run(
        [str(word) for word in command],
        env={**harness.os.environ, "TIDEGATE_ORT_LIB": library},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"tidegate bench: {done.stderr.strip()[-2000:]}")
    return {"variant": "tidegate (its own bench)", **json.loads(done.stdout)["latency"]}


def flights(binary: pathlib.Path, address: str, topics, name: str) -> list[bytes]:
    """The demo's events as JSON, by way of a topic: the loader is the one of the drains."""
    from confluent_kafka import Consumer, TopicPartition

    topic = topics.create(f"{name}-events", 1)
    harness.load(binary, address, topic, 7000, None)
    consumer = Consumer({"bootstrap.servers": address, "group.id": f"{name}-events", **READER})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages = consumer.consume(7000, 30)
    consumer.close()
    topics.delete(topic)
    return [message.value() for message in messages if message.error() is None]


def main() -> None:
    harness.inside_venv()
    import variants

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    said, binary = arguments(), harness.tidegate()
    for text in said.variants:
        if text != "floor":
            variants.Variant(text).prepare()
    found, problems, name, about = [], [], f"latency-{int(time.time())}", harness.machine()
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(harness.broker(said.brokers, None)).address
        topics = harness.Topics(address)
        stack.callback(lambda: topics.delete(*topics.made))
        events = flights(binary, address, topics, name)
        # A new broker's JVM takes its time: its acknowledgements come seconds late at first.
        for round in range(1 - said.warm_up, said.repeats + 1):
            turn = round % len(said.variants)
            for index, text in enumerate([*said.variants[turn:], *said.variants[:turn]]):
                try:
                    one = measure(said, text, address, topics, events, f"{name}-{round}-{index}")
                    found.append({"round": round, **one})
                    say(line(one) + (" · warm-up" if round < 1 else ""))
                except RuntimeError as error:
                    problems.append(f"{text} · round {round}: {error}")
                    say(f"FAILED {problems[-1]}")
            if said.bench:
                found.append({"round": round, **bench(binary, said, address)})
                say(line(found[-1]) + (" · warm-up" if round < 1 else ""))
    counted = [one for one in found if one["round"] > 0]
    table = harness.table(counted, ["variant"], COLUMNS)
    print(f"{said.rate:,.0f} events/s for {said.seconds:.0f} s; ms, min / median / max of the rounds\n\n{table}")
    harness.write_json(said.json, {"machine": about, "latency": found, "problems": problems})
    if problems:
        raise SystemExit("not every variant was right:\n" + "\n".join(problems))


def line(one: dict) -> str:
    text = "{variant}: p50 {p50_ms:.1f} · p90 {p90_ms:.1f} · p99 {p99_ms:.1f} · max {max_ms:.0f} ms".format(**one)
    if one.get("input_p50_ms") is not None:
        text += f" · of which acknowledged in the input p50 {one['input_p50_ms']:.1f}"
    return text


if __name__ == "__main__":
    main()
