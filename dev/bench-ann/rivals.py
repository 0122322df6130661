"""Serves one library that Python has bindings for to the benchmark `ann`.

Commands come as JSON lines on standard input, answers go to standard output in the same way; vectors and answers travel
in files of plain numbers. One process holds one library, so that no two of them share threads, an allocator or a crash.
The commands are those of `src/protocol.rs`.
"""

import ctypes
import gc
import importlib
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

Rows = Any
"""A NumPy array of 32-bit floats, one row a vector."""
Answers = Any
"""A NumPy array of row numbers, one row a query; -1 where nothing was found."""

HALF_MILLION = 500_000
DEGREE = 32
WIDTH = 200
"""Candidates kept while a graph is built, the same for every graph."""


class Rival:
    """What a library must do to take part."""

    package: ClassVar[str]
    """Where the library comes from."""
    module: ClassVar[str]
    """What it is called in Python."""
    efforts: ClassVar[tuple[int, ...]] = (10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 900, 1280)
    filters: ClassVar[bool] = False
    updates: ClassVar[bool] = False

    def __init__(self, metric: str) -> None:
        self.is_l2 = metric == "l2"

    def build(self, base: Rows, threads: int) -> None:
        """Makes the index; vectors of the metric `cosine` have length 1."""
        raise NotImplementedError

    def prepare(self, threads: int) -> None:
        """What is neither building nor searching: tuning on the machine."""

    def set(self, effort: int) -> None:
        """Takes the effort of the searches that follow."""
        raise NotImplementedError

    def search(self, queries: Rows, k: int) -> Answers:
        """All queries in one call, on one thread."""
        raise NotImplementedError

    def allow(self, masks: list[Rows]) -> None:
        """Makes filters of masks, one byte a row; not timed."""
        raise NotImplementedError

    def search_allowed(self, queries: Rows, k: int, mask: int) -> Answers:
        """As `search`, among the rows of one of the masks."""
        raise NotImplementedError

    def remove(self, rows: Rows) -> None:
        """Removes rows by number."""
        raise NotImplementedError

    def insert(self, rows: Rows, vectors: Rows, threads: int) -> None:
        """Brings removed rows back."""
        raise NotImplementedError


class Hnswlib(Rival):
    package = "hnswlib"
    module = "hnswlib"
    filters = True
    updates = True

    def build(self, base: Rows, threads: int) -> None:
        import hnswlib

        self.rows = len(base)
        self.index = hnswlib.Index(space="l2" if self.is_l2 else "ip", dim=base.shape[1])
        self.index.init_index(
            max_elements=self.rows, ef_construction=WIDTH, M=DEGREE // 2, random_seed=1, allow_replace_deleted=True
        )
        self.index.add_items(base, np.arange(self.rows), num_threads=threads)
        # A label says how often its row came back, for a removed label cannot be used again.
        self.label = np.arange(self.rows)

    def set(self, effort: int) -> None:
        self.index.set_ef(effort)

    def search(self, queries: Rows, k: int) -> Answers:
        return self.index.knn_query(queries, k=k, num_threads=1)[0] % self.rows

    def allow(self, masks: list[Rows]) -> None:
        # Its filter is a Python function here; a method of a list is the cheapest there is.
        self.masks = [mask.astype(bool).tolist() for mask in masks]

    def search_allowed(self, queries: Rows, k: int, mask: int) -> Answers:
        found = []
        for query in queries:
            try:
                ids = self.index.knn_query(query, k=k, num_threads=1, filter=self.masks[mask].__getitem__)[0]
            except RuntimeError:
                # Fewer than k found is an error in this library, and nothing comes back.
                ids = np.full((1, k), -1, dtype=np.int64)
            found.append(ids)
        return np.concatenate(found)

    def remove(self, rows: Rows) -> None:
        for label in self.label[rows]:
            self.index.mark_deleted(label)

    def insert(self, rows: Rows, vectors: Rows, threads: int) -> None:
        self.label[rows] += self.rows
        self.index.add_items(vectors, self.label[rows], num_threads=threads, replace_deleted=True)


class Faiss(Rival):
    package = "faiss-cpu"
    module = "faiss"

    def train(self, factory: str, base: Rows, threads: int) -> None:
        import faiss

        self.faiss = faiss
        faiss.omp_set_num_threads(threads)
        metric = faiss.METRIC_L2 if self.is_l2 else faiss.METRIC_INNER_PRODUCT
        self.index = faiss.index_factory(base.shape[1], factory, metric)
        inner = faiss.downcast_index(getattr(self.index, "base_index", self.index))
        if hasattr(inner, "hnsw"):
            inner.hnsw.efConstruction = WIDTH
        if not self.index.is_trained:
            self.index.train(base)
        self.index.add(base)
        self.parameters: Any = None

    def prepare(self, threads: int) -> None:
        self.faiss.omp_set_num_threads(threads)

    def search(self, queries: Rows, k: int) -> Answers:
        return self.index.search(queries, k, params=self.parameters)[1]

    def allow(self, masks: list[Rows]) -> None:
        bits = [np.packbits(mask, bitorder="little") for mask in masks]
        self.selectors = [self.faiss.IDSelectorBitmap(mask) for mask in bits]
        self.bits = bits


class FaissHnsw(Faiss):
    filters = True
    factory = f"HNSW{DEGREE // 2},Flat"

    def build(self, base: Rows, threads: int) -> None:
        self.train(self.factory, base, threads)

    def set(self, effort: int) -> None:
        self.parameters = self.faiss.SearchParametersHNSW(efSearch=effort)

    def search_allowed(self, queries: Rows, k: int, mask: int) -> Answers:
        self.parameters.sel = self.selectors[mask]
        return self.search(queries, k)


class FaissHnswSq8(FaissHnsw):
    filters = False
    factory = f"HNSW{DEGREE // 2},SQ8"


class FaissLists(Faiss):
    """Lists of codes, of which the best few are compared by the vectors themselves."""

    efforts = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
    codes = ""

    def build(self, base: Rows, threads: int) -> None:
        lists = 1024 if len(base) < HALF_MILLION else 4096
        dimension = base.shape[1]
        self.train(f"IVF{lists},{self.codes.format(half=dimension // 2)},RFlat", base, threads)

    def set(self, effort: int) -> None:
        inner = self.faiss.SearchParametersIVF(nprobe=effort)
        self.parameters = self.faiss.IndexRefineSearchParameters(k_factor=10, base_index_params=inner)


class FaissFastScan(FaissLists):
    codes = "PQ{half}x4fs"


class FaissRabitq(FaissLists):
    codes = "RaBitQfs"


class FaissFlat(Faiss):
    filters = True
    efforts = (1,)

    def build(self, base: Rows, threads: int) -> None:
        self.train("Flat", base, threads)

    def set(self, effort: int) -> None:
        del effort  # It compares with everything.
        self.parameters = None

    def search_allowed(self, queries: Rows, k: int, mask: int) -> Answers:
        self.parameters = self.faiss.SearchParameters(sel=self.selectors[mask])
        return self.search(queries, k)


class FaissFlatBlas(FaissFlat):
    """Batches as a product of matrices, which this version does from 128,000 numbers in the queries on."""

    filters = False

    def build(self, base: Rows, threads: int) -> None:
        super().build(base, threads)
        self.faiss.cvar.distance_compute_blas_threshold = 20 * base.shape[1]


class Glass(Rival):
    """Zilliz's pyglass, in wheels that were built for any processor."""

    package = "pyglass-portable"
    module = "glass"
    codes = "SQ8U"
    refine = "FP32"

    def build(self, base: Rows, threads: int) -> None:
        import glass

        glass.set_num_threads(threads)
        metric = "L2" if self.is_l2 else "IP"
        self.graph = glass.Index("HNSW", metric, quant="SQ8U", R=DEGREE, L=WIDTH).build(base)
        self.searcher = glass.Searcher(self.graph, base, metric, self.codes, self.refine)

    def prepare(self, threads: int) -> None:
        self.searcher.set_ef(64)
        self.searcher.optimize(threads)

    def set(self, effort: int) -> None:
        self.searcher.set_ef(effort)

    def search(self, queries: Rows, k: int) -> Answers:
        if len(queries) == 1:
            return np.asarray(self.searcher.search(queries[0], k)[0])
        return np.asarray(self.searcher.batch_search(queries, k, 1)[0])


class GlassSq8Only(Glass):
    refine = ""


class GlassSq4(Glass):
    codes = "SQ4U"


class Symphony(Rival):
    """SymphonyQG by the authors of RaBitQ: the codes of its neighbours lie with each vertex."""

    package = "rabitqlib"
    module = "rabitqlib"
    bits = 0

    def build(self, base: Rows, threads: int) -> None:
        import rabitqlib

        self.index = rabitqlib.SymqgIndex(
            base.shape[1], DEGREE, "l2" if self.is_l2 else "ip", quantization_bits=self.bits
        )
        self.index.build(base, WIDTH, threads)

    def set(self, effort: int) -> None:
        self.effort = effort

    def search(self, queries: Rows, k: int) -> Answers:
        return self.index.search(queries, k, max(self.effort, k), 1)[0]


class Symphony8(Symphony):
    bits = 8


class RabitqLists(Rival):
    """Lists of RaBitQ codes of 7 bits, without the vectors."""

    package = "rabitqlib"
    module = "rabitqlib"
    efforts = FaissLists.efforts
    bits = 7

    def build(self, base: Rows, threads: int) -> None:
        import rabitqlib

        lists = 1024 if len(base) < HALF_MILLION else 4096
        dimension = base.shape[1]
        clusters = rabitqlib.RaBitQKMeans(
            dimension, lists, num_threads=threads, final_assignment=rabitqlib.FinalAssignmentMode.Exact
        )
        clusters.train(base)
        self.index = rabitqlib.IvfIndex(dimension, len(base), lists, self.bits, "l2" if self.is_l2 else "ip")
        self.index.build(base, clusters.centroids, clusters.assignments, threads)

    def set(self, effort: int) -> None:
        self.effort = effort

    def search(self, queries: Rows, k: int) -> Answers:
        return self.index.search(queries, k, self.effort, num_threads=1)[0]


class RabitqListsRaw(RabitqLists):
    bits = 32


class RabitqGraph(Rival):
    package = "rabitqlib"
    module = "rabitqlib"

    def build(self, base: Rows, threads: int) -> None:
        import rabitqlib

        dimension = base.shape[1]
        clusters = rabitqlib.RaBitQKMeans(
            dimension, 16, num_threads=threads, final_assignment=rabitqlib.FinalAssignmentMode.Exact
        )
        clusters.train(base)
        self.index = rabitqlib.HnswIndex(dimension, len(base), DEGREE // 2, WIDTH, 8, "l2" if self.is_l2 else "ip")
        self.index.build(base, clusters.centroids, clusters.assignments, threads)

    def set(self, effort: int) -> None:
        self.effort = effort

    def search(self, queries: Rows, k: int) -> Answers:
        return self.index.search(queries, k, max(self.effort, k), 1)[0]


class Svs(Rival):
    """Intel's Scalable Vector Search with vectors as they are: its codes refuse processors of others."""

    package = "scalable-vs"
    module = "svs"
    scalar: ClassVar[Any] = np.float32

    def build(self, base: Rows, threads: int) -> None:
        import svs

        parameters = svs.VamanaBuildParameters(
            graph_max_degree=DEGREE, window_size=WIDTH, alpha=1.2 if self.is_l2 else 0.95
        )
        distance = svs.DistanceType.L2 if self.is_l2 else svs.DistanceType.MIP
        self.index = svs.Vamana.build(parameters, base.astype(self.scalar), distance, num_threads=threads)

    def prepare(self, threads: int) -> None:
        self.index.num_threads = threads

    def set(self, effort: int) -> None:
        self.index.search_window_size = effort

    def search(self, queries: Rows, k: int) -> Answers:
        return self.index.search(queries, k)[0]


class SvsHalf(Svs):
    scalar = np.float16


class Ngt(Rival):
    """NGT's graph ANNG; the quantised ones are built by a program that its Python package does not have."""

    package = "ngt"
    module = "ngtpy"
    efforts = (0, 2, 4, 6, 8, 10, 12, 15, 20, 25, 30)

    def build(self, base: Rows, threads: int) -> None:
        import ngtpy

        self.ngtpy = ngtpy
        self.folder = tempfile.TemporaryDirectory()
        path = str(Path(self.folder.name) / "index")
        kind = "L2" if self.is_l2 else "Normalized Cosine"
        ngtpy.create(path, base.shape[1], edge_size_for_creation=DEGREE // 2, distance_type=kind)
        index = ngtpy.Index(path, log_disabled=True)
        index.batch_insert(base, num_threads=threads)
        index.save()
        index.close()
        self.index = ngtpy.Index(path, read_only=True, log_disabled=True)

    def set(self, effort: int) -> None:
        self.index.set(epsilon=effort / 100.0)

    def search(self, queries: Rows, k: int) -> Answers:
        found = np.full((len(queries), k), -1, dtype=np.int64)
        for at, query in enumerate(queries):
            ids = [pair[0] for pair in self.index.search(query, k)]
            found[at, : len(ids)] = ids
        return found


class Scann(Rival):
    package = "scann"
    module = "scann"
    efforts = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192)

    def build(self, base: Rows, threads: int) -> None:
        import scann

        leaves = 1024 if len(base) < HALF_MILLION else 4096
        builder = scann.scann_ops_pybind.builder(base, 10, "squared_l2" if self.is_l2 else "dot_product")
        builder = builder.tree(num_leaves=leaves, num_leaves_to_search=32, training_sample_size=min(len(base), 250_000))
        # As its authors advise: a code for each two dimensions, and the threshold that weighs errors along the vector.
        threshold = {} if self.is_l2 else {"anisotropic_quantization_threshold": 0.2}
        builder = builder.score_ah(2, **threshold).reorder(100)
        self.index = builder.set_n_training_threads(threads).build()

    def set(self, effort: int) -> None:
        self.effort = effort

    def search(self, queries: Rows, k: int) -> Answers:
        return self.index.search_batched(
            queries, final_num_neighbors=k, leaves_to_search=self.effort, pre_reorder_num_neighbors=100
        )[0]


RIVALS: dict[str, type[Rival]] = {
    "hnswlib": Hnswlib,
    "faiss hnsw": FaissHnsw,
    "faiss hnsw sq8": FaissHnswSq8,
    "faiss ivf fastscan": FaissFastScan,
    "faiss ivf rabitq": FaissRabitq,
    "faiss flat": FaissFlat,
    "faiss flat blas": FaissFlatBlas,
    "glass sq8": Glass,
    "glass sq8 only": GlassSq8Only,
    "glass sq4": GlassSq4,
    "symphonyqg": Symphony,
    "symphonyqg 8 bits": Symphony8,
    "rabitq hnsw": RabitqGraph,
    "rabitq ivf": RabitqLists,
    "rabitq ivf raw": RabitqListsRaw,
    "svs": Svs,
    "svs f16": SvsHalf,
    "ngt": Ngt,
    "scann": Scann,
}


def resident() -> int:
    """Bytes of this process's own memory; files that are mapped do not count."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def pin(cores: list[int]) -> None:
    """Keeps every thread of this process on these cores."""
    for task in Path("/proc/self/task").iterdir():
        try:
            os.sched_setaffinity(int(task.name), cores)
        except ProcessLookupError:
            continue


def timed(step: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    wall, processor = time.perf_counter(), time.process_time()
    result = step()
    return result, {"seconds": time.perf_counter() - wall, "processor_seconds": time.process_time() - processor}


class Server:
    def __init__(self, rival: type[Rival]) -> None:
        self.kind = rival
        self.core = 0

    def hello(self, _: dict[str, Any]) -> dict[str, Any]:
        importlib.import_module(self.kind.module)
        return {
            "version": importlib.metadata.version(self.kind.package),
            "efforts": self.kind.efforts,
            "filters": self.kind.filters,
            "updates": self.kind.updates,
        }

    def load(self, command: dict[str, Any]) -> dict[str, Any]:
        self.core = command["core"]
        pin([self.core])
        shape = (-1, command["dimension"])
        self.base = np.memmap(command["base"], dtype=np.float32, mode="r").reshape(shape)
        self.queries = np.array(np.fromfile(command["queries"], dtype=np.float32).reshape(shape))
        self.rival = self.kind(command["metric"])
        return {}

    def build(self, command: dict[str, Any]) -> dict[str, Any]:
        self.rival = self.kind("l2" if self.rival.is_l2 else "cosine")
        before = resident()
        pin(command["cores"])
        base = self.base.view(np.ndarray)
        _, figures = timed(lambda: self.rival.build(base, len(command["cores"])))
        self.rival.prepare(1)
        pin([self.core])
        return {**figures, "bytes": resident() - before}

    def search(self, command: dict[str, Any]) -> dict[str, Any]:
        queries, k = self.queries[: command["count"]], command["k"]
        self.rival.set(command["effort"])
        # So that caches and lazily made scratch space are those of a search that goes on.
        self.rival.search(queries[: max(1, len(queries) // 20)], k)
        ids, figures = timed(lambda: self.rival.search(queries, k))
        keep(ids, command)
        return figures

    def each(self, command: dict[str, Any]) -> dict[str, Any]:
        queries, k = self.queries[: command["count"]], command["k"]
        self.rival.set(command["effort"])
        self.rival.search(queries[:20], k)
        clock, times, found = time.perf_counter_ns, [], []
        processor = time.process_time()
        for at in range(len(queries)):
            query = queries[at : at + 1]
            begun = clock()
            ids = self.rival.search(query, k)
            times.append(clock() - begun)
            found.append(np.asarray(ids).reshape(k))
        processor = time.process_time() - processor
        keep(np.stack(found), command)
        return {"seconds": sum(times) / 1e9, "processor_seconds": processor, "nanoseconds": times}

    def allow(self, command: dict[str, Any]) -> dict[str, Any]:
        masks = np.fromfile(command["masks"], dtype=np.uint8).reshape(-1, len(self.base))
        self.rival.allow(list(masks))
        self.masks = len(masks)
        return {}

    def filtered(self, command: dict[str, Any]) -> dict[str, Any]:
        k, share = command["k"], command["count"] // self.masks
        self.rival.set(command["effort"])

        def run() -> list[Answers]:
            groups = ((mask, self.queries[mask * share : (mask + 1) * share]) for mask in range(self.masks))
            return [self.rival.search_allowed(queries, k, mask) for mask, queries in groups]

        found, figures = timed(run)
        keep(np.concatenate(found), command)
        return figures

    def churn(self, command: dict[str, Any]) -> dict[str, Any]:
        rows = np.fromfile(command["rows"], dtype=np.uint32).astype(np.int64)
        vectors = np.array(self.base[rows])
        pin(command["cores"])
        _, removal = timed(lambda: self.rival.remove(rows))
        _, insertion = timed(lambda: self.rival.insert(rows, vectors, len(command["cores"])))
        pin([self.core])
        return {"removal_seconds": removal["seconds"], "insertion_seconds": insertion["seconds"]}


def keep(ids: Answers, command: dict[str, Any]) -> None:
    shape = (-1, command["k"])
    np.ascontiguousarray(np.asarray(ids).reshape(shape), dtype=np.int64).astype(np.uint32).tofile(command["out"])


def main() -> None:
    # Some libraries print how far they are; what they print is for the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    server = Server(RIVALS[sys.argv[1]])
    for line in sys.stdin:
        command = json.loads(line)
        step: Callable[[dict[str, Any]], dict[str, Any]] = getattr(server, command["command"])
        try:
            answer = step(command)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
