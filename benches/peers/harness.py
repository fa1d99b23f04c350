"""What both benchmarks stand on: broker, topics, the process under test and what it has used.

Linux only: CPU and memory are read from /proc. Ends only processes that it has started.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
# Models loaded, clients made, and for the JVM and Python all that they import.
READY_SECONDS = 60
# Draining what is in hand and leaving the group; then it is killed.
STOP_SECONDS = 20
CALL_SECONDS = 30


def inside_venv(peer: str = "python") -> None:
    """Starts this program again with the Python that has the Kafka client and what this peer needs."""
    venv = pathlib.Path(sh(HERE / "setup.sh", peer))
    if pathlib.Path(sys.prefix).resolve() != venv.resolve():
        # The first argument must be the whole path: Python finds its environment by it.
        os.execv(venv / "bin/python", [str(venv / "bin/python"), *sys.argv])


def sh(*command) -> str:
    """A setup script's last line."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed with {done.returncode}; its words are above")
    return done.stdout.strip().splitlines()[-1]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def tidegate() -> pathlib.Path:
    """The binary: TIDEGATE_BIN, or what `make build` made."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tidegate"
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or cache / "target")
    given = os.environ.get("TIDEGATE_BIN")
    found = [path for path in ([pathlib.Path(given)] if given else [target / "release/tidegate"]) if path.is_file()]
    if not found:
        raise SystemExit(f"no binary at {given or target / 'release/tidegate'}: make build, or set TIDEGATE_BIN")
    return found[0].resolve()


@dataclass
class Broker:
    """Where it listens; its process, when that is known, for its CPU."""

    address: str
    pid: int | None


@contextlib.contextmanager
def broker(address: str | None, pid: int | None):
    """The given broker, or one of our own that ends with us."""
    if address:
        yield Broker(address, pid)
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tidegate-peers."))
    script = ROOT / "tests/kafka/broker.sh"
    try:
        os.environ["TIDEGATE_BROKER_PARENT"] = str(os.getpid())
        started = sh(script, "start", folder)
        yield Broker(started, int((folder / "broker.pid").read_text()))
    finally:
        subprocess.run([script, "kill", folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)


class Topics:
    """Creates, asks and deletes topics; what it created is gone at the end."""

    def __init__(self, address: str):
        from confluent_kafka.admin import AdminClient

        self.address = address
        self.admin = AdminClient({"bootstrap.servers": address, "log_level": 3})
        self.made: list[str] = []
        self.askers = {}

    def create(self, name: str, partitions: int) -> str:
        from confluent_kafka.admin import NewTopic

        for done in self.admin.create_topics([NewTopic(name, partitions, 1)]).values():
            done.result(CALL_SECONDS)
        self.made.append(name)
        return name

    def delete(self, *names: str) -> None:
        names = [name for name in names if name in self.made]
        if names:
            for name, done in self.admin.delete_topics(names).items():
                try:
                    done.result(CALL_SECONDS)
                except Exception as error:  # Left behind is said, not fatal.
                    say(f"topic {name} was not deleted: {error}")
            self.made = [name for name in self.made if name not in names]

    def ends(self, topic: str, partitions: int, committed: bool) -> list[int]:
        """Per partition the end that a `read_committed` reader sees, or the log's."""
        from confluent_kafka import IsolationLevel, TopicPartition
        from confluent_kafka.admin import OffsetSpec

        isolation = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        asked = {TopicPartition(topic, at): OffsetSpec.latest() for at in range(partitions)}
        answers = self.admin.list_offsets(asked, isolation_level=isolation, request_timeout=CALL_SECONDS)
        found = {at.partition: done.result(CALL_SECONDS).offset for at, done in answers.items()}
        return [found[at] for at in range(partitions)]

    def committed(self, group: str, topic: str, partitions: int) -> list[int]:
        """The group's committed position per partition; 0 where it has none, or none can be said yet."""
        from confluent_kafka import KafkaError, KafkaException, TopicPartition

        try:
            answer = self._asker(group).committed(
                [TopicPartition(topic, at) for at in range(partitions)], timeout=CALL_SECONDS
            )
        except KafkaException as error:
            # A broker that has just started makes the offsets' topic at the first group.
            starting = "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR"
            if error.args[0].code() not in (getattr(KafkaError, name) for name in starting):
                raise
            answer = []
        found = {at.partition: max(0, at.offset) for at in answer}
        return [found.get(at, 0) for at in range(partitions)]

    def _asker(self, group: str):
        """A consumer that never joins: AdminClient's question crashes librdkafka where the coordinator moves."""
        from confluent_kafka import Consumer

        if group not in self.askers:
            for asker in self.askers.values():
                asker.close()
            address = {"bootstrap.servers": self.address, "log_level": 3}
            self.askers = {group: Consumer({**address, "group.id": group, "enable.auto.commit": False})}
        return self.askers[group]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its living descendants, in ticks of 10 ms."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    # utime, stime, and those of children that were waited for.
    own = sum(int(field) for field in fields[11:15]) / TICKS
    return own + sum(cpu_seconds(int(child)) for child in children)


def peak_mib(pid: int) -> float:
    """Largest resident sets so far, the tree's processes added up."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)
    return own / 1024 + sum(peak_mib(int(child)) for child in children)


class Process:
    """A variant that runs: ready when its error output says so; ended, or killed, by us."""

    def __init__(self, command: list[str], environment: dict[str, str]):
        self.begun = time.monotonic()
        self.tail: list[str] = []
        self._ready = threading.Event()
        self.ready_at = self.ready_cpu = 0.0
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self.pid = self._process.pid
        self.usage = None
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        for line in self._process.stderr:
            if not self._ready.is_set() and (line.strip() == "ready" or "startup_ms" in line):
                self.ready_at, self.ready_cpu = time.monotonic(), cpu_seconds(self.pid)
                self._ready.set()
            self.tail = [*self.tail[-30:], line.rstrip()]

    def wait_until_ready(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while not self._ready.wait(0.05):
            self.check()
            if time.monotonic() > until:
                raise RuntimeError(f"not ready within {READY_SECONDS} s\n" + "\n".join(self.tail))

    def check(self) -> None:
        """Fails when it has ended by itself."""
        if self.usage is None and self._wait(os.WNOHANG):
            time.sleep(0.2)
            raise RuntimeError(f"ended with {self._process.returncode}\n" + "\n".join(self.tail))

    def _wait(self, flags: int) -> bool:
        pid, status, usage = os.wait4(self.pid, flags)
        if pid:
            self.usage = usage
            self._process.returncode = os.waitstatus_to_exitcode(status)
        return bool(pid)

    def stop(self) -> float:
        """SIGTERM, then SIGKILL; answers all CPU seconds that it used in its life."""
        if self.usage is None:
            # Not by Popen's own methods: they wait for the process, and its usage would be lost.
            os.kill(self.pid, signal.SIGTERM)
            until = time.monotonic() + STOP_SECONDS
            while not self._wait(os.WNOHANG):
                if time.monotonic() > until:
                    say(f"  it did not stop within {STOP_SECONDS} s and is killed")
                    os.kill(self.pid, signal.SIGKILL)
                    self._wait(0)
                    break
                time.sleep(0.02)
        return self.usage.ru_utime + self.usage.ru_stime

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def load(binary: pathlib.Path, address: str, topic: str, events: int, key: str | None) -> None:
    """The demo's flights, again and again, until there are so many."""
    flights = ROOT / "deploy/demo/flights.parquet"
    command = [binary, "produce", topic, flights, "--brokers", address, "--limit", events, "--repeat", events]
    if key:
        command += ["--key", key]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"loading failed:\n{done.stderr}")
    say(done.stderr.strip().splitlines()[-1])


def machine() -> dict:
    """What a figure is of: processor, cores, memory, load, versions."""
    cpu = pathlib.Path("/proc/cpuinfo").read_text()
    name = next((line.split(":")[1].strip() for line in cpu.splitlines() if line.startswith("model name")), "?")
    memory = pathlib.Path("/proc/meminfo").read_text().split()[1]
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory) / (1 << 20)),
        "load_at_start": os.getloadavg()[0],
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
        "java": subprocess.run(["java", "-version"], capture_output=True, text=True).stderr.split("\n")[0],
    }


def write_json(path: str | None, report: dict) -> None:
    if path == "-":
        print(json.dumps(report, indent=2))
    elif path:
        pathlib.Path(path).write_text(json.dumps(report, indent=2) + "\n")


def table(found: list[dict], by: list[str], columns: list[tuple[str, str, str]]) -> str:
    """Markdown, a line for each variant: smallest / median / largest of each column (title, member, format)."""
    lines = ["| " + " | ".join([*by, "n", *(title for title, _, _ in columns)]) + " |"]
    lines.append("|" + "---|" * (len(by) + 1 + len(columns)))
    which = lambda one: tuple(one[member] for member in by)
    for variant in dict.fromkeys(which(one) for one in found):
        mine = [one for one in found if which(one) == variant]
        cells = [*variant, str(len(mine))]
        for _, member, form in columns:
            values = [one[member] for one in mine if one.get(member) is not None]
            three = (min(values), statistics.median(values), max(values)) if values else ()
            cells.append(" / ".join(format(value, form) for value in three))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
