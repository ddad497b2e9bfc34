"""The page of a large board: how big it is, how long it takes to write, to open and to sort.

10,000 entries of three seeds and twenty metrics, each with predictions of its own, so that neither
numbers nor diagrams repeat. FGBENCH_BOARD_ENTRIES sets another number of entries.
"""

import os
import statistics

import numpy as np
import pytest
from test_leaderboard_scale import settings_of

from fgbench.digests import digest_file
from fgbench.leaderboard.build import assemble
from fgbench.leaderboard.files import write_board
from fgbench.report import write_board_page
from support.boards import make_run, predictions
from support.browser import Visit, chromium

pytestmark = pytest.mark.slow

ENTRIES = int(os.environ.get("FGBENCH_BOARD_ENTRIES", "10000"))
MOST_MEGABYTES = 15
MOST_MILLISECONDS = 200

_CLICK = """key => new Promise(done => {
    const button = document.querySelector(`button.sort[data-key="${key}"]`);
    const start = performance.now();
    button.click();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
})"""
"""Milliseconds from a click to the frame that shows the table sorted."""


def shifted(records, rng):
    """Give each record other numbers, as of another classifier: what is equal packs too well."""
    found = {}
    for name, record in records.items():
        step, width = rng.normal(scale=0.02), abs(rng.normal(scale=0.01))
        value, ends = ("mean", "ci95") if hasattr(record, "mean") else ("difference", "interval")
        update = {value: getattr(record, value) + step}
        if (interval := getattr(record, ends)) is not None:
            update[ends] = (interval[0] + step - width, interval[1] + step + width)
        for other in ("corrected", "chance_limit"):
            if getattr(record, other, None) is not None:
                update[other] = getattr(record, other) + width
        found[name] = record.model_copy(update=update)
    return found


def with_own_numbers(entry, folder, number, rng):
    records = []
    for record in entry.artifacts.predictions:
        path = folder / "predictions" / f"{number}-{record.seed}.npz"
        predictions(entry.arm, entry.calibrator.name, 3 * number + record.seed).save(path)
        update = {"path": f"predictions/{path.name}", "sha256": digest_file(path)}
        records.append(record.model_copy(update=update))
    return entry.model_copy(
        update={
            "artifacts": entry.artifacts.model_copy(update={"predictions": records}),
            "metrics": shifted(entry.metrics, rng),
            "contrasts": {
                kind: against.model_copy(update={"metrics": shifted(against.metrics, rng)})
                for kind, against in entry.contrasts.items()
            },
        }
    )


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    small = make_run(folder, seeds=(0, 1, 2))
    rng = np.random.default_rng(0)
    entries = [
        with_own_numbers(entry, folder, number, rng)
        for number, entry in enumerate(settings_of(small, ENTRIES // len(small.entries)))
    ]
    file = folder / "board.json"
    write_board(assemble("large", "", entries, lambda entry: None), file)
    return file


@pytest.fixture(scope="module")
def page(board, tmp_path_factory):
    return write_board_page(board, tmp_path_factory.mktemp("page")).file


def test_write(benchmark, board, tmp_path):
    page = benchmark.pedantic(lambda: write_board_page(board, tmp_path), rounds=1, iterations=1)
    megabytes = page.file.stat().st_size / 1e6
    benchmark.extra_info["megabytes"] = megabytes
    assert megabytes < MOST_MEGABYTES


def test_open_and_sort(benchmark, page):
    with chromium() as browser:
        visit = benchmark.pedantic(lambda: Visit(browser, page), rounds=1, iterations=1)
        for grouped in (True, False):
            visit.page.set_checked("#grouped", grouped)
            times = [
                visit.page.evaluate(_CLICK, key)
                for key in ["ece", "accuracy", "nll", "arm", "calibrator"] * 3
            ]
            kind = "within comparisons" if grouped else "over all"
            benchmark.extra_info[f"sort {kind}, ms, median"] = statistics.median(times)
            benchmark.extra_info[f"sort {kind}, ms, most"] = max(times)
            assert statistics.median(times) < MOST_MILLISECONDS
        assert visit.said == []
