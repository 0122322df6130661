"""Serves scikit-learn and NumPy to the benchmark `transform`.

Commands come as JSON lines on standard input: a case, a subject, and for how many seconds to work; the time of one call
goes to standard output in the same way. Without seconds the answer is written into the folder instead.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, OneHotEncoder, StandardScaler

Array = Any
"""A NumPy array of 64-bit floats."""

COLUMNS = 100
FOLDER = Path(sys.argv[1])

numbers = np.fromfile(FOLDER / "numbers").reshape(-1, COLUMNS)
holes = np.fromfile(FOLDER / "holes").reshape(-1, COLUMNS)
texts = np.array(json.loads((FOLDER / "texts").read_text()), dtype=object).T.copy()
out = np.ones_like(numbers)

standard = StandardScaler().fit(numbers)
min_max = MinMaxScaler().fit(numbers)
imputer, scaler = SimpleImputer(), StandardScaler()
pipeline = make_pipeline(imputer, scaler, Normalizer("l2")).fit(holes)
one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(texts)


def with_sklearn(work: str, rows: int) -> Callable[[], Array]:
    """A call of scikit-learn."""
    fitted, data = {
        "standard": (standard, numbers),
        "min_max": (min_max, numbers),
        "pipeline": (pipeline, holes),
        "one_hot": (one_hot, texts),
    }[work]
    part = data[:rows]
    return lambda: fitted.transform(part)


def with_numpy(work: str, rows: int) -> Callable[[], Array]:
    """The same arithmetic without scikit-learn's checks and without new arrays where that can be."""
    x, made, y = numbers[:rows], out[:rows], holes[:rows]
    fill, offset, scale = imputer.statistics_, scaler.mean_, scaler.scale_

    def scaled() -> Array:
        np.subtract(x, standard.mean_, out=made)
        return np.divide(made, standard.scale_, out=made)

    def stretched() -> Array:
        np.multiply(x, min_max.scale_, out=made)
        return np.add(made, min_max.min_, out=made)

    def piped() -> Array:
        np.copyto(made, y)
        np.copyto(made, np.broadcast_to(fill, made.shape), where=np.isnan(made))
        np.subtract(made, offset, out=made)
        np.divide(made, scale, out=made)
        norms = np.sqrt(np.einsum("ij,ij->i", made, made))
        return np.divide(made, norms[:, None], out=made)

    return {"standard": scaled, "min_max": stretched, "pipeline": piped}[work]


def serve(command: dict[str, Any]) -> float:
    """Nanoseconds of one call."""
    make = with_numpy if command["subject"] == "numpy" else with_sklearn
    call = make(command["case"]["work"], command["case"]["rows"])
    if not command["seconds"]:
        np.ascontiguousarray(call(), dtype=np.float64).tofile(FOLDER / "answer")
        return 0.0
    calls, batch = 0, 1
    start = time.perf_counter()
    while True:
        for _ in range(batch):
            call()
        calls += batch
        seconds = time.perf_counter() - start
        if seconds >= command["seconds"]:
            return seconds * 1e9 / calls
        batch = calls


for line in sys.stdin:
    print(json.dumps({"nanoseconds": serve(json.loads(line))}), flush=True)
