"""`verify` detects and names any single change of a board or of its predictions."""

import copy
import json
import shutil
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fgbench.coordinates import Coordinates, DatasetRecord, PartRecord, PublishedRecord, entry_id
from fgbench.errors import LeaderboardError
from fgbench.inference import MetricSummary
from fgbench.leaderboard.build import assemble
from fgbench.leaderboard.checksums import with_checksums
from fgbench.leaderboard.files import parse_board, read_board, write_board
from fgbench.leaderboard.models import Entry, Provenance, StatisticsRecord
from fgbench.leaderboard.verify import verify_board
from fgbench.usage import Usage
from support.boards import coordinates, make_entry, make_run, registry


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_run(folder, arms=("baseline", "synthesis+"), calibrators=("none",), seeds=(0, 1))
    text = (folder / "leaderboard.json").read_text(encoding="utf-8")
    return folder, json.loads(text)


def leaves(value, path=()):
    """Yield the path of each leaf and of each empty container."""
    if isinstance(value, dict | list) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from leaves(item, (*path, key))
    else:
        yield path


def inside(value, path):
    *steps, last = path
    for step in steps:
        value = value[step]
    return value, last


def another(value, draw):
    """Return another value of a leaf."""
    if value is None or value in ({}, []):
        return draw(st.sampled_from(["x", 1, {"x": 1}, ["x"], 0.5]))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + draw(st.sampled_from([-1, 1, 7]))
    if isinstance(value, float):
        return value + draw(st.sampled_from([-1.0, 1.0])) * (abs(value) * 1e-3 + 1e-5)
    letter = "0" if value[-1:] != "0" else "1"
    return draw(st.sampled_from([value + "x", value[:-1] + letter, ""]))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_verify_detects_any_single_json_change(run, data):
    folder, honest = run
    value = copy.deepcopy(honest)
    path = data.draw(st.sampled_from(list(leaves(honest))))
    holder, last = inside(value, path)
    if data.draw(st.booleans()) and isinstance(holder, dict):
        del holder[last]
    else:
        before = holder[last]
        holder[last] = another(before, data.draw)
        if holder[last] == before:
            return
    (folder / "changed.json").write_text(json.dumps(value), encoding="utf-8")
    try:
        if read_board(folder / "changed.json") == read_board(folder):
            return  # the absence of what is a default says the same
        result = verify_board(folder / "changed.json", registry())
    except LeaderboardError as error:
        assert "\n" not in str(error)
    else:
        assert not result.ok, path
        entry = honest["entries"][path[1]] if path[0] == "entries" else None
        if entry is not None and path[2] != "id" and len(path) > 3:
            assert any(
                entry["id"] in problem or "checksum" in problem for problem in result.problems
            ), (path, result.problems)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_verify_names_any_changed_prediction_byte(run, data):
    folder, honest = run
    record = data.draw(
        st.sampled_from([p for e in honest["entries"] for p in e["artifacts"]["predictions"]])
    )
    file = folder / record["path"]
    before = file.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    bit = data.draw(st.integers(0, 7))
    try:
        file.write_bytes(before[:at] + bytes([before[at] ^ 1 << bit]) + before[at + 1 :])
        problems = verify_board(folder, registry()).problems
    finally:
        file.write_bytes(before)
    assert any(record["path"] in problem and "digest" in problem for problem in problems)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (("usage", "prompt_tokens"), "usage was changed"),
        (("synthetic", "accepted"), "synthetic was changed"),
        (("provenance", "wall_seconds"), "provenance was changed"),
    ],
)
def test_checksum_covers_values_that_cannot_be_recomputed(run, path, named):
    folder, honest = run
    value = copy.deepcopy(honest)
    entry = next(e for e in value["entries"] if e["arm"] == "synthesis+")
    holder, last = inside(entry, path)
    holder[last] = 7
    (folder / "changed.json").write_text(json.dumps(value), encoding="utf-8")
    (problem,) = verify_board(folder / "changed.json", registry()).problems
    assert named in problem
    assert entry["id"] in problem


@pytest.mark.parametrize("neutral", [[], ["loss", "calibrator", "x"], ["calibrator"]])
def test_verify_checks_neutral_parts_against_the_parts(run, neutral):
    folder, honest = run
    value = copy.deepcopy(honest)
    value["entries"][0]["neutral"] = neutral
    (folder / "changed.json").write_text(json.dumps(value), encoding="utf-8")
    problems = verify_board(folder / "changed.json", registry(), intervals=False).problems
    assert any("neutral" in problem for problem in problems)


def test_verify_detects_removed_entry(tmp_path):
    make_run(tmp_path, arms=("baseline",), calibrators=("none", "temperature"), seeds=(0,))
    value = json.loads((tmp_path / "leaderboard.json").read_text(encoding="utf-8"))
    plain = next(e for e in value["entries"] if e["calibrator"]["name"] == "none")
    value["entries"] = [plain]
    (tmp_path / "fewer.json").write_text(json.dumps(value), encoding="utf-8")
    (problem,) = verify_board(tmp_path / "fewer.json", registry()).problems
    assert "list of its entries" in problem


def test_verify_without_intervals_checks_the_rest(run):
    folder, honest = run
    value = copy.deepcopy(honest)
    metrics = value["entries"][0]["metrics"]
    metrics["ece"]["ci95"][0] -= 0.01
    (folder / "changed.json").write_text(json.dumps(value), encoding="utf-8")
    quick = verify_board(folder / "changed.json", registry(), intervals=False)
    assert quick.ok, quick.problems
    assert not verify_board(folder / "changed.json", registry()).ok
    metrics["ece"]["mean"] += 0.01
    (folder / "changed.json").write_text(json.dumps(value), encoding="utf-8")
    (problem,) = verify_board(folder / "changed.json", registry(), intervals=False).problems
    assert "metrics.ece.mean" in problem


def test_digest_only_verify_detects_changed_files_only(run):
    folder, honest = run
    value = copy.deepcopy(honest)
    value["entries"][0]["metrics"]["ece"]["mean"] += 0.01
    (folder / "changed.json").write_text(json.dumps(value), encoding="utf-8")
    result = verify_board(folder / "changed.json", registry(), numbers=False)
    assert result.ok
    assert (result.files, result.numbers) == (4, 0)
    value["entries"][0]["artifacts"]["predictions"][0]["sha256"] = "0" * 64
    value["entries"][1]["artifacts"]["predictions"].pop()
    (folder / "changed.json").write_text(json.dumps(value), encoding="utf-8")
    problems = verify_board(folder / "changed.json", registry(), numbers=False).problems
    assert len(problems) == 2
    assert "was changed" in problems[0]
    assert "no stored predictions" in problems[1]


def figures(**changes):
    """An entry that is figures of a publication."""
    where = Coordinates(
        dataset=DatasetRecord(name="tc", n_train=3104, n_test=345),
        classifier=PartRecord(name="bert-base"),
        loss=PartRecord(name="cross-entropy"),
        calibrator=PartRecord(name="none"),
        arm="baseline",
        protocol="paper",
        seeds=[],
        published=PublishedRecord(source="Somebody et al. 2024", place="Table 4, row 1"),
    )
    values = {name: getattr(where, name) for name in Coordinates.model_fields}
    values |= {
        "id": entry_id(where),
        "metrics": {"ece": MetricSummary(mean=0.05)},
        "statistics": StatisticsRecord(replicates=0),
        "provenance": Provenance(),
    }
    return with_checksums(Entry(**(values | changes)))


def test_verify_reports_published_figures_as_not_recomputable(tmp_path):
    board = assemble("paper", "", [figures()], lambda entry: None)
    write_board(board, tmp_path / "board.json")
    assert read_board(tmp_path / "board.json") == board
    result = verify_board(tmp_path / "board.json", registry())
    assert result.ok, result.problems
    assert "1 entries are published figures" in result.summary()
    text = (tmp_path / "board.json").read_text(encoding="utf-8").replace("0.05", "0.04")
    (tmp_path / "board.json").write_text(text, encoding="utf-8")
    (problem,) = verify_board(tmp_path / "board.json", registry()).problems
    assert "metrics was changed" in problem


@pytest.mark.parametrize("lacking", ["seeds", "digest", "n_test"])
def test_only_published_entries_may_omit_seeds_digest_and_sizes(run, lacking):
    value = copy.deepcopy(run[1])
    entry = value["entries"][0]
    if lacking == "seeds":
        entry["seeds"] = []
    else:
        entry["dataset"][lacking] = None
    with pytest.raises(LeaderboardError, match=r"only published figures may"):
        parse_board(json.dumps(value), "x.json")


def test_published_figures_have_no_baseline_comparison(tmp_path):
    entry, _ = make_entry(tmp_path, coordinates("baseline"))
    board = assemble("both", "", [figures(), entry], lambda entry: None)
    assert all(each.contrasts == {} for each in board.entries)


def test_linked_or_non_file_predictions_are_refused(tmp_path):
    make_run(tmp_path / "run", arms=("baseline",), calibrators=("none",), seeds=(0,))
    inside_run = tmp_path / "run" / "predictions"
    shutil.move(inside_run, tmp_path / "elsewhere")
    inside_run.symlink_to(tmp_path / "elsewhere")
    (problem,) = verify_board(tmp_path / "run", registry()).problems
    assert "by a link leaves the folder" in problem
    inside_run.unlink()
    shutil.move(tmp_path / "elsewhere", inside_run)
    (file,) = inside_run.iterdir()
    file.unlink()
    file.mkdir()
    (problem,) = verify_board(tmp_path / "run", registry()).problems
    assert "not a regular file" in problem


def test_no_predictions_count_for_two_entries(run):
    """Else a small board could ask for any number of evaluations."""
    folder, _ = run
    board = read_board(folder)
    first, second, *rest = board.entries
    shared = second.model_copy(update={"artifacts": first.artifacts})
    changed = board.model_copy(update={"entries": [first, shared, *rest]})
    write_board(changed, folder / "shared.json")
    problems = verify_board(folder / "shared.json", registry()).problems
    assert sum("are listed more than once" in problem for problem in problems) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry["statistics"].update(replicates=10_001),
        lambda entry: entry.update(bins=10**9),
        lambda entry: entry.update(seeds=[*range(1001)]),
        lambda entry: entry["calibrator"].update(name="x" * 501),
        lambda entry: entry["calibrator"].update(params={"a": ["x" * 9_000] * 3}),
        lambda entry: entry["calibrator"].update(params={"a": 10**70_000}),
        lambda entry: entry["provenance"].update(notes=["x" * 20_001]),
        lambda entry: entry["metrics"].update({"m" * 501: entry["metrics"]["ece"]}),
        lambda entry: entry["dataset"].update(n_test=2**60),
        lambda entry: entry["dataset"].update(label_names=["a"] * 10_001),
        lambda entry: entry["artifacts"]["predictions"][0].update(path="a/" * 3000),
    ],
)
def test_board_that_asks_for_too_much_is_refused(run, change):
    folder, board = run
    value = copy.deepcopy(board)
    sys.set_int_max_str_digits(100_000)
    try:
        change(value["entries"][0])
        text = json.dumps(value)
    finally:
        sys.set_int_max_str_digits(4300)
    (folder / "large.json").write_text(text, encoding="utf-8")
    with pytest.raises(LeaderboardError, match=r"large\.json: (entries\[0\]|not JSON)"):
        read_board(folder / "large.json")


def test_costs_without_checksums_are_reported_on_trust(run, tmp_path):
    board = read_board(run[0])
    entries = [
        each.model_copy(update={"checksums": {}, "usage": Usage(requests=5)})
        for each in board.entries
    ]
    shutil.copytree(run[0] / "predictions", tmp_path / "predictions")
    old = board.model_copy(update={"entries": entries, "checksum": None})
    write_board(old, tmp_path / "board.json")
    result = verify_board(tmp_path / "board.json", registry())
    assert result.ok, result.problems
    assert "2 entries without checksums" in result.summary()
