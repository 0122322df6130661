"""How much more two threads get done than one, for operations that let go of the interpreter."""

import json
import random
import threading
import time
from collections.abc import Callable

from common.optimization.compression import compress_bytes, decompress_bytes
from vectordb import Vector, VectorIndex
from vectordb.indexing import ApproximateNearestNeighbor
from vectordb.transform import Scaler


def operations() -> dict[str, Callable[[], object]]:
    """What is called again and again."""
    chance = random.Random(5)
    vectors = [Vector([chance.gauss(0, 1) for _ in range(128)], str(at)) for at in range(10_000)]
    exact, approximate = VectorIndex(), ApproximateNearestNeighbor(128)
    exact.add_batch(vectors)
    approximate.add_batch(vectors)
    query = vectors[77]
    data = " ".join(f"word{chance.randrange(900)}" for _ in range(100_000)).encode()
    packed = compress_bytes(data)
    rows = {at: {f"f{feature}": chance.random() for feature in range(8)} for at in range(10_000)}
    scaler = Scaler()
    scaler.fit(rows)
    return {
        "VectorIndex.nearest 10000 x 128": lambda: exact.nearest(query, 10),
        "ApproximateNearestNeighbor.nearest 10000 x 128": lambda: approximate.nearest(query, 10),
        "compress_bytes 800 kB": lambda: compress_bytes(data),
        "decompress_bytes 800 kB": lambda: decompress_bytes(packed),
        "Scaler.transform 10k x 8": lambda: scaler.transform(rows),
    }


def calls_per_second(call: Callable[[], object], threads: int, seconds: float) -> float:
    """By all threads together."""
    counts = [0] * threads
    barrier = threading.Barrier(threads + 1)
    until = [0.0]

    def work(thread: int) -> None:
        barrier.wait()
        while time.perf_counter() < until[0]:
            call()
            counts[thread] += 1

    running = [threading.Thread(target=work, args=(thread,)) for thread in range(threads)]
    for one in running:
        one.start()
    start = time.perf_counter()
    until[0] = start + seconds
    barrier.wait()
    for one in running:
        one.join()
    return sum(counts) / (time.perf_counter() - start)


def report(rounds: int, seconds: float, is_json: bool) -> None:
    """Medians of rounds in which one and two threads take turns."""
    for name, call in operations().items():
        call()
        times = sorted(calls_per_second(call, 2, seconds) / calls_per_second(call, 1, seconds) for _ in range(rounds))
        middle = times[len(times) // 2]
        if is_json:
            line = {
                "bench": "python",
                "case": f"threads {name}",
                "subject": "tandemdb",
                "metric": "two_over_one_thread",
            }
            print(json.dumps({**line, "value": middle, "unit": "times"}), flush=True)
        else:
            print(f"{name:58} {middle:8.2f} x of one thread", flush=True)
