"""PSI of scouter-ml and the drift preset of Evidently on the doubles that `drift_rate` wrote.

Usage: peers.py FOLDER [COLUMNS] [scouter|evidently ...]. Prints the best of five runs each; one run
of Evidently, which takes minutes. Reading the data is not timed.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

RUNS = 5


def columns(path: Path, count: int) -> np.ndarray:
    """Rows by columns; the file holds one column behind the other."""
    values = np.fromfile(path, dtype="<f8")
    return np.ascontiguousarray(values.reshape(count, -1).T)


def best(runs: int, work) -> float:
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def scouter(reference: np.ndarray, current: np.ndarray) -> float:
    from scouter import Drifter, PsiDriftConfig

    drifter = Drifter()
    config = PsiDriftConfig(name="bench", space="bench", version="0.1.0")

    def work():
        profile = drifter.create_drift_profile(reference, config)
        drifter.compute_drift(current, profile)

    return best(RUNS, work)


def evidently(reference: np.ndarray, current: np.ndarray) -> float:
    from evidently import Report
    from evidently.presets import DataDriftPreset

    names = [f"x{n}" for n in range(reference.shape[1])]
    reference, current = (pd.DataFrame(side, columns=names) for side in (reference, current))
    return best(1, lambda: Report([DataDriftPreset()]).run(current, reference).dict())


def main():
    folder, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20
    wanted = sys.argv[3:] or ["scouter", "evidently"]
    sides = [columns(folder / f"{side}.f64", count) for side in ("reference", "current")]
    for name in wanted:
        seconds = {"scouter": scouter, "evidently": evidently}[name](*sides)
        print(f"{name:<10} {seconds:.3f} s", flush=True)


if __name__ == "__main__":
    main()
