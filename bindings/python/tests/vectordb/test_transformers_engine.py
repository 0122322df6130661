"""The engine's transformations: against scikit-learn, batch by batch, and back again."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn import preprocessing
from sklearn.impute import SimpleImputer
from vectordb.transformers import ColumnFit, ColumnTransformer, EncoderFit, ImputerFit, ScalerFit, Steps, StepsFit

from vectordb import transformers

ROWS = np.random.default_rng(3).normal(3.0, 2.0, size=(200, 3))


@pytest.mark.parametrize(
    ("step", "other"),
    [
        (transformers.scale(), preprocessing.StandardScaler()),
        (transformers.scale("standard", centre=False), preprocessing.StandardScaler(with_mean=False)),
        (transformers.scale("min_max", high=2.0), preprocessing.MinMaxScaler((0, 2))),
        (transformers.scale("max_abs"), preprocessing.MaxAbsScaler()),
        (transformers.scale("robust"), preprocessing.RobustScaler()),
        (transformers.normalize("l1"), preprocessing.Normalizer("l1")),
        (transformers.power(), preprocessing.PowerTransformer(standardize=False)),
        (transformers.polynomial(2), preprocessing.PolynomialFeatures(2)),
        (
            transformers.bin_numbers(4, "uniform"),
            preprocessing.KBinsDiscretizer(4, encode="ordinal", strategy="uniform"),
        ),
        (transformers.quantile(50), preprocessing.QuantileTransformer(n_quantiles=50)),
        (transformers.clip(2, 4), preprocessing.FunctionTransformer(lambda rows: np.clip(rows, 2, 4))),
        (
            transformers.log1p(),
            preprocessing.FunctionTransformer(lambda rows: np.log1p(np.where(rows > -1, rows, np.nan))),
        ),
    ],
    ids=str,
)
def test_steps_are_those_of_scikit_learn(step: Any, other: Any) -> None:
    """As JSON and pickled, too."""
    steps = Steps.fit([step], ROWS)
    expected = other.fit_transform(ROWS)
    if expected.shape[1] != steps.outputs:
        expected = expected[:, expected.shape[1] - steps.outputs :]
    made = steps.transform(ROWS)
    np.testing.assert_allclose(made, expected, rtol=1e-6, atol=1e-6)
    for copy in (Steps.from_json(steps.to_json()), pickle.loads(pickle.dumps(steps))):
        assert copy == steps
        np.testing.assert_array_equal(copy.transform(ROWS), made)


def test_gaps_are_filled_and_marked() -> None:
    """As scikit-learn does."""
    rows = np.where(ROWS > 4, np.nan, ROWS)
    for filling in ("mean", "median", "most_frequent"):
        made = Steps.fit([transformers.impute(filling)], rows).transform(rows)
        np.testing.assert_allclose(made, SimpleImputer(strategy=filling).fit_transform(rows), rtol=1e-12)
    marked = Steps.fit([transformers.impute(0.0, mark=True)], rows)
    assert marked.names(["a", "b", "c"])[3:] == ["missingindicator_a", "missingindicator_b", "missingindicator_c"]
    np.testing.assert_array_equal(marked.transform(rows)[:, 3:], np.isnan(rows))


def test_fits_of_parts_are_the_fit_of_all() -> None:
    """By batches, and merged."""
    first = ScalerFit(transformers.scale(), 3).partial_fit(ROWS[:50]).partial_fit(ROWS[50:120])
    first.merge(ScalerFit(transformers.scale(), 3).partial_fit(ROWS[120:]))
    assert first.counts == [200, 200, 200]
    expected = preprocessing.StandardScaler().fit_transform(ROWS)
    np.testing.assert_allclose(first.finish().transform(ROWS), expected, rtol=1e-10)
    imputer = ImputerFit(transformers.impute("mean"), 3).partial_fit(ROWS[:20])
    imputer.merge(ImputerFit(transformers.impute("mean"), 3).partial_fit(ROWS[20:]))
    np.testing.assert_allclose(imputer.finish().transform([[np.nan] * 3])[0], ROWS.mean(axis=0), rtol=1e-12)
    texts = EncoderFit("ignore").partial_fit(["cafe", "bank", None]).partial_fit(["cafe"])
    texts.merge(EncoderFit("ignore").partial_fit(["zoo"]))
    assert texts.counts == {"bank": 1, "cafe": 2, "zoo": 1}
    texts.forget_rare(2)
    encoder = texts.finish("ordinal", "ignore")
    assert (encoder.categories, encoder.transform(["cafe", "zoo"]).tolist()) == (["cafe"], [[0.0], [-1.0]])
    assert encoder.inverse([[0.0]]) == ["cafe"]


def test_steps_and_columns_are_fitted_in_parts() -> None:
    """By batches, and merged: as one fit of all rows."""
    rows = np.where(ROWS > 4, np.nan, ROWS)
    steps = [transformers.impute("mean"), transformers.clip(-1, 5), transformers.scale()]
    first = StepsFit(steps, 3).partial_fit(rows[:30]).partial_fit(rows[30:90])
    first.merge(StepsFit(steps, 3).partial_fit(rows[90:]))
    expected = Steps.fit(steps, rows).transform(rows)
    np.testing.assert_allclose(first.finish().transform(rows), expected, rtol=1e-10, atol=1e-10)

    table = pl.DataFrame({"a": rows[:, 0], "b": rows[:, 1], "c": ["x", "y", None, "z"] * 50}, strict=False)
    plan = transformers.column_plan(
        [
            transformers.route("numbers", ["b", "a"], steps=steps),
            transformers.route("kind", ["c"], transformers.encode(missing="ignore")),
        ],
        numbers=["a", "b"],
        texts=["c"],
    )
    monday = ColumnFit(plan).partial_fit(table[:1]).partial_fit(table[1:150])
    monday.merge(ColumnFit(plan).partial_fit(table[150:]))
    fitted, whole = monday.finish(), ColumnTransformer.fit(plan, table)
    assert fitted.output_names == whole.output_names
    np.testing.assert_allclose(fitted.transform(table), whole.transform(table), rtol=1e-10, atol=1e-10)


def test_what_cannot_be_fitted_in_parts_says_so() -> None:
    """With the route and the step."""
    with pytest.raises(ValueError, match="step 1: it has no fit by batches"):
        StepsFit([transformers.log1p(), transformers.quantile(5)], 3)
    route = transformers.route("mean", ["city"], transformers.encode_target())
    with pytest.raises(ValueError, match='route "mean": encoding by a target'):
        ColumnFit(transformers.column_plan([route], texts=["city"]))
    plan = [transformers.scale()]
    with pytest.raises(ValueError, match="different steps"):
        StepsFit(plan, 1).merge(StepsFit([transformers.log1p()], 1))


def test_columns_of_several_kinds_and_back() -> None:
    """From a dict and from polars: scikit-learn's names and numbers."""
    data = {
        "age": [20.0, 30.0, 40.0, 50.0],
        "city": ["Oulu", "Turku", "Oulu", "Espoo"],
        "seen": np.array(["2026-11-29T12", "2026-11-30T00", "2026-12-01T06", "2026-12-02T18"], "datetime64[us]"),
    }
    plan = transformers.column_plan(
        [
            transformers.route("scaled", ["age"], steps=[transformers.scale()]),
            transformers.route("place", ["city"], transformers.encode()),
            transformers.route("when", ["seen"], transformers.dates(["weekday", "is_weekend", {"cosine": "hour"}])),
        ],
        numbers=["age", "seen"],
        texts=["city"],
    )
    fitted = ColumnTransformer.fit(plan, data)
    assert fitted.output_names[:4] == ["scaled__age", "place__city_Espoo", "place__city_Oulu", "place__city_Turku"]
    made = fitted.transform(pl.DataFrame(data))
    ages = np.array(data["age"])[:, None]
    np.testing.assert_allclose(made[:, :1], preprocessing.StandardScaler().fit_transform(ages), rtol=1e-12)
    cities = np.array(data["city"])[:, None]
    np.testing.assert_array_equal(made[:, 1:4], preprocessing.OneHotEncoder(sparse_output=False).fit_transform(cities))
    np.testing.assert_allclose(made[:, 4:], [[6, 1, -1], [0, 0, 1], [1, 0, 0], [2, 0, 0]], atol=1e-12)
    for copy in (ColumnTransformer.from_json(fitted.to_json()), pickle.loads(pickle.dumps(fitted))):
        assert (copy, copy.version) == (fitted, fitted.version)
    two = ColumnTransformer.fit({**plan, "routes": plan["routes"][:2]}, data)
    back = two.inverse(two.transform(data))
    np.testing.assert_allclose(back["age"], np.array(data["age"]))
    assert back["city"] == data["city"]


def test_a_target_encodes_texts() -> None:
    """With the mean of each category, shrunk by so many rows."""
    plan = transformers.column_plan(
        [transformers.route("mean", ["city"], transformers.encode_target(2.0))], texts=["city"]
    )
    fitted = ColumnTransformer.fit(plan, {"city": ["a", "a", "b", "b"]}, target=[1.0, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(fitted.transform({"city": ["a", "b"]})[:, 0], [(2 + 2 * 0.75) / 4, (1 + 2 * 0.75) / 4])


def test_what_makes_no_sense_is_refused() -> None:
    """With the place."""
    with pytest.raises(ValueError, match="plan of steps"):
        Steps.fit([{"skale": "max_abs"}], ROWS)
    with pytest.raises(ValueError, match="infinite"):
        Steps.fit([transformers.scale()], [[np.inf]])
    with pytest.raises(ValueError, match="two dimensions"):
        Steps.fit([transformers.scale()], [1.0])
    plan = transformers.column_plan([transformers.route("place", ["city"], transformers.encode())], texts=["city"])
    fitted = ColumnTransformer.fit(plan, {"city": ["a"]})
    with pytest.raises(ValueError, match="b"):
        fitted.transform({"city": ["b"]})
    with pytest.raises(TypeError, match="no text"):
        fitted.transform({"city": [1]})
    with pytest.raises(ValueError):
        Steps.from_json("{}")


def test_many_rows_become_what_few_become() -> None:
    """They go in blocks between which Ctrl-C is heard; errors name rows of the whole batch."""
    count = 150_001
    rows = np.resize(ROWS, (count, 3))
    steps = Steps.fit([transformers.power(), transformers.polynomial(2)], ROWS)
    made = steps.transform(rows)
    np.testing.assert_array_equal(made, np.resize(steps.transform(ROWS), (count, steps.outputs)))
    np.testing.assert_array_equal(steps.inverse(made), np.resize(steps.inverse(steps.transform(ROWS)), (count, 3)))
    assert steps.transform(rows[:0]).shape == (0, steps.outputs)
    with pytest.raises(ValueError, match="3"):
        steps.transform(rows[:0, :2])

    cities = [f"city {at % 7}" for at in range(count)]
    plan = transformers.column_plan(
        [
            transformers.route("n", ["a"], steps=[transformers.scale()]),
            transformers.route("c", ["city"], transformers.encode()),
        ],
        numbers=["a"],
        texts=["city"],
    )
    table = {"a": rows[:, 0], "city": cities}
    few = {"a": rows[:200, 0], "city": cities[:200]}
    columns = ColumnTransformer.fit(plan, few)
    made = columns.transform(table)
    for part in (slice(0, 200), slice(count - 200, count)):
        some = {"a": rows[part, 0], "city": cities[part]}
        np.testing.assert_array_equal(made[part], columns.transform(some))
    back = columns.inverse(made)
    np.testing.assert_allclose(back["a"], rows[:, 0], rtol=1e-12)
    assert back["city"] == cities
    encoder = EncoderFit().partial_fit(cities[:7]).finish()
    assert encoder.inverse(encoder.transform(cities)) == cities
    cities[140_000] = "nowhere"
    with pytest.raises(ValueError, match=r"row 140000.*nowhere"):
        columns.transform(table)
    with pytest.raises(ValueError, match=r"row 140000.*nowhere"):
        encoder.transform(cities)
    # Sorted in a thread of their own, and the same for all that.
    assert (
        Steps.fit([transformers.scale("robust")], rows)
        == StepsFit([transformers.scale("robust")], 3).partial_fit(rows).finish()
    )
