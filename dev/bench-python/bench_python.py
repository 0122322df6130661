"""Times the Python packages beside plain Python that does the same, in one process, answers checked.

Each module of this folder that is named after a package holds its cases. Ours and plain take turns; the figure of a
subject is the median of its rounds.
"""

import argparse
import gc
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import interrupts
import scaling
from bench_case import Case

MODULES = (
    "common_cases",
    "syncdb_cases",
    "syncdb_codec_cases",
    "syncdb_engine_cases",
    "vectordb_cases",
    "vectordb_features_cases",
    "vectordb_search_cases",
    "vectordb_serving_cases",
)
"""One for each package, or part of one."""


def seconds_per_call(call: Callable[[], object], least: float) -> float:
    """How long one call takes, from as many as fill `least` seconds."""
    calls = 1
    while True:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        taken = time.perf_counter() - start
        if taken >= least:
            return taken / calls
        calls = max(calls * 2, min(calls * 100, int(calls * least / max(taken, 1e-9)) + 1))


def measure(case: Case, rounds: int, least: float) -> tuple[float, float]:
    """Medians of ours and of plain, in seconds per operation."""
    case.check()
    ours: list[float] = []
    plain: list[float] = []
    # The data of all other cases are no garbage, and looking through them is not what is measured.
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        ours.append(seconds_per_call(case.ours, least))
        plain.append(seconds_per_call(case.plain, least))
    return statistics.median(ours) / case.operations, statistics.median(plain) / case.operations


def main() -> None:
    """Runs the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--list", action="store_true", help="name the cases")
    parser.add_argument("--case", action="append", default=[], help="only cases whose name has this in it")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each subject (5)")
    parser.add_argument("--seconds", type=float, default=0.05, help="least time of a turn (0.05)")
    parser.add_argument("--threads", action="store_true", help="only what two threads get done beside one")
    parser.add_argument("--interrupts", action="store_true", help="only how soon Ctrl-C ends long calls")
    options = parser.parse_args()
    if options.interrupts:
        interrupts.report(options.case, options.rounds, options.json)
        return
    if options.threads:
        scaling.report(options.rounds, max(options.seconds, 0.3), options.json)
        return

    cases: list[Case] = []
    for name in MODULES:
        if (Path(__file__).parent / f"{name}.py").exists():
            cases += importlib.import_module(name).cases()
    cases = [case for case in cases if not options.case or any(part in case.name for part in options.case)]
    if options.list:
        print("\n".join(case.name for case in cases))
        return
    if not cases:
        sys.exit("no case has that in its name; --list names them")

    ratios: dict[bool, list[float]] = {False: [], True: []}
    for case in cases:
        ours, plain = measure(case, options.rounds, options.seconds)
        ratios[case.bulk].append(plain / ours)
        if options.json:
            for subject, value in (("tandemdb", ours), ("plain-python", plain)):
                line = {"bench": "python", "case": case.name, "subject": subject, "metric": "time_per_operation"}
                print(json.dumps({**line, "value": value * 1e9, "unit": "ns"}), flush=True)
        else:
            kind = "bulk" if case.bulk else ""
            figures = f"{ours * 1e9:12.0f} ns {plain * 1e9:12.0f} ns {plain / ours:8.1f} x"
            print(f"{case.name:58} {figures}  {kind}", flush=True)
    if not options.json:
        for bulk, name in ((False, "single"), (True, "bulk")):
            if ratios[bulk]:
                low, middle = min(ratios[bulk]), statistics.median(ratios[bulk])
                print(f"{name}: {len(ratios[bulk])} cases, least {low:.2f} x, median {middle:.1f} x")


if __name__ == "__main__":
    main()
