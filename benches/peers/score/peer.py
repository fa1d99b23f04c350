#!/usr/bin/env python3
"""Batch scoring as one would write it in Python: pyarrow's batches, numpy, onnxruntime, Parquet out.

One process a thread of the job's, each with its own session, files dealt out among them; only the
model's columns become numbers, all columns are written. Every process is up and has its session before
the clock starts. `peer.py FOLDER PACKAGE PROCESSES` prints the best of five rounds.
"""

import multiprocessing
import pathlib
import sys
import tempfile
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))
from scoring import Model  # noqa: E402

BATCH_ROWS = 8192
ROUNDS = 5


def score(model: Model, source: pathlib.Path, to: pathlib.Path) -> int:
    reader, writer, rows = pq.ParquetFile(source), None, 0
    for batch in reader.iter_batches(BATCH_ROWS):
        features = np.empty((batch.num_rows, len(model.features)), "float32")
        for at, name in enumerate(model.features):
            features[:, at] = batch.column(name).to_numpy(zero_copy_only=False)
        columns = [pa.array(column) for column in model.predict(model.filled(features))]
        names = [f"prediction_{output['name']}" for output in model.outputs]
        for name, value in (("model_name", model.name), ("model_version", model.version)):
            columns.append(pa.repeat(value, batch.num_rows))
            names.append(name)
        columns.append(pa.repeat(pa.scalar(time.time_ns() // 1000, pa.timestamp("us", "UTC")), batch.num_rows))
        names.append("scored_at")
        table = pa.RecordBatch.from_arrays(batch.columns + columns, names=batch.schema.names + names)
        if writer is None:
            writer = pq.ParquetWriter(to, table.schema, compression="zstd", compression_level=1)
        writer.write_batch(table)
        rows += batch.num_rows
    if writer:
        writer.close()
    return rows


def work(package, files, to, ready, start, results):
    pa.set_cpu_count(1)
    model = Model(package)
    ready.put(None)
    for round_ in range(ROUNDS):
        start.get()
        cpu = time.process_time()
        done = sum(score(model, file, to / f"{round_}-{file.name}") for file in files)
        results.put((done, time.process_time() - cpu))


def main():
    folder, package = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    processes = int(sys.argv[3])
    files = sorted(folder.glob("*.parquet"))
    context = multiprocessing.get_context("spawn")
    ready, results, starts, running = context.Queue(), context.Queue(), [], []
    with tempfile.TemporaryDirectory(dir=folder.parent) as to:
        for process in range(processes):
            starts.append(context.Queue())
            arguments = (package, files[process::processes], pathlib.Path(to), ready, starts[-1], results)
            running.append(context.Process(target=work, args=arguments))
            running[-1].start()
        for _ in running:
            ready.get()
        best, rows, cpu = float("inf"), 0, 0.0
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for start in starts:
                start.put(None)
            done = [results.get() for _ in running]
            best = min(best, time.perf_counter() - began)
            rows = sum(rows for rows, _ in done)
            cpu += sum(seconds for _, seconds in done)
        for process in running:
            process.join()
    micros = cpu * 1e6 / (rows * ROUNDS)
    print(f"Python, {processes} processes: {rows / best / 1e6:.3f} M rows/s, {micros:.2f} CPU us a row")


if __name__ == "__main__":
    main()
