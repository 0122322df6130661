"""Makes `transforms.jsonl.zst` with scikit-learn: what it fits and computes, for the tests of `vectordb::transform`.

Run it with Python 3.11 or later, scikit-learn 1.9, NumPy 2.4 and zstandard on x86-64: `python make_transforms.py`. With
`--check` it compares with the committed file. Each line is one case; numbers are the hexadecimal digits of their bits,
most significant first, one after another.
"""

import json
import math
import sys
import warnings
from calendar import isleap, monthrange
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import zstandard
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

FILE = Path(__file__).parent / "transforms.jsonl.zst"
NAN = np.nan

Array = Any
"""A NumPy array."""
Data = dict[str, Array]
"""Training data by name."""
Cases = Iterator[dict[str, Any]]
"""Lines of the file."""


def bits(array: Array) -> str:
    """The bits of numbers as text."""
    array = np.asarray(array)
    kind = ">f4" if array.dtype == np.float32 else ">f8"
    digits: str = array.astype(kind).tobytes().hex()
    return digits


def samples() -> Data:
    """Training data by name: two columns or more, but for `single`."""
    rng = np.random.default_rng(20260101)
    scales = np.array([1.0, 1e-8, 1e8, 3.0, 1e3])
    random = rng.normal(size=(157, 5)) * scales + np.array([0.0, 1.0, -5e7, 1e6, 14.62])
    missing = random.copy()
    missing[rng.random(missing.shape) < 0.2] = NAN
    near = np.full((40, 3), 14.62)
    near[3, 1] += 4e-15
    near[5, 2] += 1e-7
    extreme = rng.normal(size=(30, 4)) * np.array([1e150, 1e-150, 1e-300, 1e15])
    return {
        "random": random,
        "missing": missing,
        "constant": np.tile([14.62, 0.0, -1e9, 0.1], (11, 1)),
        "near_constant": near,
        "extreme": extreme,
        "one_row": np.array([[1.5, -2.0, 0.1]]),
        "two_rows": np.array([[0.1, 0.7], [0.3, 0.2]]),
        "single": rng.normal(size=(301, 1)) + 5.0,
        "integers": rng.integers(-3, 4, size=(60, 3)).astype(float),
        "wide": rng.normal(size=(3, 300)),
    }


def scalers() -> Iterator[tuple[object, Callable[[], Any]]]:
    """Scalers with the options that Rust has for the same."""
    both = {"centre": True, "scale": True}
    yield {"standard": both}, lambda: StandardScaler()
    yield {"standard": {**both, "centre": False}}, lambda: StandardScaler(with_mean=False)
    yield {"standard": {**both, "scale": False}}, lambda: StandardScaler(with_std=False)
    plain = {"low": 0.0, "high": 1.0, "clip": False}
    yield {"min_max": plain}, lambda: MinMaxScaler()
    yield (
        {"min_max": {"low": -0.3, "high": 2.0, "clip": True}},
        lambda: MinMaxScaler((-0.3, 2.0), clip=True),
    )
    yield "max_abs", lambda: MaxAbsScaler()
    yield {"robust": {"lower": 25.0, "upper": 75.0}}, lambda: RobustScaler()
    yield {"robust": {"lower": 10.0, "upper": 85.5}}, lambda: RobustScaler(quantile_range=(10.0, 85.5))


def offset_scale(scaler: object, columns: int) -> tuple[str, str]:
    """The fitted numbers under the names of Rust."""
    offset = getattr(scaler, "mean_", None)
    offset = getattr(scaler, "center_", getattr(scaler, "min_", offset))
    offset = np.zeros(columns) if offset is None else offset
    scale = getattr(scaler, "scale_", None)
    scale = np.ones(columns) if scale is None else scale
    return bits(offset), bits(scale)


def scale_cases(data: Data) -> Cases:
    """Fits, batches and single precision of scalers."""
    for name, fit in data.items():
        rows = np.vstack([fit, fit[:5] * 1.7 - 0.3])[:40]
        for options, make in scalers():
            scaler = make().fit(fit)
            offset, scale = offset_scale(scaler, fit.shape[1])
            out = scaler.transform(rows)
            yield {
                "kind": "scale", "sample": name, "options": options, "rows": bits(rows), "offset": offset,
                "scale": scale, "out": bits(out), "inverse": bits(scaler.inverse_transform(out.copy())),
            }  # fmt: skip
            if name == "random" and isinstance(scaler, StandardScaler):
                narrow = rows.astype(np.float32)
                out = make().fit(fit.astype(np.float32)).transform(narrow)
                yield {"kind": "scale_f32", "sample": name, "options": options, "rows": bits(narrow), "out": bits(out)}
        if len(fit) > 20:
            parts = StandardScaler()
            for start in range(0, len(fit), 16):
                parts.partial_fit(fit[start : start + 16])
            offset, scale = offset_scale(parts, fit.shape[1])
            yield {"kind": "partial", "sample": name, "batch": 16, "offset": offset, "scale": scale}


def norm_cases() -> Cases:
    """Rows of many lengths."""
    rng = np.random.default_rng(7)
    for columns in [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 64, 100, 127, 129, 300]:
        rows = rng.normal(size=(3, columns)) * 10.0 ** rng.integers(-3, 4, size=(3, columns))
        rows[2] *= 0.0
        for norm in ["l1", "l2", "max"]:
            for dtype in (np.float64, np.float32):
                x = rows.astype(dtype)
                out = Normalizer(norm).fit_transform(x)
                kind = "norm" if dtype == np.float64 else "norm_f32"
                yield {"kind": kind, "columns": columns, "norm": norm, "rows": bits(x), "out": bits(out)}


def number_cases(data: Data) -> Cases:
    """Imputation, binning, quantiles, powers, polynomials."""
    missing = data["missing"]
    ties = data["integers"].copy()
    ties[::7, 1] = NAN
    for name, fit in {"missing": missing, "ties": ties}.items():
        for options in ["mean", "median", "most_frequent", {"constant": -1.5}]:
            strategy, fill = (options, None) if isinstance(options, str) else ("constant", -1.5)
            imputer = SimpleImputer(strategy=strategy, fill_value=fill, add_indicator=True).fit(fit)
            # The indicator marks every column here; scikit-learn marks those that missed in the fit.
            marks = np.isnan(fit[:30]).astype(float)
            values = imputer.transform(fit[:30])[:, : fit.shape[1]]
            yield {
                "kind": "impute", "columns": fit.shape[1], "fit": bits(fit), "options": options,
                "rows": bits(fit[:30]), "out": bits(np.hstack([values, marks])), "name": name,
            }  # fmt: skip
    for name in ["random", "integers", "two_rows"]:
        fit = data[name]
        rows = np.vstack([fit[:20], fit[:5] * 3.0])
        for options in ["uniform", "quantile"]:
            bins = KBinsDiscretizer(5, encode="ordinal", strategy=options, quantile_method="linear").fit(fit)
            edges = [bits(e) for e in bins.bin_edges_]
            yield {
                "kind": "bin", "sample": name, "options": options, "bins": 5, "rows": bits(rows), "edges": edges,
                "out": bits(bins.transform(rows)), "inverse": bits(bins.inverse_transform(bins.transform(rows))),
            }  # fmt: skip
        quantile = QuantileTransformer(n_quantiles=min(len(fit), 50), subsample=None).fit(fit)
        out = quantile.transform(rows)
        yield {
            "kind": "quantile", "sample": name, "quantiles": min(len(fit), 50), "rows": bits(rows),
            "out": bits(out), "inverse": bits(quantile.inverse_transform(out)),
        }  # fmt: skip
        for degree, only in [(2, False), (3, False), (2, True)]:
            products = PolynomialFeatures(degree, interaction_only=only, include_bias=False)
            made = products.fit_transform(rows)
            yield {
                "kind": "polynomial", "columns": fit.shape[1], "degree": degree, "interaction_only": only,
                "rows": bits(rows), "out": bits(made), "names": list(products.get_feature_names_out()),
            }  # fmt: skip
    rng = np.random.default_rng(11)
    skewed = np.column_stack([rng.lognormal(size=200), rng.gamma(2.0, size=200), rng.uniform(0.5, 3.0, size=200)])
    for options, fit in [("box_cox", skewed), ("yeo_johnson", skewed), ("yeo_johnson", skewed - 1.5)]:
        power = PowerTransformer(options.replace("_", "-"), standardize=False).fit(fit)
        out = power.transform(fit[:40])
        yield {
            "kind": "power", "options": options, "columns": 3, "fit": bits(fit), "rows": bits(fit[:40]),
            "lambdas": bits(power.lambdas_), "out": bits(out), "inverse": bits(power.inverse_transform(out)),
        }  # fmt: skip


def text_cases() -> Cases:
    """Encoders of texts."""
    rng = np.random.default_rng(3)
    words = np.array(["Oulu", "Turku", "", "Ähtäri", "日本", "Kemi", "a", "A"], dtype=object)
    fit = [str(w) for w in rng.choice(words, size=50)]
    rows = [*sorted(set(fit)), "never seen"]
    column = np.array(fit, dtype=object)[:, None]
    ask = np.array(rows, dtype=object)[:, None]
    hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(column)
    yield {"kind": "one_hot", "fit": fit, "rows": rows, "out": bits(hot.transform(ask))}
    ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(column)
    yield {"kind": "ordinal", "fit": fit, "rows": rows, "out": bits(ordinal.transform(ask))}
    target = rng.normal(size=len(fit)) + 3.0
    for smooth in [0.0, 10.0, "auto"]:
        encoder = TargetEncoder(smooth=smooth, target_type="continuous").fit(column, target)
        yield {
            "kind": "target", "fit": fit, "target": bits(target), "smooth": smooth, "rows": rows,
            "out": bits(encoder.transform(ask)),
        }  # fmt: skip
    for alternate in [True, False]:
        hasher = FeatureHasher(16, input_type="string", alternate_sign=alternate)
        made = hasher.transform([[r] for r in rows] + [fit[:9]]).toarray()
        texts = [[r] for r in rows] + [fit[:9]]
        yield {"kind": "hash", "buckets": 16, "signed": alternate, "rows": texts, "out": bits(made)}


def pipeline_cases(data: Data) -> Cases:
    """Steps one after another in single precision. The mean of an imputer would be one of single precision, too."""
    rows = data["missing"][:40].astype(np.float32)
    steps = make_pipeline(SimpleImputer(strategy="constant", fill_value=-1.5), StandardScaler(), Normalizer("l2"))
    out = steps.fit(data["missing"]).transform(rows)
    assert out.dtype == np.float32
    yield {"kind": "pipeline_f32", "sample": "missing", "rows": bits(rows), "out": bits(out)}


def column_cases() -> Cases:
    """Columns of numbers and texts on routes of their own."""
    rng = np.random.default_rng(5)
    numbers = rng.normal(size=(60, 5)) * 3.0 + 1.0
    numbers[rng.random(numbers.shape) < 0.2] = NAN
    texts = rng.choice(np.array(["Oulu", "Turku", "Kemi", "Ähtäri"], dtype=object), size=(60, 2))
    names = ["a", "b", "c", "d", "e", "city", "home"]
    frame = np.hstack([numbers.astype(object), texts])
    squares = PolynomialFeatures(2, include_bias=False)
    columns = ColumnTransformer(
        [
            ("scaled", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), [1, 2, 3]),
            ("hot", OneHotEncoder(handle_unknown="ignore", sparse_output=False), [6, 5]),
            ("products", make_pipeline(SimpleImputer(strategy="median"), squares), [4, 0]),
            ("order", make_pipeline(OrdinalEncoder(), MinMaxScaler()), [5]),
            ("pass", "passthrough", [0, 1]),
        ],
        sparse_threshold=0,
    )  # fmt: skip
    made = columns.fit_transform(frame).astype(float)
    indices = {f"x{at}": name for at, name in enumerate(names)}
    outputs = []
    for name in columns.get_feature_names_out():
        route, column = name.split("__")
        parts = column.replace("_", " _ ").replace("^", " ^ ").split(" ")
        outputs.append(
            route + "__" + " ".join(indices.get(p, p) for p in parts).replace(" _ ", "_").replace(" ^ ", "^")
        )
    yield {"kind": "columns", "numbers": bits(numbers), "texts": texts.tolist(), "names": outputs, "out": bits(made)}


def date_cases() -> Cases:
    """Times, by Python's calendar. The members of a case are named as in Rust."""
    rng = np.random.default_rng(13)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    days = [
        "2000-02-29T23:59:59",
        "1999-12-31T23:30:00",
        "1970-01-01T00:00:00",
        "2100-03-01T00:00:00",
        "2024-12-31T12:00:00",
    ]
    edges = [(datetime.fromisoformat(d + "+00:00") - epoch) // timedelta(microseconds=1) for d in days]
    times = [*edges, -1, *(int(t) for t in rng.integers(-9_000_000_000_000_000, 9_000_000_000_000_000, size=200))]
    for offset in [0, 330, -300]:
        rows = []
        for time in times:
            t = epoch + timedelta(microseconds=time) + timedelta(minutes=offset)
            day = t.timetuple().tm_yday
            cycles = [
                (t.month - 1) / 12,
                (t.day - 1) / monthrange(t.year, t.month)[1],
                t.weekday() / 7,
                t.hour / 24,
                t.minute / 60,
                (day - 1) / (365 + isleap(t.year)),
            ]
            plain = [t.year, t.month, t.day, t.weekday(), t.hour, t.minute, day, t.weekday() >= 5]
            rows.append([*plain, *(f(math.tau * c) for c in cycles for f in (math.sin, math.cos))])
        yield {
            "kind": "dates",
            "offset": offset,
            "times": bits(np.array(times, float)),
            "out": bits(np.array(rows, float)),
        }


def content() -> bytes:
    """The whole file, unpacked."""
    data = samples()
    versions = {"scikit-learn": sklearn.__version__, "numpy": np.__version__}
    lines = [{"kind": "versions", **versions}]
    lines += [{"kind": "sample", "name": name, "columns": fit.shape[1], "fit": bits(fit)} for name, fit in data.items()]
    lines += [*scale_cases(data), *norm_cases(), *number_cases(data), *text_cases()]
    lines += [*pipeline_cases(data), *column_cases(), *date_cases()]
    return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines).encode()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    made = content()
    if "--check" in sys.argv:
        same = zstandard.ZstdDecompressor().decompress(FILE.read_bytes()) == made
        sys.exit(0 if same else f"{FILE.name} differs from what this makes")
    FILE.write_bytes(zstandard.ZstdCompressor(level=19).compress(made))
