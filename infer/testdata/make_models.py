"""Makes the small models of infer's tests and, next to each, golden rows scored in Python.

Run by hand when a model changes (`python make_models.py`); needs scikit-learn, skl2onnx, onnx,
onnxruntime and pandas. Every model is seeded, so a second run gives the same golden values.
NAME.json holds {"inputs": {contract field: values}, "expected": {output: values}}.
"""

import json
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent
OPSET = {"": 17, "ai.onnx.ml": 3}
random = np.random.default_rng(20130101)


def plain(values):
    values = np.asarray(values)
    return values.astype(np.float64).tolist() if values.dtype.kind == "f" else values.tolist()


def write(name, model, inputs, feed, pick):
    """Stores the model and what ONNX Runtime in Python answers for `feed`."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    (HERE / f"{name}.onnx").write_bytes(data)
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    answers = dict(zip([o.name for o in session.get_outputs()], session.run(None, feed)))
    expected = {out: plain(value) for out, value in pick(answers).items()}
    golden = {"inputs": {k: plain(v) for k, v in inputs.items()}, "expected": expected}
    (HERE / f"{name}.json").write_text(json.dumps(golden) + "\n")


def graph(name, nodes, inputs, outputs, weights):
    made = h.make_graph(
        nodes,
        name,
        [h.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [h.make_tensor_value_info(n, t, s) for n, t, s in outputs],
        [numpy_helper.from_array(v, n) for n, v in weights.items()],
    )
    model = h.make_model(made, opset_imports=[h.make_opsetid("", 17)], producer_name="make_models.py")
    model.ir_version = 8
    onnx.checker.check_model(model)
    return model


def columns(matrix, prefix="f"):
    return {f"{prefix}{i}": matrix[:, i] for i in range(matrix.shape[1])}


# One [n,15] float input, MLP(64,32): the shape of the demo's model, and its quantised twin.
X = random.normal(size=(1500, 15)).astype(np.float32)
y = X[:, 0] * 2 + np.abs(X[:, 1]) - X[:, 2] * X[:, 3] + random.normal(size=1500) * 0.1
mlp = MLPRegressor(hidden_layer_sizes=(64, 32), max_iter=60, random_state=1).fit(X, y)
G = X[:40]
onx = to_onnx(mlp, X[:1], target_opset=OPSET)
write("mlp", onx, columns(G), {"X": G}, lambda a: {"value": mlp.predict(G)})
quantize_dynamic(HERE / "mlp.onnx", HERE / "quantised.onnx", weight_type=QuantType.QUInt8)
write("quantised", (HERE / "quantised.onnx").read_bytes(), columns(G), {"X": G},
      lambda a: {"value": a["variable"].ravel()})

# Gradient boosting, three text classes, with ZipMap and without; integer classes with ZipMap.
X4 = X[:400, :4]
text = np.array(["early", "late", "on_time"])[np.digitize(y[:400], [-0.5, 1.5])]
gbc = GradientBoostingClassifier(n_estimators=8, max_depth=2, random_state=1).fit(X4, text)
G4 = X4[:30]
late = list(gbc.classes_).index("late")
pick = lambda a: {"label": gbc.predict(G4), "late": gbc.predict_proba(G4)[:, late]}
write("boosted_zipmap", to_onnx(gbc, X4[:1], target_opset=OPSET), columns(G4), {"X": G4}, pick)
write("boosted", to_onnx(gbc, X4[:1], target_opset=OPSET, options={"zipmap": False}), columns(G4), {"X": G4}, pick)
logit = LogisticRegression().fit(X4, (y[:400] > 0).astype(np.int64) * 7)
write("integer_zipmap", to_onnx(logit, X4[:1], target_opset=OPSET), columns(G4), {"X": G4},
      lambda a: {"label": logit.predict(G4), "seven": logit.predict_proba(G4)[:, 1]})

# One input per column: text, integer, float through a preprocessing pipeline.
n = 300
carrier = random.choice(np.array(["AA", "DL", "UA"], dtype=object), n)
month = random.integers(1, 13, n).astype(np.int64)
distance = (random.random(n) * 2000).astype(np.float32)
target = ((carrier == "UA") ^ (month > 6) ^ (distance > 900)).astype(np.int64)
frame = pd.DataFrame({"carrier": carrier, "month": month, "distance": distance})
pipe = make_pipeline(
    ColumnTransformer([("text", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
                       ("month", OneHotEncoder(handle_unknown="ignore"), ["month"]),
                       ("number", StandardScaler(), ["distance"])]),
    LogisticRegression(),
).fit(frame, target)
onx = to_onnx(
    pipe,
    initial_types=[("carrier", StringTensorType([None, 1])), ("month", Int64TensorType([None, 1])),
                   ("distance", FloatTensorType([None, 1]))],
    target_opset=OPSET,
    options={"zipmap": False},
)
g = slice(0, 30)
write("columns", onx, {"carrier": carrier[g], "month": month[g], "distance": distance[g]},
      {"carrier": carrier[g].reshape(-1, 1), "month": month[g].reshape(-1, 1), "distance": distance[g].reshape(-1, 1)},
      lambda a: {"late": pipe.predict_proba(frame[g])[:, 1], "label": np.array(["on_time", "late"])[pipe.predict(frame[g])]})

# uint8 and bool inputs; a sigmoid of shape [n,1].
pixels = random.integers(0, 256, (25, 4)).astype(np.uint8)
flag = random.random(25) > 0.5
w = (random.normal(size=(4, 1)) / 100).astype(np.float32)
model = graph(
    "pixels",
    [h.make_node("Cast", ["pixels"], ["p"], to=T.FLOAT), h.make_node("MatMul", ["p", "w"], ["m"]),
     h.make_node("Cast", ["flag"], ["b"], to=T.FLOAT), h.make_node("Unsqueeze", ["b", "one"], ["c"]),
     h.make_node("Add", ["m", "c"], ["s"]), h.make_node("Sigmoid", ["s"], ["probability"])],
    [("pixels", T.UINT8, ["n", 4]), ("flag", T.BOOL, ["n"])],
    [("probability", T.FLOAT, ["n", 1])],
    {"w": w, "one": np.array([1], dtype=np.int64)},
)
write("pixels", model, {**columns(pixels, "p"), "flag": flag}, {"pixels": pixels, "flag": flag},
      lambda a: {"on": a["probability"].ravel(), "label": np.where(a["probability"].ravel() >= 0.6, "on", "off")})

# A list input beside a scalar one; list, float and integer outputs.
vectors = random.normal(size=(25, 4)).astype(np.float32)
weight = (random.random(25) + 0.5).astype(np.float32)
model = graph(
    "lists",
    [h.make_node("Mul", ["vector", "weight"], ["scaled"]),
     h.make_node("ReduceL2", ["scaled"], ["norm"], axes=[1], keepdims=1),
     h.make_node("Div", ["scaled", "norm"], ["unit"]),
     h.make_node("ArgMax", ["scaled"], ["largest"], axis=1, keepdims=0)],
    [("vector", T.FLOAT, ["n", 4]), ("weight", T.FLOAT, ["n", 1])],
    [("unit", T.FLOAT, ["n", 4]), ("norm", T.FLOAT, ["n", 1]), ("largest", T.INT64, ["n"])],
    {},
)
write("lists", model, {"vector": vectors, "weight": weight}, {"vector": vectors, "weight": weight.reshape(-1, 1)},
      lambda a: {"unit": a["unit"], "norm": a["norm"].ravel(), "largest": a["largest"]})

# Lists of any length: the mean of each.
lengths = [3, 3, 1, 2, 2, 2, 5]
series = [random.normal(size=k).astype(np.float32).tolist() for k in lengths]
model = graph("means", [h.make_node("ReduceMean", ["series"], ["mean"], axes=[1], keepdims=1)],
              [("series", T.FLOAT, ["n", "length"])], [("mean", T.FLOAT, ["n", 1])], {})
(HERE / "means.onnx").write_bytes(model.SerializeToString())
(HERE / "means.json").write_text(json.dumps(
    {"inputs": {"series": series}, "expected": {"mean": [float(np.mean(s)) for s in series]}}) + "\n")

# A fixed batch of 8.
w = random.normal(size=(3, 1)).astype(np.float32)
model = graph(
    "fixed",
    [h.make_node("MatMul", ["X", "w"], ["m"]), h.make_node("Tanh", ["m"], ["score"])],
    [("X", T.FLOAT, [8, 3])], [("score", T.FLOAT, [8, 1])], {"w": w},
)
F = random.normal(size=(8, 3)).astype(np.float32)
write("fixed", model, columns(F), {"X": F}, lambda a: {"score": a["score"].ravel()})

# Half and double precision inputs and outputs.
half, double = random.normal(size=(20, 3)).astype(np.float16), random.normal(size=(20, 2))
model = graph(
    "precisions",
    [h.make_node("ReduceSum", ["half", "axis"], ["half_sum"], keepdims=1),
     h.make_node("ReduceSum", ["double", "axis"], ["double_sum"], keepdims=0)],
    [("half", T.FLOAT16, ["n", 3]), ("double", T.DOUBLE, ["n", 2])],
    [("half_sum", T.FLOAT16, ["n", 1]), ("double_sum", T.DOUBLE, ["n"])],
    {"axis": np.array([1], dtype=np.int64)},
)
write("precisions", model, {**columns(half, "h"), **columns(double, "d")}, {"half": half, "double": double},
      lambda a: {"half": a["half_sum"].ravel(), "double": a["double_sum"]})

# An embedding table of 10 rows: an index outside it makes the whole batch fail in the kernel.
table = random.normal(size=(10, 2)).astype(np.float32)
model = graph("embedding", [h.make_node("Gather", ["table", "index"], ["vector"], axis=0)],
              [("index", T.INT64, ["n"])], [("vector", T.FLOAT, ["n", 2])], {"table": table})
index = np.arange(10, dtype=np.int64)
write("embedding", model, {"index": index}, {"index": index}, lambda a: {"second": a["vector"][:, 1]})

# Text in, text out: the label is a string tensor made by the graph.
model = graph("echo", [h.make_node("Identity", ["text"], ["same"])],
              [("text", T.STRING, ["n"])], [("same", T.STRING, ["n"])], {})
words = np.array(["a", "", "née", "x" * 300], dtype=object)
write("echo", model, {"text": words}, {"text": words}, lambda a: {"same": a["same"]})
