"""The four operations and their base, against naive models."""

import collections
import copy
import inspect
import json
import math
import pickle
import random
import statistics
from typing import Any

import pytest
from common.operations.transform import Transformer
from vectordb.transform.operations import BaseOperation, MissingValueImputer, Normalizer, OneHotEncoder, Scaler

Rows = dict[Any, dict[Any, Any]]

ROWS: Rows = {
    "a": {"age": 20, "city": "Rome", "pay": 1.0, "ok": True},
    "b": {"age": 30, "city": "Oslo", "pay": None, "ok": False},
    "c": {"age": 40, "city": None, "pay": 3.0},
}

SIGNATURES: dict[Any, str] = {
    BaseOperation: "(name=None)",
    Scaler: "(feature_range=(0, 1), name=None)",
    Normalizer: "(name=None)",
    OneHotEncoder: "(name=None)",
    MissingValueImputer: "(strategy='mean', fill_value=None, name=None)",
}

METHODS = {
    "fit": "(self, data, feature_names=None)",
    "transform": "(self, data, feature_names=None)",
    "fit_transform": "(self, data, feature_names=None)",
    "get_params": "(self)",
    "set_params": "(self, params)",
    "to_dict": "(self)",
    "from_dict": "(data)",
    "to_json": "(self)",
    "from_json": "(json_str)",
}

OPERATIONS = [Scaler, Normalizer, OneHotEncoder, MissingValueImputer]


def bare(call: Any) -> str:
    """A signature without annotations."""
    signature = inspect.signature(call)
    parameters = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("kind", SIGNATURES)
def test_signatures_and_names(kind: Any) -> None:
    assert bare(kind) == SIGNATURES[kind]
    assert {name: bare(getattr(kind, name)) for name in METHODS} == METHODS
    assert kind.__module__ == "vectordb.transform.operations"
    assert issubclass(kind, Transformer)
    made = kind()
    assert (made.name, made.fitted, made.description) == (kind.__name__, False, None)
    assert isinstance(made.created_at, float)
    made.name = "other"
    assert made.name == "other"
    with pytest.raises(AttributeError):
        made.fitted = True


def test_the_base_is_usable_and_does_nothing() -> None:
    base = BaseOperation()
    for call in (lambda: base.fit({}), lambda: base.transform({}), base.get_params, lambda: base.set_params({})):
        with pytest.raises(NotImplementedError):
            call()

    class Halve(BaseOperation):
        def fit(self, data: Any, feature_names: Any = None) -> None:  # noqa: ARG002
            self.seen = feature_names
            self._fitted = True

        def transform(self, data: Any, feature_names: Any = None) -> Any:  # noqa: ARG002
            return {e: {k: v / 2 for k, v in row.items()} for e, row in data.items()}

        def get_params(self) -> dict[str, Any]:
            return {}

    half = Halve()
    assert half.name == "Halve"
    assert half.fit_transform({"a": {"x": 4}}, ["x"]) == {"a": {"x": 2}}
    assert (half.fitted, half.seen, half({"a": {"x": 1}})) == (True, ["x"], {"a": {"x": 0.5}})
    assert half.to_dict()["type"] == "Halve"
    with pytest.raises(ValueError, match="Unknown operation type: Halve"):
        BaseOperation.from_dict(half.to_dict())


@pytest.mark.parametrize("kind", OPERATIONS)
def test_an_operation_must_be_fitted(kind: Any) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__} must be fitted before transforming data"):
        kind().transform(ROWS)
    empty = kind()
    empty.fit({})
    assert empty.fitted
    assert empty.transform({}) == {}
    named = kind()
    named.fit(ROWS, ["nowhere"])
    assert named.transform(ROWS) == ROWS


@pytest.mark.parametrize("kind", OPERATIONS)
def test_an_operation_comes_back_from_everything(kind: Any) -> None:
    made = kind(name="mine")
    made.fit(ROWS)
    expected = made.transform(ROWS)
    copies = [
        BaseOperation.from_dict(made.to_dict()),
        Scaler.from_dict(made.to_dict()),
        BaseOperation.from_json(made.to_json()),
        BaseOperation.from_json(made.to_json().encode()),
        copy.copy(made),
        copy.deepcopy(made),
        pickle.loads(pickle.dumps(made)),
    ]
    for each in copies:
        assert type(each) is kind
        assert (each.name, each.fitted, each.created_at) == ("mine", True, made.created_at)
        assert each.get_params() == made.get_params()
        assert each.transform(ROWS) == expected
    assert json.loads(made.to_json())["params"].keys() == made.get_params().keys()
    fresh = kind()
    fresh.set_params({})
    assert not fresh.fitted
    fresh.set_params(made.get_params())
    assert fresh.fitted
    before = copy.deepcopy(made.get_params())
    fresh.fit({"z": {"age": 999, "city": "Ulm", "pay": 5.0, "new": 3}})
    assert made.get_params() == before
    assert sorted(made.to_dict()) == ["created_at", "description", "fitted", "name", "params", "type"]
    for key in ("name", "type", "fitted", "params"):
        with pytest.raises(KeyError):
            BaseOperation.from_dict({k: v for k, v in made.to_dict().items() if k != key})


def test_scaler() -> None:
    scaler = Scaler()
    assert scaler.fit_transform(ROWS) == {
        "a": {"age": 0.0, "city": "Rome", "pay": 0.0, "ok": 1.0},
        "b": {"age": 0.5, "city": "Oslo", "pay": None, "ok": 0.0},
        "c": {"age": 1.0, "city": None, "pay": 1.0},
    }
    assert (scaler._feature_range, scaler._min_values["age"], scaler._max_values["age"]) == ((0, 1), 20, 40)
    assert scaler.transform({"x": {"age": 60}}) == {"x": {"age": 2.0}}
    wide = Scaler((-1, 1))
    assert wide.fit_transform(ROWS, ["age"])["b"] == {"age": 0.0, "city": "Oslo", "pay": None, "ok": False}
    live = wide._min_values
    wide.fit({"a": {"pay": 7}, "b": {"pay": 9.5, "text": "t"}})
    assert wide._min_values is live
    assert live == {"age": 20, "pay": 7}
    again: Any = Scaler.from_json(wide.to_json())
    assert again._feature_range == (-1, 1)
    assert isinstance(again._feature_range, tuple)
    constant = Scaler()
    assert constant.fit_transform({1: {"x": 3}, 2: {"x": 3}}) == {1: {"x": 3}, 2: {"x": 3}}
    big = Scaler()
    big.fit({1: {"x": 2**60 + 1}, 2: {"x": 2**60}, 3: {"x": 2**60 + 2}})
    assert (big._min_values["x"], big._max_values["x"]) == (2**60, 2**60 + 2)


def test_what_is_no_number_is_ignored_and_left_alone() -> None:
    rows: Rows = {1: {"x": 1, "y": "t"}, 2: {"x": "u", "y": 5}, 3: {"x": [1], "y": 6}, 4: {"x": 3, "y": 7}}
    scaler = Scaler()
    out = scaler.fit_transform(rows)
    assert [out[i]["x"] for i in rows] == [0.0, "u", [1], 1.0]
    assert out[3]["x"] is rows[3]["x"]
    assert "y" not in scaler._min_values
    nan = float("nan")
    for kind in (Scaler, Normalizer):
        operation = kind()
        out = operation.fit_transform({1: {"x": nan}, 2: {"x": 1}, 3: {"x": 3}})
        assert out[1]["x"] is nan
        assert all(math.isfinite(out[i]["x"]) for i in (2, 3))


def test_normalizer() -> None:
    normalizer = Normalizer()
    out = normalizer.fit_transform(ROWS)
    assert normalizer._means == {"age": 30, "pay": 2.0, "ok": 0.5}
    assert normalizer._stds["age"] == pytest.approx(statistics.pstdev([20, 30, 40]), rel=1e-15)
    assert out["b"]["age"] == 0.0
    far = Normalizer()
    far.fit({i: {"x": 1e9 + i} for i in range(10)})
    assert far._stds["x"] == pytest.approx(statistics.pstdev(range(10)), abs=1e-9)
    flat = Normalizer()
    assert flat.fit_transform({i: {"x": 0.1} for i in range(7)})[0] == {"x": 0.1}
    assert flat._stds == {"x": 0.0}


def test_encoder() -> None:
    encoder = OneHotEncoder()
    out = encoder.fit_transform(ROWS)
    assert encoder._categories == {"city": ["Oslo", "Rome"]}
    assert list(out["a"].items()) == [("age", 20), ("pay", 1.0), ("ok", True), ("city_Oslo", 0.0), ("city_Rome", 1.0)]
    assert out["c"] == ROWS["c"]
    assert encoder.transform({1: {"city": "Ulm"}, 2: {"city": ["Rome"]}, 3: {}}) == {
        1: {"city_Oslo": 0.0, "city_Rome": 0.0},
        2: {"city_Oslo": 0.0, "city_Rome": 0.0},
        3: {},
    }
    named = OneHotEncoder()
    assert named.fit_transform({1: {"ok": True}, 2: {"ok": False}}, ["ok"])[1] == {"ok_False": 0.0, "ok_True": 1.0}
    mixed = OneHotEncoder()
    mixed.fit({i: {"x": x} for i, x in enumerate(["b", 2, "a", 1, (1, 2), True, ("z",)])}, ["x"])
    assert mixed._categories["x"] == [1, 2, "('z',)", "(1, 2)", "a", "b"]
    assert mixed.transform({1: {"x": (1, 2)}}, ["x", "y"])[1]["x_(1, 2)"] == 1.0
    live = OneHotEncoder()
    live.fit({1: {"c": "a"}})
    assert live.transform({1: {"c": "a"}}) == {1: {"c_a": 1.0}}
    live._categories["c"].append("b")
    assert live.transform({1: {"c": "b"}}) == {1: {"c_a": 0.0, "c_b": 1.0}}
    many = {i: {"c": "b"} for i in range(9)}
    assert live.transform(many) == {i: {"c_a": 0.0, "c_b": 1.0} for i in range(9)}
    strange = OneHotEncoder()
    strange.fit({1: {7: "p"}, 2: {7: "q"}})
    assert strange.transform({1: {7: "q"}}) == {1: {"7_p": 0.0, "7_q": 1.0}}


def test_imputer() -> None:
    rows: Rows = {
        i: {"x": x, "t": t} for i, (x, t) in enumerate([(4, "a"), (None, None), (9, "b"), (2, "c"), (9, "d")])
    }
    mean = MissingValueImputer()
    assert mean.fit_transform(rows)[1] == {"x": 6.0, "t": None}
    assert mean._imputation_values == {"x": 6}
    median = MissingValueImputer("median")
    assert median.fit_transform(rows, ["x"])[1] == {"x": 6.5, "t": None}
    fill = ["gap"]
    constant = MissingValueImputer("constant", fill)
    out = constant.fit_transform(rows)
    assert out[1]["x"] is fill
    assert out[1]["t"] is fill
    assert constant.get_params()["fill_value"] is fill
    assert constant.transform({1: {"other": None}}) == {1: {"other": None}}
    assert constant.transform({1: {"x": None, "t": None}}, ["t"]) == {1: {"x": None, "t": fill}}
    with pytest.raises(ValueError):
        MissingValueImputer("mode").fit({})


@pytest.mark.parametrize("kind", OPERATIONS)
def test_rows_are_copied_by_their_own_kind(kind: Any) -> None:
    class Tagged(collections.UserDict):  # type: ignore[type-arg]
        pass

    rows: dict[str, Any] = {
        "o": collections.OrderedDict(ROWS["a"]),
        "d": collections.defaultdict(int, ROWS["b"]),
        "u": Tagged(ROWS["c"]),
    }
    operation = kind()
    plain = kind()
    out = operation.fit_transform(rows)
    expected = plain.fit_transform({key: dict(row) for key, row in rows.items()})
    assert {key: dict(row) for key, row in out.items()} == expected
    assert [type(row) for row in out.values()] == [type(row) for row in rows.values()]
    assert dict(rows["o"]) == ROWS["a"]
    assert dict(rows["d"]) == ROWS["b"]
    again = operation.transform(collections.OrderedDict(rows))
    assert type(again) is dict
    assert again == out


def naive_scale(rows: Rows, feature: Any, low: float, high: float) -> dict[Any, Any]:
    """The feature by row after scaling."""
    known = [row[feature] for row in rows.values() if isinstance(row.get(feature), (int, float))]
    least, greatest = min(known), max(known)
    out = {}
    for key, row in rows.items():
        if feature in row:
            x = row[feature]
            if isinstance(x, (int, float)) and least != greatest:
                x = low + (high - low) * ((x - least) / (greatest - least))
            out[key] = x
    return out


def random_rows(seed: int, count: int = 40) -> Rows:
    """Rows of several shapes, with gaps."""
    draw = random.Random(seed)
    rows: Rows = {}
    for i in range(count):
        row: dict[Any, Any] = {}
        for feature in draw.sample(["i", "f", "b", "c", 5, ("t", 1)], draw.randint(0, 6)):
            value: Any = draw.choice(["red", "green", "blue"])
            if feature == "i":
                value = draw.randint(-50, 50)
            elif feature == "f":
                value = draw.gauss(1e6, 3)
            elif feature == "b":
                value = draw.random() < 0.5
            elif feature == 5:
                value = draw.choice([1, 2.5, "x"])
            # A new text each time: features are equal, not identical.
            name = "".join(list(feature)) if isinstance(feature, str) else feature
            row[name] = None if draw.random() < 0.2 else value
        rows[f"e{i}"] = row
    return rows


@pytest.mark.parametrize("seed", range(20))
def test_random_rows_as_a_naive_model_has_them(seed: int) -> None:
    rows = random_rows(seed)
    before = copy.deepcopy(rows)
    scaler, normalizer, imputer = Scaler((2, 5)), Normalizer(), MissingValueImputer("median")
    scaled, normal, filled = (each.fit_transform(rows) for each in (scaler, normalizer, imputer))
    assert rows == before
    for feature in scaler._min_values:
        got = {key: row[feature] for key, row in scaled.items() if feature in row}
        assert got == naive_scale(rows, feature, 2, 5)
    for feature, mean in normalizer._means.items():
        known = [row[feature] for row in rows.values() if isinstance(row.get(feature), (int, float))]
        assert mean == pytest.approx(statistics.fmean(known), rel=1e-12, abs=1e-12)
        assert normalizer._stds[feature] == pytest.approx(statistics.pstdev(known), rel=1e-9)
        for key, row in rows.items():
            if isinstance(row.get(feature), (int, float)) and normalizer._stds[feature]:
                expected = (row[feature] - mean) / normalizer._stds[feature]
                assert normal[key][feature] == pytest.approx(expected, rel=1e-12, abs=1e-12)
    for key, row in rows.items():
        assert list(filled[key]) == list(row)
        for feature, value in row.items():
            if value is None and feature in imputer._imputation_values:
                known = [r[feature] for r in rows.values() if isinstance(r.get(feature), (int, float))]
                assert filled[key][feature] == statistics.median(known)
            else:
                assert filled[key][feature] is value


def test_user_code_may_run_while_rows_are_read() -> None:
    rows: Rows = {}

    class Key:
        def __hash__(self) -> int:
            rows["extra"] = {"x": 1}
            return 7

        def __eq__(self, other: object) -> bool:
            rows.get("row", {})["more"] = 1
            return self is other

    class Odd(int):
        def __float__(self) -> float:
            rows["row"]["grown"] = 2
            return 3.0

    rows["row"] = {"x": Odd(5), Key(): 1, Key(): 2}
    rows["next"] = {"x": 4, Key(): 3}
    for kind in OPERATIONS:
        kind().fit_transform(rows)


def test_errors_of_the_data_are_raised() -> None:
    for bad in (5, [1], {"a": 5}):
        with pytest.raises((AttributeError, TypeError)):
            Scaler().fit(bad)
    scaler = Scaler()
    scaler.fit(ROWS)
    scaler._min_values["age"] = "text"
    with pytest.raises(TypeError):
        scaler.transform(ROWS)
