#!/usr/bin/env python3
"""SQL over the archive beside DuckDB: the same files, the same number of threads, turn by turn.

The archive is what `tidegate run` makes of a topic of flights, one year after the other, published every
`--rows / --files` rows. `tidegate sql` is asked over the wire (`--serve`, psycopg), DuckDB inside this
process, both warm; their first answers must agree.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import harness  # noqa: E402
from harness import ROOT, say  # noqa: E402

# Of one partition files lie in the order of their events, as those of a live stream do: catching up with several
# mixes years.
PARTITIONS = 1
COLUMNS = "count(*), avg(prediction_arr_delay)"
QUESTIONS = {
    "by version": (
        f"SELECT model_version, {COLUMNS}, approx_percentile_cont(prediction_arr_delay, 0.5) FROM results GROUP BY 1",
        f"SELECT model_version, {COLUMNS}, approx_quantile(prediction_arr_delay, 0.5) FROM results GROUP BY 1",
    ),
    "by airport": (
        f"SELECT dest, {COLUMNS}, approx_percentile_cont(prediction_arr_delay, 0.9) FROM results GROUP BY 1 ORDER BY 1",
        f"SELECT dest, {COLUMNS}, approx_quantile(prediction_arr_delay, 0.9) FROM results GROUP BY 1 ORDER BY 1",
    ),
    "one day": (f"SELECT {COLUMNS} FROM results WHERE {{day}}",) * 2,
    "one key in a day": ("SELECT id, prediction_arr_delay FROM results WHERE id = '{key}' AND {day}",) * 2,
}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="DuckDB's; Tidegate takes all cores")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--keep", metavar="DIR", help="an archive made before; or where to leave it")
    parser.add_argument("--brokers", metavar="HOST:PORT")
    return parser.parse_args()


def settings(archive: pathlib.Path, **named: object) -> list[str]:
    config = ROOT / "deploy/demo/tidegate.toml"
    pairs = {"archive.directory": archive, **named}
    return ["--config", str(config), *(word for key, value in pairs.items() for word in ("--set", f"{key}={value}"))]


def make(said: argparse.Namespace, binary: pathlib.Path, archive: pathlib.Path) -> None:
    """Flights through the whole pipeline into files."""
    flights = harness.sh(ROOT / "deploy/demo/year.sh", "--rows", said.rows)
    with harness.broker(said.brokers, None) as broker:
        topics = harness.Topics(broker.address)
        topic = topics.create(f"sql-{os.getpid()}", PARTITIONS)
        output = topics.create(f"{topic}-scored", PARTITIONS)
        dead = topics.create(f"{topic}-dead", PARTITIONS)
        subprocess.run([binary, "produce", topic, flights, "--brokers", broker.address], check=True)
        named = {
            "kafka.brokers": broker.address,
            "pipeline.name": topic,
            "input.topic": topic,
            "output.topic": output,
            "dead_letters.topic": dead,
            "server.listen": "127.0.0.1:0",
            # A file ends with the batch in which it is full.
            "archive.roll_rows": said.rows // said.files * 2 // 3,
        }
        with harness.Process([str(binary), "run", *settings(archive, **named)], {}) as run:
            run.wait_until_ready()
            while archived(archive) < said.rows:
                run.check()
                time.sleep(2)
        topics.delete(topic, output, dead)


def files(archive: pathlib.Path) -> tuple[int, int]:
    """How many, and how many bytes."""
    sizes = [path.stat().st_size for path in archive.glob("results/*/source_partition=*/*.parquet")]
    return len(sizes), sum(sizes)


def archived(archive: pathlib.Path) -> int:
    """Rows of all files, by their footers."""
    return Duck(archive, 1).ask("SELECT count(*) FROM results")[0][0] if files(archive)[0] else 0


class Duck:
    """DuckDB in this process, with as many threads; the files' metadata kept, as it does when asked to."""

    def __init__(self, archive: pathlib.Path, threads: int):
        import duckdb

        self.connection = duckdb.connect(config={"threads": threads})
        self.connection.execute("SET enable_object_cache = true")
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute(f"CREATE VIEW results AS FROM read_parquet('{archive}/results/*/*/*.parquet')")

    def ask(self, query: str) -> list[tuple]:
        return self.connection.execute(query).fetchall()


class Tidegate:
    """`tidegate sql --serve` and one connection to it."""

    def __init__(self, binary: pathlib.Path, archive: pathlib.Path):
        import psycopg

        [topic] = [folder.name for folder in (archive / "results").iterdir()]
        flags = settings(archive, **{"output.topic": topic, "sql.metrics": ""})
        command = [str(binary), "sql", *flags, "--serve", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        host, port = self.address().split(":")
        named = {"host": host, "port": port, "user": "reader", "dbname": "tidegate"}
        self.connection = psycopg.connect(**named, autocommit=True, connect_timeout=harness.CALL_SECONDS)

    def address(self) -> str:
        for line in self.process.stderr:
            said = json.loads(line)
            if said["message"] == "serving the PostgreSQL protocol":
                return said["address"]
        raise SystemExit("the SQL server ended before it served")

    def ask(self, query: str) -> list[tuple]:
        return self.connection.execute(query).fetchall()

    def close(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait(20)


def agree(ours: list[tuple], theirs: list[tuple], is_sketched: bool) -> None:
    """Counts and groups exactly, means closely; a sketch, the last column, within 10 %."""
    if len(ours) != len(theirs):
        raise SystemExit(f"{len(ours)} rows, DuckDB has {len(theirs)}")
    for one, other in zip(sorted(ours, key=str), sorted(theirs, key=str)):
        for place, (left, right) in enumerate(zip(one, other)):
            near = 0.1 if is_sketched and place == len(one) - 1 else 1e-6
            is_same = abs(left - right) <= near * max(abs(left), 5.0) if isinstance(left, float) else left == right
            if not is_same:
                raise SystemExit(f"{one} is not {other}")


def bytes_read(engine: Tidegate, query: str) -> int:
    """What the scan took from files, by the plan's own metric."""
    text = "\n".join(str(row[-1]) for row in engine.ask(f"EXPLAIN ANALYZE {query}"))
    found = [part.split("=")[1].split(",")[0].split("]")[0].strip() for part in text.split("bytes_scanned")[1:] for part in ["x" + part]]
    units = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "K": 1e3, "M": 1e6, "G": 1e9}
    total = 0.0
    for value in found:
        number, _, unit = value.partition(" ")
        total += float(number) * units.get(unit, 1)
    return int(total)


def main() -> None:
    said = arguments()
    harness.inside_venv("sql")
    binary = harness.tidegate()
    with tempfile.TemporaryDirectory(prefix="tidegate-sql.") as temporary:
        archive = pathlib.Path(said.keep or temporary).resolve()
        if files(archive)[0] == 0:
            make(said, binary, archive)
        count, size = files(archive)
        say(f"{count} files, {size / 1e6:.0f} MB; {said.threads} threads; machine: {harness.machine()}")
        duck, ours = Duck(archive, said.threads), Tidegate(binary, archive)
        try:
            compare(said, duck, ours, size)
        finally:
            ours.close()


def compare(said: argparse.Namespace, duck: Duck, ours: Tidegate, size: int) -> None:
    key, day = duck.ask("SELECT id, CAST(departed_at AS DATE) FROM results ORDER BY departed_at LIMIT 1 OFFSET 4000000")[0]
    within = f"departed_at >= TIMESTAMP '{day} 00:00:00' AND departed_at < TIMESTAMP '{day} 00:00:00' + INTERVAL '1 day'"
    print("| question | tidegate ms: min / median / max | DuckDB ms | ratio of medians | bytes read |")
    print("|---|---|---|---|---|")
    for name, (question, theirs) in QUESTIONS.items():
        question, theirs = (text.format(key=key, day=within) for text in (question, theirs))
        agree(ours.ask(question), duck.ask(theirs), "approx" in question)
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for turn in range(said.turns):
            pair = [("ours", ours, question), ("theirs", duck, theirs)]
            for who, engine, text in pair if turn % 2 else reversed(pair):
                begun = time.perf_counter()
                engine.ask(text)
                times[who].append((time.perf_counter() - begun) * 1e3)
        cells = [f"{min(each):.0f} / **{statistics.median(each):.0f}** / {max(each):.0f}" for each in times.values()]
        ratio = statistics.median(times["ours"]) / statistics.median(times["theirs"])
        print(f"| {name} | {cells[0]} | {cells[1]} | {ratio:.2f} | {bytes_read(ours, question) / size:.2%} |", flush=True)


if __name__ == "__main__":
    main()
