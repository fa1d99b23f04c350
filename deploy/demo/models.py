"""The demo's two models, trained on January to May 2013 and written as model packages.

`flight-delay` is a small network (64, 32) that predicts the delay at arrival in minutes;
`flight-late` is gradient boosting (100 trees, depth 4) that says whether it passes 15 minutes.
Both know only what is known when the flight leaves the gate. Their golden rows are flights of
June, scored by scikit-learn itself.
"""

import hashlib
import pathlib
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import sklearn
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flights import FEATURES, SCHEMA

OPSET = {"": 18, "ai.onnx.ml": 3}
INPUT = [("features", FloatTensorType([None, len(FEATURES)]))]
LATE_MINUTES = 15
# Longer delays are rare and would dominate the squared error.
LONGEST_MINUTES = 360
# More of them gain less than 0.1 minutes.
TRAINING_ROUNDS = 25
GOLDEN_ROWS = 256
# So many of the golden rows lack the weather report, to hold the null rules to their word.
GOLDEN_ROWS_WITH_NULLS = 8


class Data:
    """January to May for training, June for the metrics and the golden rows."""

    def __init__(self, year: pd.DataFrame):
        month = year.departed_at.dt.month
        arrived = year.arr_delay.notna()
        complete = year[FEATURES].notna().all(axis=1)
        self.train = year[arrived & complete & (month <= 5)]
        self.test = year[arrived & complete & (month == 6)]
        # June's weather reports are complete.
        incomplete = year[arrived & ~complete & (month > 6)]
        picks = np.linspace(0, len(self.test) - 1, GOLDEN_ROWS - GOLDEN_ROWS_WITH_NULLS)
        self.golden = pd.concat([self.test.iloc[picks.astype(int)], incomplete.head(GOLDEN_ROWS_WITH_NULLS)])
        self.medians = self.train[["temp", "wind", "visib"]].median().round(1).astype("float32")

    def features(self, rows: pd.DataFrame) -> np.ndarray:
        """The model's input, as the stream will hand it over: float32, nulls filled."""
        return rows[FEATURES].fillna(self.medians.to_dict()).to_numpy("float32")


def write_package(folder: pathlib.Path, onnx, data: Data, outputs: dict, metrics: dict) -> None:
    """Writes model.onnx, golden.parquet and model.toml, from the descriptor beside this file."""
    folder.mkdir(parents=True, exist_ok=True)
    # The converter gathers them in a set, whose order differs from run to run.
    opsets = sorted(onnx.opset_import, key=lambda opset: opset.domain)
    del onnx.opset_import[:]
    onnx.opset_import.extend(opsets)
    model = onnx.SerializeToString(deterministic=True)
    (folder / "model.onnx").write_bytes(model)

    schema = pa.schema([SCHEMA.field(name) for name in FEATURES])
    golden = pa.Table.from_pandas(data.golden[FEATURES], schema=schema, preserve_index=False)
    golden = golden.replace_schema_metadata(None)
    for name, values in outputs.items():
        golden = golden.append_column(f"expected_{name}", values)
    pq.write_table(golden, folder / "golden.parquet", compression="zstd")

    descriptor = (pathlib.Path(__file__).parent / f"{folder.parent.name}.toml").read_text()
    (folder / "model.toml").write_text(
        descriptor.format(
            framework=f"scikit-learn {sklearn.__version__}",
            rows=len(data.train),
            sha256=hashlib.sha256(model).hexdigest(),
            opset=opsets[0].version,
            **{name: f"{value:.1f}" for name, value in data.medians.items()},
            **metrics,
        )
    )


def flight_delay(data: Data, folder: pathlib.Path) -> None:
    """Regression: minutes late at arrival."""
    model = make_pipeline(
        StandardScaler(),
        MLPRegressor(hidden_layer_sizes=(64, 32), random_state=1, max_iter=TRAINING_ROUNDS, batch_size=512),
    )
    # The rounds are counted, not awaited.
    warnings.simplefilter("ignore", ConvergenceWarning)
    model.fit(data.features(data.train), data.train.arr_delay.clip(upper=LONGEST_MINUTES))
    final = [("arr_delay", FloatTensorType([None, 1]))]
    onnx = convert_sklearn(model, "flight-delay", INPUT, final_types=final, target_opset=OPSET)
    golden = model.predict(data.features(data.golden)).astype("float32")
    predicted = model.predict(data.features(data.test))
    metrics = {
        "mae": mean_absolute_error(data.test.arr_delay, predicted),
        "r2": r2_score(data.test.arr_delay, predicted),
    }
    write_package(folder, onnx, data, {"arr_delay": pa.array(golden)}, metrics)


def flight_late(data: Data, folder: pathlib.Path) -> None:
    """Classification: more than 15 minutes late at arrival."""
    model = GradientBoostingClassifier(n_estimators=100, max_depth=4, subsample=0.5, random_state=1)
    model.fit(data.features(data.train), data.train.arr_delay > LATE_MINUTES)
    onnx = convert_sklearn(
        model, "flight-late", INPUT, options={id(model): {"zipmap": False}}, target_opset=OPSET
    )
    golden = model.predict_proba(data.features(data.golden))[:, 1]
    outputs = {
        "late_probability": pa.array(golden.astype("float32")),
        "verdict": pa.array(np.where(golden >= 0.5, "late", "on_time").astype(str)),
    }
    probability = model.predict_proba(data.features(data.test))[:, 1]
    metrics = {"auc": roc_auc_score(data.test.arr_delay > LATE_MINUTES, probability)}
    write_package(folder, onnx, data, outputs, metrics)
