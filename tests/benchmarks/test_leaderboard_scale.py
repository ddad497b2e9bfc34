"""Large boards: 10,000 entries of three seeds and twenty metrics, built, compared and verified.

Sizes and rates stand in `extra_info`. FGBENCH_BOARD_ENTRIES sets another number of entries.
"""

import os
import shutil
import time

import pytest

from fgbench.coordinates import entry_id
from fgbench.differences.compare import compare_files
from fgbench.leaderboard.build import assemble
from fgbench.leaderboard.files import PredictionsFolder, read_board, write_board
from fgbench.leaderboard.merge import merge_boards
from fgbench.leaderboard.verify import verify_board
from support.boards import make_run, registry

pytestmark = pytest.mark.slow

ARMS = ("baseline", "real", "resample", "other-bins", "no-shift", "synthesis", "synthesis+")

ENTRIES = int(os.environ.get("FGBENCH_BOARD_ENTRIES", "10000"))
PARTS = 10
LIMIT = 6.0
"""Seconds of the processor, for a build and a comparison of 10,000 entries: of the clock where the
machine does nothing else."""


def settings_of(board, count, first=0):
    """Return the board's entries in `count` settings each, so that each has its controls."""
    for number in range(first, first + count):
        ids = {}
        made = []
        for entry in board.entries:
            digest = f"{number:064x}"
            dataset = entry.dataset.model_copy(update={"digest": digest})
            copied = entry.model_copy(update={"dataset": dataset})
            ids[entry.id] = entry_id(copied)
            made.append(copied)
        for entry in made:
            yield entry.model_copy(
                update={
                    "id": ids[entry.id],
                    "contrasts": {
                        kind: against.model_copy(update={"entry": ids[against.entry]})
                        for kind, against in entry.contrasts.items()
                    },
                }
            )


def without_predictions(entry):
    artifacts = entry.artifacts.model_copy(update={"predictions": []})
    return entry.model_copy(update={"artifacts": artifacts})


def worse(entry):
    """The same entry with other numbers, as another version would make it."""
    metrics = {
        name: record.model_copy(
            update={
                "mean": record.mean * 1.01,
                "per_seed": [value * 1.01 for value in record.per_seed],
            }
        )
        for name, record in entry.metrics.items()
    }
    return entry.model_copy(update={"metrics": metrics})


@pytest.fixture(scope="module")
def boards(tmp_path_factory):
    """Ten boards that are one of `ENTRIES` entries together, and that one with other numbers."""
    folder = tmp_path_factory.mktemp("boards")
    small = make_run(folder / "small", seeds=(0, 1, 2), arms=ARMS)
    each = ENTRIES // len(small.entries) // PARTS
    whole = []
    for part in range(PARTS):
        entries = [
            without_predictions(entry) for entry in settings_of(small, each, first=part * each)
        ]
        write_board(assemble("part", "", entries, lambda entry: None), folder / f"{part}.json")
        whole += entries
    board = assemble("whole", "", whole, lambda entry: None)
    write_board(board, folder / "whole.json")
    other = assemble("other", "", [worse(entry) for entry in whole], lambda entry: None)
    write_board(other, folder / "other.json")
    return folder, len(whole)


def timed(benchmark, function, **info):
    """Run a function once; return its result and the seconds of the processor that it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = benchmark.pedantic(function, rounds=1, iterations=1)
    seconds = time.process_time() - cpu
    benchmark.extra_info.update(info, seconds=time.perf_counter() - wall, processor_seconds=seconds)
    return result, seconds


def test_build(benchmark, boards):
    folder, count = boards
    sources = [folder / f"{part}.json" for part in range(PARTS)]
    merged, seconds = timed(
        benchmark,
        lambda: merge_boards(sources, folder / "built.json", registry(), replace=True),
        megabytes=sum(source.stat().st_size for source in sources) / 1e6,
    )
    assert len(merged.entries) == count
    compared = sum("baseline" in entry.contrasts for entry in merged.entries)
    assert compared == count - count // len(ARMS) // 2
    assert seconds < LIMIT


def test_add_one_run_to_a_large_board(benchmark, boards):
    folder, count = boards
    shutil.copyfile(folder / "whole.json", folder / "grown.json")
    merged, seconds = timed(
        benchmark,
        lambda: merge_boards([folder / "small"], folder / "grown.json", registry()),
    )
    assert len(merged.entries) == count + 2 * len(ARMS)
    assert seconds < LIMIT


@pytest.mark.parametrize("other", ["whole.json", "other.json"])
def test_compare(benchmark, boards, other):
    folder, count = boards
    found, seconds = timed(
        benchmark, lambda: compare_files(folder / "whole.json", folder / other, registry())
    )
    assert len(found.entries) == count
    assert seconds < LIMIT


@pytest.fixture(scope="module")
def with_predictions(tmp_path_factory):
    """A board of which every entry has predictions of 3 × 300 rows: a twentieth of the entries."""
    folder = tmp_path_factory.mktemp("predictions")
    small = make_run(folder, seeds=(0, 1, 2), arms=ARMS)
    entries = list(settings_of(small, ENTRIES // len(small.entries) // 20))
    write_board(assemble("many", "", entries, lambda entry: None), folder / "many.json")
    merge_boards([folder / "many.json"], folder / "board.json", registry())
    records = [record for entry in entries for record in entry.artifacts.predictions]
    size = sum((folder / record.path).stat().st_size for record in records)
    return folder, len(entries), size / 1e6


def test_build_with_predictions(benchmark, with_predictions):
    folder, count, megabytes = with_predictions
    merged, seconds = timed(
        benchmark,
        lambda: merge_boards([folder / "many.json"], folder / "copy.json", registry()),
        megabytes=megabytes,
    )
    benchmark.extra_info["files_per_second"] = 3 * count / seconds
    assert len(merged.entries) == count


def test_digests(benchmark, with_predictions):
    """How fast predictions are read and their digests checked: what a disk and SHA-256 allow."""
    folder, _, megabytes = with_predictions
    board = read_board(folder / "board.json")

    def check():
        predictions = PredictionsFolder(folder)
        for entry in board.entries:
            for record in entry.artifacts.predictions:
                predictions.content(record)

    _, seconds = timed(benchmark, check, megabytes=megabytes)
    benchmark.extra_info["megabytes_per_second"] = megabytes / seconds


@pytest.mark.parametrize("intervals", [False, True])
def test_verify(benchmark, with_predictions, intervals):
    """Bound by the metrics: twenty of each file, and as many of each replicate."""
    folder, _, megabytes = with_predictions
    if intervals:  # a fiftieth: it is the bootstrap that takes the time
        board = read_board(folder / "board.json")
        few = assemble("few", "", board.entries[: max(8, len(board.entries) // 50)], lambda e: None)
        write_board(few, folder / "few.json")
        megabytes *= len(few.entries) / len(board.entries)
    file = folder / ("few.json" if intervals else "board.json")
    result, seconds = timed(benchmark, lambda: verify_board(file, registry(), intervals=intervals))
    assert result.ok, result.problems[:3]
    benchmark.extra_info["megabytes_per_second"] = megabytes / seconds
    benchmark.extra_info["replicates"] = 60 if intervals else 0
