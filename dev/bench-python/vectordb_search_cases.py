"""`vectordb.search` beside plain loops, and two threads of searches beside one that does the work of both."""

import math
from concurrent.futures import ThreadPoolExecutor
from random import Random

from bench_case import Case
from vectordb.collections import VectorDb
from vectordb.search import ExactIndex, GraphIndex

K = 10
DIMENSION = 64


def vectors(seed: int, count: int) -> list[list[float]]:
    """Gaussian vectors in 40 groups, rounded to what 32 bits hold."""
    random = Random(seed)
    centres = [[random.gauss(0, 1) for _ in range(DIMENSION)] for _ in range(40)]
    return [[round((x + random.gauss(0, 0.5)) * 64) / 64 for x in random.choice(centres)] for _ in range(count)]


def plain_nearest(rows: list[list[float]], query: list[float]) -> list[int]:
    """By the distance to every row."""
    order = sorted(range(len(rows)), key=lambda at: math.dist(rows[at], query))
    return order[:K]


def cases() -> list[Case]:
    """Searches of 10,000 vectors, and how they go on two threads."""
    rows, queries = vectors(1, 10_000), vectors(2, 4)
    exact, graph = ExactIndex(rows), GraphIndex(rows)
    films = VectorDb().create_collection("films", DIMENSION, {"year": int})
    years = [1950 + at % 70 for at in range(len(rows))]
    films.upsert_many(range(len(rows)), rows, [{"year": year} for year in years])
    recent = [row for row, year in zip(rows, years, strict=True) if year >= 2000]
    many = [queries[0]] * 400
    pool = ThreadPoolExecutor(2)

    def check() -> None:
        for query in queries:
            truth = plain_nearest(rows, query)
            if list(exact.search(query, K)[0]) != truth:
                raise AssertionError
            if len(set(graph.search(query, K, effort=400)[0]) & set(truth)) < K - 1:
                raise AssertionError

    def filtered() -> list[object]:
        return [hit.id for hit in films.search(queries[0], K, filter="year >= 2000", select=[])]

    def search_all(part: list[list[float]]) -> None:
        for query in part:
            exact.search(query, K)

    return [
        Case(
            "vectordb.search ExactIndex.search 10,000 x 64",
            lambda: exact.search(queries[0], K),
            lambda: plain_nearest(rows, queries[0]),
            bulk=True,
            check=check,
        ),
        Case(
            "vectordb.search GraphIndex.search 10,000 x 64",
            lambda: graph.search(queries[0], K),
            lambda: plain_nearest(rows, queries[0]),
            bulk=True,
        ),
        Case(
            "vectordb.collections search with a filter 10,000 x 64",
            filtered,
            lambda: plain_nearest(recent, queries[0]),
            bulk=True,
        ),
        # Not beside plain Python: the ratio is how much two threads do more than one, for none holds the GIL.
        Case(
            "vectordb.search 400 searches on 2 threads beside 1",
            lambda: list(pool.map(search_all, (many[:200], many[200:]))),
            lambda: search_all(many),
            operations=len(many),
            bulk=True,
        ),
    ]
