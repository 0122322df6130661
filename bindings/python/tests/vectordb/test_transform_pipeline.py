"""Pipelines and feature transformers."""

import copy
import gc
import inspect
import json
import random
import threading
import time
import weakref
from typing import Any
from unittest import mock

import pytest
from common.operations.transform import Pipeline, Transformer
from vectordb.transform.operations import BaseOperation, MissingValueImputer, Normalizer, OneHotEncoder, Scaler
from vectordb.transform.pipeline import FeatureTransformer, TransformationPipeline

import vectordb.transform

Rows = dict[Any, dict[Any, Any]]

ROWS: Rows = {
    "a": {"age": 20, "city": "Rome", "pay": 1.0},
    "b": {"age": None, "city": "Oslo", "pay": 2.0},
    "c": {"age": 40, "city": "Rome", "pay": 4.0},
}

METHODS: dict[Any, dict[str, str]] = {
    TransformationPipeline: {
        "__init__": "(self, name=None, operations=None)",
        "add_operation": "(self, operation)",
        "remove_operation": "(self, index)",
        "clear_operations": "(self)",
        "fit": "(self, data, feature_names=None)",
        "transform": "(self, data, feature_names=None)",
        "fit_transform": "(self, data, feature_names=None)",
        "get_operation_info": "(self)",
        "to_dict": "(self)",
        "from_dict": "(data)",
        "to_json": "(self)",
        "from_json": "(json_str)",
        "clone": "(self)",
        "create_feature_transformer": "(self, feature_mapping=None)",
        "add_transformer": "(self, transformer)",
        "remove_transformer": "(self, index)",
    },
    FeatureTransformer: {
        "__init__": "(self, pipeline, feature_mapping=None, name=None)",
        "fit": "(self, data, feature_names=None)",
        "transform": "(self, data, feature_names=None)",
        "fit_transform": "(self, data)",
        "to_dict": "(self)",
        "from_dict": "(data)",
        "to_json": "(self)",
        "from_json": "(json_str)",
    },
}


class Twice(BaseOperation):
    """Doubles numbers; notes how it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def fit(self, *given: Any) -> None:
        self.calls.append(("fit", given))
        self._fitted = True

    def transform(self, *given: Any) -> Any:
        self.calls.append(("transform", given))
        return {e: {k: v * 2 if isinstance(v, float) else v for k, v in row.items()} for e, row in given[0].items()}

    def get_params(self) -> dict[str, Any]:
        return {}


def four() -> list[Any]:
    """One of each operation."""
    return [MissingValueImputer(), Normalizer(), Scaler(), OneHotEncoder()]


def params(operations: list[Any]) -> list[str]:
    """What operations have learnt, NaN equal to NaN, by feature whatever the order."""
    learnt = []
    for operation in operations:
        for key, value in operation.get_params().items():
            by_feature = sorted(value.items(), key=str) if isinstance(value, dict) else value
            learnt.append(f"{key}: {by_feature}")
    return learnt


def one_by_one(operations: list[Any], data: Any, names: Any = None) -> Any:
    """What a pipeline is: each operation fitted and applied."""
    for operation in operations:
        operation.fit(data, names)
        data = operation.transform(data, names)
    return data


@pytest.mark.parametrize("kind", METHODS)
def test_signatures(kind: type) -> None:
    for name, expected in METHODS[kind].items():
        signature = inspect.signature(getattr(kind, name))
        parameters = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
        bare = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
        assert bare == expected, name
    assert kind.__module__ == "vectordb.transform.pipeline"
    assert vectordb.transform.TransformationPipeline is TransformationPipeline


def test_defaults_and_properties() -> None:
    pipeline = TransformationPipeline()
    assert isinstance(pipeline, Pipeline)
    assert (pipeline.name, TransformationPipeline("").name) == ("TransformationPipeline",) * 2
    assert (pipeline.operations, pipeline.transformers, pipeline.transformations_applied) == ([], [], 0)
    assert pipeline.avg_transform_time == 0.0
    assert pipeline.last_modified <= time.time()
    assert pipeline.description is None
    assert pipeline.transform(ROWS) is ROWS
    assert pipeline(ROWS) is ROWS
    assert pipeline.transformations_applied == 2
    assert pipeline.avg_transform_time > 0


def test_operations_are_the_callers_own() -> None:
    scaler = Scaler()
    given = [scaler]
    pipeline = TransformationPipeline("p", given)
    assert pipeline.operations[0] is scaler
    before = pipeline.last_modified
    time.sleep(0.01)
    pipeline.add_operation(Normalizer())
    assert len(given) == 1
    assert pipeline.last_modified > before
    pipeline.operations.clear()
    assert len(pipeline.operations) == 2
    pipeline.transformers.append(OneHotEncoder())
    assert len(pipeline.operations) == 3
    assert pipeline.remove_operation(3) is None
    assert pipeline.remove_operation(-1) is None
    assert pipeline.remove_transformer(0) is scaler
    pipeline.fit(ROWS)
    assert not scaler.fitted
    pipeline.clear_operations()
    assert pipeline.operations == []
    pipeline.add_transformer(scaler)
    pipeline.fit(ROWS)
    assert scaler.fitted


@pytest.mark.parametrize("names", [None, ["age", "city"], ["pay"], []])
def test_a_run_in_one_pass_is_what_single_operations_make(names: Any) -> None:
    pipeline = TransformationPipeline("p", four())
    out = pipeline.fit_transform(ROWS, iter(names) if names else names)
    alone = four()
    assert out == one_by_one(alone, ROWS, names)
    assert [list(row) for row in out.values()] == [list(row) for row in one_by_one(four(), ROWS, names).values()]
    assert [each.get_params() for each in pipeline.operations] == [each.get_params() for each in alone]
    assert pipeline.transformations_applied == 1
    assert all(each.fitted for each in pipeline.operations)


@pytest.mark.parametrize("seed", range(25))
def test_random_pipelines_are_what_single_operations_make(seed: int) -> None:
    draw = random.Random(seed)
    rows: Rows = {}
    for i in range(30):
        values = {
            "x": draw.choice([None, draw.randint(0, 9), draw.random(), float("nan")]),
            "y": draw.choice([None, draw.gauss(0, 1), True]),
            "c": draw.choice([None, "a", "b", 3, float("nan")]),
            "d": draw.choice(["p", "q", ("r",)]),
        }
        rows[i] = {key: values[key] for key in draw.sample(list(values), draw.randint(1, 4))}
    kinds: list[Any] = [
        lambda: Scaler((-1, 2)),
        Normalizer,
        OneHotEncoder,
        lambda: MissingValueImputer("median"),
        lambda: MissingValueImputer("constant", 7),
        lambda: MissingValueImputer("constant", "gap"),
    ]
    chosen = [draw.choice(kinds) for _ in range(draw.randint(1, 6))]
    names = draw.choice([None, ["x", "c"], ["c", "d", "d_p", "y"]])
    pipeline = TransformationPipeline(operations=[make() for make in chosen])
    alone = [make() for make in chosen]
    out = pipeline.fit_transform(rows, names)
    expected = one_by_one(alone, rows, names)
    assert str(out) == str(expected)
    assert params(pipeline.operations) == params(alone)
    assert str(pipeline.transform(rows, names)) == str(expected)


def test_user_operations_take_part() -> None:
    twice = Twice()
    pipeline = TransformationPipeline("p", [Scaler(), twice, Normalizer()])
    alone = [Scaler(), Twice(), Normalizer()]
    assert pipeline.fit_transform(ROWS) == one_by_one(alone, ROWS)
    assert [call for call, _ in twice.calls] == ["fit", "transform", "transform"]
    assert all(len(given) == 2 and given[1] is None for _, given in twice.calls)
    clone = pipeline.clone()
    assert clone.operations[1] is not twice
    assert clone.transform(ROWS) == pipeline.transform(ROWS)
    assert pipeline.get_operation_info()[1]["type"] == "Twice"

    class Half(Scaler):
        def transform(self, data: Any, feature_names: Any = None) -> Any:
            return {"half": super().transform(data, feature_names)}

    half = TransformationPipeline(operations=[Half()])
    assert list(half.fit_transform(ROWS)) == ["half"]
    patched = TransformationPipeline(operations=[Scaler()])
    patched.fit(ROWS)
    with mock.patch.object(Scaler, "transform", return_value="patched"):
        assert patched.transform(ROWS) == "patched"
    with mock.patch.object(patched.operations[0], "transform", return_value="patched"):
        assert patched.transform(ROWS) == "patched"


def test_only_success_counts() -> None:
    pipeline = TransformationPipeline(operations=[Scaler()])
    with pytest.raises(ValueError, match="Scaler must be fitted"):
        pipeline.transform(ROWS)
    assert (pipeline.transformations_applied, pipeline.avg_transform_time) == (0, 0.0)
    broken = TransformationPipeline(operations=[Scaler(), MissingValueImputer("mode")])
    with pytest.raises(ValueError):
        broken.fit(ROWS)


def test_a_pipeline_comes_back_from_everything() -> None:
    pipeline = TransformationPipeline("p", four())
    expected = pipeline.fit_transform(ROWS)
    data = pipeline.to_dict()
    first = [
        "name",
        "operations",
        "transformations_applied",
        "last_modified",
        "total_transform_time",
        "transform_count",
    ]
    assert list(data)[:6] == first
    for again in (
        TransformationPipeline.from_dict(data),
        TransformationPipeline.from_dict({("transformers" if k == "operations" else k): v for k, v in data.items()}),
        TransformationPipeline.from_json(pipeline.to_json()),
        pipeline.clone(),
    ):
        assert again.to_dict() == data
        assert again.transform(ROWS) == expected
        again.fit({"z": {"age": 1000, "pay": 3}})
    assert pipeline.to_dict() == data
    assert TransformationPipeline.from_dict({}).operations == []
    with pytest.raises(json.JSONDecodeError):
        TransformationPipeline.from_json("no")


def test_subclasses_with_other_constructors_clone() -> None:
    class Mine(TransformationPipeline):
        def __init__(self, first: int, second: int) -> None:
            super().__init__("mine", [Scaler()])
            self.extra = (first, second)

    mine = Mine(1, 2)
    mine.fit(ROWS)
    clone = mine.clone()
    assert (type(clone), clone.extra, clone.transform(ROWS)) == (Mine, (1, 2), mine.transform(ROWS))
    gone = weakref.ref(clone)
    del clone
    gc.collect()
    assert gone() is None


def test_feature_transformer() -> None:
    pipeline = TransformationPipeline("p", [MissingValueImputer(), Scaler()])
    transformer = pipeline.create_feature_transformer({"age": "years", "city": "place"})
    assert isinstance(transformer, Transformer)
    assert transformer.pipeline is not pipeline
    assert transformer.name == "FeatureTransformer"
    out = transformer.fit_transform(ROWS)
    assert list(out["b"].items()) == [("pay", 2.0), ("years", 0.5), ("place", "Oslo")]
    encoding = FeatureTransformer(TransformationPipeline(operations=[OneHotEncoder()]), {"city": "place"})
    assert list(encoding.fit_transform(ROWS)["a"]) == ["age", "pay", "city_Oslo", "city_Rome"]
    assert transformer(ROWS) == out == transformer.transform(ROWS, ["ignored"])
    mapping = transformer.feature_mapping
    mapping.clear()
    assert transformer.feature_mapping == {"age": "years", "city": "place"}
    again = FeatureTransformer.from_json(transformer.to_json())
    assert again.transform(ROWS) == out
    assert FeatureTransformer.from_dict(transformer.to_dict()).feature_mapping == transformer.feature_mapping
    swap = FeatureTransformer(TransformationPipeline(), {"age": "pay", "pay": "age", "gone": "x"})
    assert list(swap.transform(ROWS)["a"].items()) == [("city", "Rome"), ("pay", 20), ("age", 1.0)]
    assert ROWS["a"] == {"age": 20, "city": "Rome", "pay": 1.0}
    over = FeatureTransformer(TransformationPipeline(), {"age": "city"})
    assert list(over.transform(ROWS)["a"].items()) == [("city", 20), ("pay", 1.0)]
    plain = FeatureTransformer(TransformationPipeline(operations=[Scaler()]))
    assert plain.fit_transform(ROWS) == Scaler().fit_transform(ROWS)
    shared = FeatureTransformer(pipeline)
    assert shared.pipeline is pipeline


def test_threads() -> None:
    pipeline = TransformationPipeline("p", four())
    pipeline.fit(ROWS)
    expected = pipeline.transform(ROWS)
    wrong: list[Any] = []

    def work() -> None:
        for _ in range(200):
            if pipeline.transform(ROWS) != expected:
                wrong.append(1)
            pipeline.fit(ROWS)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert pipeline.transformations_applied == 801
    assert copy.copy(pipeline).transform(ROWS) == expected
