"""Estimators beside scikit-learn's own: its checks, its results, its pipelines."""

import pickle
from typing import Any

import numpy as np
import pytest
import sklearn.impute
import sklearn.preprocessing
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from vectordb import sklearn as ours

ESTIMATORS: list[Any] = [
    ours.StandardScaler(),
    ours.MinMaxScaler(),
    ours.MaxAbsScaler(),
    ours.RobustScaler(),
    ours.Normalizer(),
    ours.SimpleImputer(),
    ours.OneHotEncoder(),
    ours.OrdinalEncoder(),
]


@parametrize_with_checks(ESTIMATORS)  # type: ignore[untyped-decorator]
def test_protocol(estimator: Any, check: Any) -> None:
    check(estimator)


def test_no_check_is_left_out() -> None:
    """A battery that is skipped is green too."""
    assert [sum(1 for _ in estimator_checks_generator(each)) for each in ESTIMATORS] == [53] + [46] * 7


PAIRS: list[tuple[Any, Any]] = [
    (ours.StandardScaler(), sklearn.preprocessing.StandardScaler()),
    (ours.StandardScaler(with_mean=False), sklearn.preprocessing.StandardScaler(with_mean=False)),
    (ours.StandardScaler(with_std=False), sklearn.preprocessing.StandardScaler(with_std=False)),
    (ours.MinMaxScaler(), sklearn.preprocessing.MinMaxScaler()),
    (ours.MinMaxScaler((-2, 3), clip=True), sklearn.preprocessing.MinMaxScaler((-2, 3), clip=True)),
    (ours.MaxAbsScaler(), sklearn.preprocessing.MaxAbsScaler()),
    (ours.RobustScaler(), sklearn.preprocessing.RobustScaler()),
    (ours.RobustScaler(with_centering=False), sklearn.preprocessing.RobustScaler(with_centering=False)),
    (ours.RobustScaler(with_scaling=False), sklearn.preprocessing.RobustScaler(with_scaling=False)),
    (ours.Normalizer("l1"), sklearn.preprocessing.Normalizer("l1")),
    (ours.Normalizer(), sklearn.preprocessing.Normalizer()),
    (ours.Normalizer("max"), sklearn.preprocessing.Normalizer("max")),
    (ours.SimpleImputer(), sklearn.impute.SimpleImputer()),
    (ours.SimpleImputer(strategy="median"), sklearn.impute.SimpleImputer(strategy="median")),
    (ours.SimpleImputer(strategy="most_frequent"), sklearn.impute.SimpleImputer(strategy="most_frequent")),
    (
        ours.SimpleImputer(strategy="constant", fill_value=7),
        sklearn.impute.SimpleImputer(strategy="constant", fill_value=7),
    ),
]


def rows_of(dtype: Any, with_gaps: bool) -> Any:
    """Random rows, with a constant column."""
    draw = np.random.default_rng(3)
    rows = np.round(draw.normal(5, 3, (500, 7)), 1)
    rows[:, 3] = 14.62
    if with_gaps:
        rows[draw.random(rows.shape) < 0.1] = np.nan
    return rows.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("with_gaps", [False, True])
@pytest.mark.parametrize(("own", "other"), PAIRS)
def test_results_are_scikit_learns(own: Any, other: Any, dtype: Any, with_gaps: bool) -> None:
    if with_gaps and isinstance(own, ours.Normalizer):
        pytest.skip("rows with gaps have no length")
    rows = rows_of(dtype, with_gaps)
    own, other = clone(own).fit(rows), clone(other).fit(rows)
    mine, theirs = own.transform(rows), other.transform(rows)
    assert mine.dtype == theirs.dtype == dtype
    np.testing.assert_allclose(mine, theirs, rtol=1e-12 if dtype is np.float64 else 1e-5, atol=1e-5)
    if dtype is np.float64 and not with_gaps:
        assert mine.tobytes() == theirs.tobytes()
    if hasattr(other, "inverse_transform") and not hasattr(own, "strategy"):
        np.testing.assert_allclose(own.inverse_transform(mine), other.inverse_transform(theirs), rtol=1e-5, atol=1e-5)
    again = pickle.loads(pickle.dumps(own))
    assert again.transform(rows).tobytes() == mine.tobytes()
    assert list(own.get_feature_names_out()) == [f"x{i}" for i in range(7)]


@pytest.mark.parametrize("name", ["StandardScaler", "MinMaxScaler", "MaxAbsScaler"])
def test_batches_are_scikit_learns(name: str) -> None:
    rows = rows_of(np.float64, True)
    own, other = getattr(ours, name)(), getattr(sklearn.preprocessing, name)()
    for batch in np.array_split(rows, 4):
        own = pickle.loads(pickle.dumps(own.partial_fit(batch)))
        other.partial_fit(batch)
    np.testing.assert_allclose(own.transform(rows), other.transform(rows), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(np.broadcast_to(own.n_samples_seen_, 7), np.count_nonzero(~np.isnan(rows), axis=0))


def test_arrays_stay_where_they_are() -> None:
    rows = rows_of(np.float64, False)
    before = rows.copy()
    scaler = ours.StandardScaler().fit(rows)
    assert not np.shares_memory(scaler.transform(rows), rows)
    assert (rows == before).all()
    in_place = clone(scaler).set_params(copy=False).fit(rows)
    assert np.shares_memory(in_place.transform(rows), rows)


def test_in_a_pipeline_and_a_column_transformer() -> None:
    rows = rows_of(np.float64, True)
    model = ColumnTransformer(
        [
            ("scaled", Pipeline([("fill", ours.SimpleImputer()), ("scale", ours.StandardScaler())]), [0, 1, 2]),
            ("ranged", ours.MinMaxScaler(), [4, 5]),
        ],
        remainder="passthrough",
    )
    plain = ColumnTransformer(
        [
            (
                "scaled",
                Pipeline([("fill", sklearn.impute.SimpleImputer()), ("scale", sklearn.preprocessing.StandardScaler())]),
                [0, 1, 2],
            ),
            ("ranged", sklearn.preprocessing.MinMaxScaler(), [4, 5]),
        ],
        remainder="passthrough",
    )
    np.testing.assert_allclose(model.fit_transform(rows), plain.fit_transform(rows), rtol=1e-12, atol=1e-12)


def test_what_makes_no_sense_is_refused() -> None:
    rows = rows_of(np.float64, False)
    for bad in (
        ours.MinMaxScaler((1, 0)),
        ours.RobustScaler(quantile_range=(80, 20)),
        ours.SimpleImputer(strategy="guess"),
    ):
        with pytest.raises(ValueError):
            bad.fit(rows)
    with pytest.raises(ValueError):
        ours.Normalizer("l7").fit(rows).transform(rows)
    with pytest.raises(ValueError):
        ours.StandardScaler().fit(rows).transform(rows[:, :3])
    with pytest.raises(ValueError):
        ours.StandardScaler().fit(np.full((3, 2), np.nan))


@pytest.mark.parametrize("splits", [1, 3])
def test_weights_are_scikit_learns(splits: int) -> None:
    """In one batch or several, the last of them without weights."""
    rows, weights = rows_of(np.float64, True), np.random.default_rng(9).integers(0, 4, 500).astype(float)
    own, other = ours.StandardScaler(), sklearn.preprocessing.StandardScaler()
    for batch, share in zip(np.array_split(rows, splits), np.array_split(weights, splits)):
        own = pickle.loads(pickle.dumps(own.partial_fit(batch, sample_weight=share)))
        other.partial_fit(batch, sample_weight=share)
    own.partial_fit(rows[:50])
    other.partial_fit(rows[:50], sample_weight=np.ones(50))
    for name in ("mean_", "var_", "n_samples_seen_", "scale_"):
        np.testing.assert_allclose(getattr(own, name), getattr(other, name), rtol=1e-9, atol=1e-12)
    repeated = sklearn.preprocessing.StandardScaler().fit(np.repeat(rows, weights.astype(int), axis=0))
    np.testing.assert_allclose(ours.StandardScaler().fit(rows, sample_weight=weights).mean_, repeated.mean_, rtol=1e-12)
    with pytest.raises(ValueError, match="negative"):
        ours.StandardScaler().fit(rows, sample_weight=-weights)


WORDS: Any = np.array([["b", "x"], ["a", None], ["c", "x"], ["a", "y"]], dtype=object)
NUMBERS: Any = np.array([[3.0, 1.0], [1.0, np.nan], [2.0, 1.0], [1.0, 5.0]])


@pytest.mark.parametrize("rows", [WORDS, NUMBERS, NUMBERS[:, :1].astype(int), [["a", 1], ["b", 2]]], ids=str)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("OneHotEncoder", {}),
        ("OneHotEncoder", {"sparse_output": False, "drop": "first"}),
        ("OneHotEncoder", {"drop": "if_binary", "dtype": np.float32}),
        ("OrdinalEncoder", {}),
        ("OrdinalEncoder", {"encoded_missing_value": -2}),
    ],
)
def test_categories_are_scikit_learns(name: str, options: Any, rows: Any) -> None:
    """There and back, with missing values."""
    own = getattr(ours, name)(**options).fit(rows)
    other = getattr(sklearn.preprocessing, name)(**options).fit(rows)
    for mine, theirs in zip(own.categories_, other.categories_):
        np.testing.assert_array_equal(mine, theirs)
    mine, theirs = own.transform(rows), other.transform(rows)
    assert (type(mine).__module__.split(".")[0], mine.dtype) == (type(theirs).__module__.split(".")[0], theirs.dtype)
    dense = [made.toarray() if hasattr(made, "toarray") else made for made in (mine, theirs)]
    np.testing.assert_array_equal(dense[0], dense[1])
    np.testing.assert_array_equal(own.inverse_transform(mine), other.inverse_transform(theirs))
    assert list(own.get_feature_names_out()) == list(other.get_feature_names_out())


def test_unknown_categories_are_refused_or_marked() -> None:
    """As the parameter says; given categories keep their order."""
    one_hot = ours.OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(WORDS)
    assert one_hot.transform(np.array([["z", "x"]], dtype=object)).tolist() == [[0, 0, 0, 1, 0, 0]]
    assert one_hot.inverse_transform([[0, 0, 0, 1, 0, 0]]).tolist() == [[None, "x"]]
    ordinal = ours.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(WORDS)
    assert ordinal.transform(np.array([["z", "y"]], dtype=object)).tolist() == [[-1, 1]]
    given = ours.OrdinalEncoder(categories=[["small", "big"]]).fit([["big"]])
    assert given.transform([["small"], ["big"]]).tolist() == [[0], [1]]
    with pytest.raises(ValueError, match="unknown categories"):
        ours.OneHotEncoder().fit(WORDS).transform(np.array([["z", "x"]], dtype=object))
    with pytest.raises(ValueError, match="unknown categories"):
        ours.OrdinalEncoder(categories=[["small"]]).fit([["big"]])
