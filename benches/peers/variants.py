"""The variants: how each one is started on given topics with a given model.

A variant is said as on a command line: a name of BASES, then options for it. For Tidegate they are
`run`'s own, for the Python peers their program's, for Java words beginning with `-X` are the JVM's.
Words like NAME=VALUE in capitals are environment variables of any of them.
"""

import pathlib
import re
import shlex
import tomllib
from dataclasses import dataclass

import harness

BASES = {
    "tidegate": "hop 1, exactly once",
    "tidegate-archive": "hops 1 and 2, exactly once in topic and Parquet",
    "python-arrow": "confluent-kafka, pyarrow's JSON reader",
    "python-orjson": "confluent-kafka, orjson",
    "python-arrow-parquet": "the same with Parquet beside",
    "python-orjson-parquet": "the same with Parquet beside",
    "quix": "Quix Streams, exactly once",
    "java": "kafka-clients, Jackson's token parser",
}
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*=")


@dataclass
class Job:
    """The ends of one drain."""

    address: str
    group: str
    input: str
    output: str
    dead_letters: str
    model: str
    folder: pathlib.Path
    # None leaves each its own, which is 100 for all of them.
    commit_ms: float | None = None

    @property
    def package(self) -> pathlib.Path:
        return harness.ROOT / "deploy/demo/models" / self.model / "1"


@dataclass
class Variant:
    """What was said, and what it needs."""

    said: str

    def __post_init__(self):
        self.base, *self.options = shlex.split(self.said)
        if self.base not in BASES:
            raise SystemExit(f"variant {self.base!r} is not one of {', '.join(BASES)}")
        self.is_tidegate = self.base.startswith("tidegate")
        self.writes_parquet = self.base == "tidegate-archive" or "parquet" in self.base

    def prepare(self) -> None:
        """Fetches and builds what it needs, before anything is timed."""
        if self.is_tidegate:
            harness.tidegate()
            harness.sh(harness.ROOT / "deploy/setup/onnxruntime.sh")
        else:
            harness.sh(harness.HERE / "setup.sh", self.base.split("-")[0])

    def start(self, job: Job) -> harness.Process:
        options = [word for word in self.options if not VARIABLE.match(word)]
        said = dict(word.split("=", 1) for word in self.options if VARIABLE.match(word))
        if self.is_tidegate:
            command = tidegate(self.base, job)
            library = harness.sh(harness.ROOT / "deploy/setup/onnxruntime.sh")
            environment = {"TIDEGATE_ORT_LIB": library}
        elif self.base == "java":
            machine = [word for word in options if word.startswith("-X")]
            options = [word for word in options if not word.startswith("-X")]
            command, environment = java(job, machine), {}
        else:
            command, environment = python(self.base, job), {}
        return harness.Process([str(word) for word in [*command, *options]], environment | said)


def tidegate(base: str, job: Job) -> list:
    sets = {
        "kafka.brokers": job.address,
        "pipeline.name": job.group.removesuffix("-score"),
        "pipeline.instance": "bench",
        "input.topic": job.input,
        "output.topic": job.output,
        "dead_letters.topic": job.dead_letters,
        "model.name": job.model,
        "archive.directory": job.folder,
        # Rows count as drained when they are durable: files are published often.
        "archive.roll_seconds": 2,
        "server.listen": "",
        "telemetry.format": "text",
    }
    command = [harness.tidegate(), "run", "--config", harness.ROOT / "deploy/demo/tidegate.toml"]
    if base == "tidegate":
        command += ["--only", "score"]
    if job.commit_ms is not None:
        sets["commit.interval_ms"] = int(job.commit_ms)
    for key, value in sets.items():
        command += ["--set", f"{key}={value}"]
    return command


def python(base: str, job: Job) -> list:
    kind = base.split("-")[0]
    command = [pathlib.Path(harness.sh(harness.HERE / "setup.sh", kind)) / "bin/python"]
    command += [harness.HERE / f"peer_{kind}.py", "--brokers", job.address, "--group", job.group]
    command += ["--input", job.input, "--output", job.output, "--package", job.package]
    if job.commit_ms is not None:
        command += ["--commit-ms", job.commit_ms]
    if kind == "python":
        command += ["--decoder", base.split("-")[1]]
    if base.endswith("-parquet"):
        command += ["--parquet", job.folder]
    return command


def java(job: Job, machine: list[str]) -> list:
    build = harness.sh(harness.HERE / "setup.sh", "java")
    descriptor = tomllib.loads((job.package / "model.toml").read_text())
    (tensor,) = descriptor["inputs"]
    nulls = tensor.get("nulls", {})
    said = {
        "--brokers": job.address,
        "--group": job.group,
        "--input": job.input,
        "--output": job.output,
        "--model": job.package / "model.onnx",
        "--model-name": job.model,
        "--model-version": job.package.name,
        "--tensor": tensor["tensor"],
        "--features": ",".join(tensor["features"]),
        "--fill": ",".join(str(nulls.get(name, {}).get("value", "NaN")) for name in tensor["features"]),
        "--outputs": ",".join(java_output(output) for output in descriptor["outputs"]),
    }
    if job.commit_ms is not None:
        said["--commit-ms"] = job.commit_ms
    if not any(word.startswith("-Xmx") for word in machine):
        machine = ["-Xmx512m", *machine]
    if not any(word.startswith("-XX:+Use") for word in machine):
        machine = ["-XX:+UseSerialGC", *machine]
    log = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    command = ["java", *machine, log, "-cp", f"{build}/classes:{build}/libs/*", "Peer"]
    return command + [f"{name}={value}" for name, value in said.items()]


def java_output(output: dict) -> str:
    """name:tensor:column, and for a label of two classes :threshold:class:class."""
    classes = output.get("classes", [])
    if output["kind"] == "label":
        return ":".join([output["name"], output["tensor"], "1", str(output["threshold"]), *classes])
    column = classes.index(output["class"]) if output["kind"] == "probability" else 0
    return f"{output['name']}:{output['tensor']}:{column}"
