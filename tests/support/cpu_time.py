"""CPU time, and comparisons of it that hold on any machine, idle or busy."""

import hashlib
import json
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import numpy as np
from scipy.fft import dct


def cpu_seconds():
    """Return the CPU time of this process and of its children that have ended."""
    usages = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def cpu_time(function):
    """Return the CPU time of one call."""
    start = cpu_seconds()
    function()
    return cpu_seconds() - start


def compare_times(*functions, turns=5):
    """Return the shortest CPU time of each function, after one call as warm-up, taking turns."""
    for function in functions:
        function()
    times = [[cpu_time(function) for function in functions] for _ in range(turns)]
    shortest = np.min(times, axis=0).tolist()
    print(", ".join(f"{1000 * seconds:.2f} ms" for seconds in shortest))
    return shortest


def yardstick(turns=9):
    """Return the median CPU time of a fixed amount of work that resembles the harness's.

    Half is Python: objects that are built, written as JSON, read and hashed. Half is NumPy and
    SciPy: cumulative sums and cosine transforms.
    """
    rows = np.random.default_rng(0).random((400, 512))

    def work():
        records = [{"name": f"row {row}", "values": list(range(20))} for row in range(800)]
        text = json.dumps(records, sort_keys=True)
        hashlib.sha256(text.encode()).hexdigest()
        [record["name"].split() for record in json.loads(text)]
        np.abs(dct(rows.cumsum(axis=1))).sum()

    return float(np.median([cpu_time(work) for _ in range(turns)]))
