"""What the Python peers share: the model package, and the text that a result adds to its event.

Reads as much of `model.toml` as the demo's two packages need, not every descriptor. The ends are
passed in; nothing here knows Kafka.
"""

import datetime
import pathlib
import tomllib

import numpy as np
import onnxruntime


class Model:
    """A package's session on one thread, its features and how its outputs are read."""

    def __init__(self, package: pathlib.Path):
        descriptor = tomllib.loads((package / "model.toml").read_text())
        (tensor,) = descriptor["inputs"]
        self.name, self.version = package.parent.name, package.name
        self.features = tensor["features"]
        nulls = tensor.get("nulls", {})
        self.fill = np.array([nulls.get(name, {}).get("value", np.nan) for name in self.features], "float32")
        self.outputs = descriptor["outputs"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            package / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._tensor = tensor["tensor"]
        self._tensors = list(dict.fromkeys(output["tensor"] for output in self.outputs))
        self._run = self._session.run
        # Of each output: its tensor, its column there, and for a label of two classes the threshold.
        self._plan = [(self._tensors.index(output["tensor"]), *column(output)) for output in self.outputs]
        self.predict(np.zeros((1024, len(self.features)), "float32"))

    def predict(self, features: np.ndarray) -> list[np.ndarray]:
        """One array per output of the descriptor: float32 numbers, or the labels' indices."""
        answers = self._run(self._tensors, {self._tensor: features})
        columns = []
        for at, column, threshold in self._plan:
            answer = answers[at] if answers[at].ndim == 1 else answers[at][:, column]
            columns.append(answer if threshold is None else (answer >= threshold).astype(np.int8))
        return columns

    def filled(self, features: np.ndarray) -> np.ndarray:
        """Nulls (NaN) by the descriptor's values."""
        missing = np.isnan(features)
        return np.where(missing, self.fill, features) if missing.any() else features

    def heads(self) -> list[str]:
        """`,"prediction":{"<output>":` and, for the others, `,"<output>":`."""
        heads = [f',"{output["name"]}":' for output in self.outputs]
        heads[0] = ',"prediction":{' + heads[0][1:]
        return heads

    def middle(self, topic: str) -> str:
        """From the end of the last prediction to the source's partition, scored now."""
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        return (
            f'}},"model":{{"name":"{self.name}","version":"{self.version}"}},"arm":"stable",'
            f'"scored_at":"{now[:23]}Z","source":{{"topic":"{topic}","partition":'
        )


def column(output: dict) -> tuple[int, float | None]:
    """Which column of its tensor an output reads, and the threshold where it is a label."""
    if output["kind"] == "label":
        # The second class's probability decides.
        return 1, output["threshold"]
    if output["kind"] == "probability":
        return output["classes"].index(output["class"]), None
    return 0, None
