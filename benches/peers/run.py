#!/usr/bin/env python3
"""Drains one loaded topic with Tidegate and with each peer in turn, and prints one table.

`benches/peers/run.py` starts a broker of its own; `--brokers HOST:PORT --broker-pid PID` takes one
that runs. What is measured, and from when to when, is defined in README.md beside this file.
"""

import argparse
import pathlib
import shutil
import signal
import tempfile
import time
from dataclasses import asdict, dataclass

import harness
from harness import say

# How often the group's position is asked for: 2 % of a commit interval's error at the ends.
LOOK_SECONDS = 0.02
# Without any progress for so long a drain is given up.
PATIENCE_SECONDS = 60
# The broker deletes the last variant's segments and writes back before the next one starts.
REST_SECONDS = 3
DEFAULT = ["tidegate", "java", "python-arrow", "python-orjson", "quix"]


@dataclass
class Drain:
    """One variant's drain of one topic."""

    variant: str
    model: str
    round: int
    events: int
    startup_seconds: float
    drain_seconds: float
    events_per_second: float
    cpu_us_per_event: float
    steady_cpu_us_per_event: float | None
    whole_cpu_us_per_event: float
    broker_us_per_event: float | None
    peak_mib: float
    result_bytes: float = 0.0


def arguments() -> argparse.Namespace:
    import variants

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5, help="rounds that count")
    parser.add_argument(
        "--warm-up", type=int, default=1, metavar="ROUNDS", help="rounds before them; a new broker needs several"
    )
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--models", nargs="+", default=["flight-delay"], help="packages under deploy/demo/models")
    parser.add_argument(
        "--variants",
        nargs="+",
        default=DEFAULT,
        metavar="'NAME OPTION...'",
        help="; ".join(f"{name}: {what}" for name, what in variants.BASES.items()),
    )
    parser.add_argument("--key", metavar="MEMBER", help="key the events by this member (id)")
    parser.add_argument("--commit-ms", type=float, help="commit interval of all (all have 100 by themselves)")
    parser.add_argument("--brokers", metavar="HOST:PORT")
    parser.add_argument("--broker-pid", type=int)
    parser.add_argument("--json", metavar="FILE", help="write everything there; - is standard output")
    return parser.parse_args()


def drain(variant, job, topics, broker, source_ends: list[int], round: int) -> Drain:
    """Starts the variant, watches it drain, ends it."""
    import pyarrow.parquet as pq

    events, partitions = sum(source_ends), len(source_ends)
    broker_cpu = (lambda: harness.cpu_seconds(broker.pid)) if broker.pid else (lambda: 0.0)
    files: dict[pathlib.Path, int] = {}

    def archived() -> int:
        for path in job.folder.glob("results/**/*.parquet"):
            if path not in files and not path.name.startswith("."):
                files[path] = pq.read_metadata(path).num_rows
        return sum(files.values())

    def done() -> int:
        position = sum(topics.committed(job.group, job.input, partitions))
        if variant.base == "tidegate-archive":
            return min(position, archived())
        return position

    with variant.start(job) as process:
        process.wait_until_ready()
        broker_begun = broker_cpu()
        # (when, events done, CPU of the process) each time that something had moved
        samples, moved, last = [], time.monotonic(), 0
        while last < events:
            time.sleep(LOOK_SECONDS)
            process.check()
            now = done()
            if now > last:
                samples.append((time.monotonic(), now, harness.cpu_seconds(process.pid)))
                last, moved = now, time.monotonic()
            if time.monotonic() - moved > PATIENCE_SECONDS:
                tail = "\n".join(process.tail)
                raise RuntimeError(f"{variant.said}: stands at {last} of {events} events\n{tail}")
        while topics.ends(job.output, partitions, True) != topics.ends(job.output, partitions, False):
            if time.monotonic() - moved > PATIENCE_SECONDS:
                raise RuntimeError(f"{variant.said}: a transaction stayed open on {job.output}")
            time.sleep(LOOK_SECONDS / 4)
        ended, ended_cpu = time.monotonic(), harness.cpu_seconds(process.pid)
        broker_used = broker_cpu() - broker_begun
        peak = harness.peak_mib(process.pid)
        whole = process.stop()
    if variant.writes_parquet and not variant.is_tidegate:
        # Its last row group is written when it ends.
        ended_cpu = whole
    first_at, first_done, _ = samples[0]
    if variant.base == "tidegate-archive":
        # Files are published in lumps: the first look may find most of the events in them.
        first_at, first_done = process.ready_at, 0
    half = next(sample for sample in samples if sample[1] >= events / 2 or sample is samples[-1])
    per = lambda seconds, count: seconds * 1e6 / count if count else float("nan")
    return Drain(
        variant=variant.said,
        model=job.model,
        round=round,
        events=events,
        startup_seconds=process.ready_at - process.begun,
        drain_seconds=ended - process.ready_at,
        events_per_second=(events - first_done) / max(ended - first_at, 1e-9),
        cpu_us_per_event=per(ended_cpu - process.ready_cpu, events),
        steady_cpu_us_per_event=None if variant.writes_parquet else per(ended_cpu - half[2], events - half[1]),
        whole_cpu_us_per_event=per(whole, events),
        broker_us_per_event=per(broker_used, events) if broker.pid else None,
        peak_mib=peak,
    )


def checked(variant, model: str, round: int, said, broker, topics, source: str, name: str, reference: dict) -> Drain:
    """One drain on topics of its own, its results counted and compared; fails when they are wrong."""
    import oracle
    import variants

    output = topics.create(f"{name}-out", said.partitions)
    dead = topics.create(f"{name}-dead", said.partitions)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tidegate-peers-archive."))
    try:
        source_ends = topics.ends(source, said.partitions, True)
        job = variants.Job(broker.address, f"{name}-score", source, output, dead, model, folder, said.commit_ms)
        found = drain(variant, job, topics, broker, source_ends, round)
        counted = oracle.Counted(broker.address, output, source_ends)
        problems = counted.problems(said.events)
        problems += counted.differences(reference.setdefault(model, counted))[:3]
        if problems:
            raise RuntimeError("; ".join(problems))
        found.result_bytes = counted.bytes / counted.records
        return found
    finally:
        topics.delete(output, dead)
        shutil.rmtree(folder, ignore_errors=True)


def rounds(said, broker, binary, drains: list[Drain], problems: list[str]) -> None:
    """All drains; each round begins with another variant, so that none is always first."""
    import variants

    chosen = [variants.Variant(text) for text in said.variants]
    for variant in chosen:
        variant.prepare()
    topics, name = harness.Topics(broker.address), f"peers-{int(time.time())}"
    reference: dict = {}
    try:
        source = topics.create(f"{name}-in", said.partitions)
        harness.load(binary, broker.address, source, said.events, said.key)
        for round in range(1 - said.warm_up, said.repeats + 1):
            turn = round % len(chosen)
            order = [(model, variant) for model in said.models for variant in [*chosen[turn:], *chosen[:turn]]]
            for index, (model, variant) in enumerate(order):
                try:
                    job_name = f"{name}-{round}-{index}"
                    found = checked(variant, model, round, said, broker, topics, source, job_name, reference)
                    say(f"{round}/{said.repeats} {line(found)}" + (" · warm-up" if round < 1 else ""))
                    if round > 0:
                        drains.append(found)
                except RuntimeError as error:
                    problems.append(f"{variant.said} · {model} · round {round}: {error}")
                    say(f"FAILED {problems[-1]}")
                time.sleep(REST_SECONDS)
    finally:
        topics.delete(*topics.made)


def line(found: Drain) -> str:
    return (
        f"{found.model} · {found.variant}: {found.events_per_second:,.0f}/s · "
        f"CPU {found.cpu_us_per_event:.2f} µs (steady {found.steady_cpu_us_per_event or float('nan'):.2f}, "
        f"whole {found.whole_cpu_us_per_event:.2f}) · {found.peak_mib:.0f} MiB · "
        f"broker {found.broker_us_per_event or float('nan'):.2f} µs · start {found.startup_seconds:.2f} s"
    )


COLUMNS = [
    ("events/s", "events_per_second", ",.0f"),
    ("CPU µs", "cpu_us_per_event", ".2f"),
    ("steady µs", "steady_cpu_us_per_event", ".2f"),
    ("whole µs", "whole_cpu_us_per_event", ".2f"),
    ("broker µs", "broker_us_per_event", ".2f"),
    ("peak MiB", "peak_mib", ".0f"),
    ("start s", "startup_seconds", ".2f"),
]


def main() -> None:
    harness.inside_venv()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    said = arguments()
    binary = harness.tidegate()
    drains, problems, about = [], [], harness.machine()
    try:
        with harness.broker(said.brokers, said.broker_pid) as broker:
            rounds(said, broker, binary, drains, problems)
    except KeyboardInterrupt:
        problems.append("interrupted: what was done until then is shown")
    if drains:
        table = harness.table([asdict(found) for found in drains], ["model", "variant"], COLUMNS)
        print(f"{said.events:,} events, {said.partitions} partitions; min / median / max\n\n{table}")
    harness.write_json(
        said.json,
        {"machine": about, "drains": [asdict(found) for found in drains], "problems": problems},
    )
    if problems:
        raise SystemExit("not every drain was right:\n" + "\n".join(problems))


if __name__ == "__main__":
    main()
