"""The format, identity, comparisons and verification of boards."""

import json
import math

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgbench.coordinates import entry_id
from fgbench.errors import LeaderboardError
from fgbench.leaderboard.build import assemble
from fgbench.leaderboard.checksums import board_checksum, with_checksums
from fgbench.leaderboard.contrasts import Controls
from fgbench.leaderboard.files import parse_board, read_board, write_board
from fgbench.leaderboard.models import Leaderboard
from fgbench.leaderboard.schema import schema_text
from fgbench.leaderboard.verify import verify_board
from fgbench.primary import Primary
from fgbench_leaderboards import BOARDS
from support.boards import coordinates, make_entry, make_run, predictions, registry


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, make_run(folder)


def find(board, arm, calibrator="none"):
    return next(e for e in board.entries if e.arm == arm and e.calibrator.name == calibrator)


def test_committed_schema_matches_models(run):
    folder, _ = run
    committed = (BOARDS / "leaderboard.schema.json").read_text(encoding="utf-8")
    assert committed == schema_text(), "run python -m fgbench.leaderboard.schema > FILE"
    value = json.loads((folder / "leaderboard.json").read_text(encoding="utf-8"))
    jsonschema.validate(value, json.loads(committed))
    value["entries"][0]["surprise"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, json.loads(committed))


def test_board_round_trips_byte_identical(run, tmp_path):
    folder, board = run
    text = (folder / "leaderboard.json").read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert json.loads(text)["schema"] == "fgbench.leaderboard/2"
    write_board(read_board(folder), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text(encoding="utf-8") == text
    assert read_board(folder) == board


@given(st.permutations([0, 1, 2]))
def test_entry_id_depends_on_every_coordinate_but_not_seed_order(seeds):
    base = entry_id(coordinates("synthesis", seeds=(0, 1, 2)))
    assert entry_id(coordinates("synthesis", seeds=seeds)) == base
    others = [
        coordinates("synthesis+", seeds=seeds),
        coordinates("synthesis", "temperature", seeds=seeds),
        coordinates("synthesis", seeds=(0, 1)),
        coordinates("synthesis", seeds=seeds, bins=10),
        coordinates("synthesis", seeds=seeds, threshold=0.05),
        coordinates("synthesis", seeds=seeds, selector="significant"),
        coordinates("synthesis", seeds=seeds, protocol="paper"),
        coordinates("synthesis", seeds=seeds, dataset="other"),
        coordinates("synthesis", seeds=seeds, settings={"retries": 1}),
    ]
    assert len({base, *map(entry_id, others)}) == len(others) + 1


def test_controls_of_an_entry(run):
    _, board = run
    plain = find(board, "baseline")
    assert plain.contrasts == {}
    for entry in board.entries:
        if entry.id != plain.id:
            assert entry.contrasts["baseline"].entry == plain.id
            assert set(entry.contrasts["baseline"].metrics) == set(entry.metrics)
    for calibrator in ("none", "temperature"):
        real = find(board, "real", calibrator)
        assert set(real.contrasts) == {"baseline"}
        assert find(board, "synthesis+", calibrator).contrasts["real"].entry == real.id
    calibrated = find(board, "baseline", "temperature")
    assert set(calibrated.contrasts) == {"baseline"}
    assert find(board, "synthesis+").contrasts["post-hoc"].entry == calibrated.id
    assert set(find(board, "synthesis").contrasts) == {"baseline", "real"}


def test_primary_arm_has_all_controls_of_its_own_generation(tmp_path):
    made = [
        make_entry(tmp_path, coordinates(arm, bins=bins))[0]
        for arm in ("synthesis+", "resample", "other-bins", "no-shift")
        for bins in (10, 15)
    ]
    controls = Controls(made)
    for entry in made[:2]:
        for kind in ("resample", "other-bins", "no-shift"):
            control = controls.of(entry, kind)
            assert (control.arm, control.bins) == (kind, entry.bins)
        assert controls.of(entry, "real") is None
    assert Controls(made, Primary(contrast="synthesis")).of(made[0], "resample") is None


def test_calibrated_baseline_is_fallback_control(tmp_path):
    board = make_run(tmp_path, arms=("baseline", "synthesis"), calibrators=("temperature",))
    assert (
        find(board, "synthesis", "temperature").contrasts["baseline"].entry
        == find(board, "baseline", "temperature").id
    )


def test_control_must_share_seeds_dataset_and_protocol(tmp_path):
    synthesis, _ = make_entry(tmp_path, coordinates("synthesis", seeds=(1,)))
    for where in (
        coordinates("baseline", seeds=(0,)),
        coordinates("baseline", seeds=(0, 1), dataset="other"),
        coordinates("baseline", seeds=(0, 1), protocol="paper"),
    ):
        other, _ = make_entry(tmp_path, where)
        assert Controls([synthesis, other]).of(synthesis, "baseline") is None
    more, _ = make_entry(tmp_path, coordinates("baseline", seeds=(0, 1)))
    exact, _ = make_entry(tmp_path, coordinates("baseline", seeds=(1,)))
    assert Controls([more]).of(synthesis, "baseline") == more
    assert Controls([more, exact]).of(synthesis, "baseline") == exact


def test_comparison_pairs_seeds_by_value(tmp_path):
    synthesis, ours = make_entry(tmp_path, coordinates("synthesis", seeds=(1,)))
    baseline, theirs = make_entry(tmp_path, coordinates("baseline", seeds=(0, 1)))
    by_id = {synthesis.id: ours, baseline.id: theirs}
    board = assemble("b", "", [synthesis, baseline], lambda entry: by_id[entry.id])
    delta = find(board, "synthesis").contrast("baseline", "nll").difference
    assert delta == pytest.approx(ours[0].values["nll"] - theirs[1].values["nll"])


def test_adding_calibrators_and_data_sets_changes_no_contrast(tmp_path):
    arms = ("baseline", "real", "resample", "synthesis+")
    few = make_run(tmp_path / "few", arms=arms, calibrators=("none", "temperature"))
    more = make_run(tmp_path / "more", arms=arms, calibrators=("none", "temperature", "platt"))
    other = make_run(tmp_path / "other", arms=arms, calibrators=("none",), dataset="other")
    entries = [*more.entries, *other.entries]
    board = assemble("all", "", entries, lambda entry: None, few.primary)
    for entry in few.entries:
        assert board.entry(entry.id).contrasts == entry.contrasts


def test_board_does_not_depend_on_entry_order(run):
    _, board = run
    again = assemble(
        board.name,
        board.created,
        reversed(board.entries),
        lambda entry: None,
        board.primary,
        board.shown,
    )
    assert again == board


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-20], "not JSON"),
        (lambda text: "[1]", "expected a JSON object"),
        (lambda text: "[" * 100_000, "not"),
        (
            lambda text: text.replace("leaderboard/2", "leaderboard/3"),
            "newer than fgbench.leaderboard/2",
        ),
        (lambda text: text.replace("fgbench.leaderboard/2", "other"), "schema"),
        (lambda text: text.replace('"std": ', '"std": NaN, "x": ', 1), "NaN"),
        (lambda text: text.replace('"std": ', '"std": 1e999, "x": ', 1), "entries"),
        (
            lambda text: text.replace('"arm"', '"arn"', 1),
            r"unknown key 'entries\[0\]\.arn', and 'arm' missing",
        ),
        (lambda text: text.replace('"n_test": 300', '"n_test": -1', 1), r"dataset\.n_test"),
    ],
)
def test_invalid_board_error_names_file_and_field(run, change, message):
    folder, _ = run
    text = (folder / "leaderboard.json").read_text(encoding="utf-8")
    with pytest.raises(LeaderboardError, match=message) as error:
        parse_board(change(text), "some.json")
    assert str(error.value).startswith("some.json")
    assert "\n" not in str(error.value)


def test_duplicate_entry_id_is_refused(run):
    _, board = run
    doubled = board.model_copy(update={"entries": [*board.entries, board.entries[0]]})
    with pytest.raises(LeaderboardError, match="duplicate entry id"):
        parse_board(doubled.to_json(), "some.json")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(LeaderboardError, match="no such file"):
        read_board(tmp_path / "none.json")
    with pytest.raises(LeaderboardError, match="finished run"):
        read_board(tmp_path)


def test_nan_is_never_written(run):
    _, board = run
    entry = board.entries[0]
    wrong = entry.metrics["ece"].model_copy(update={"mean": math.nan})
    bad = entry.model_copy(update={"metrics": {"ece": wrong}})
    with pytest.raises(ValueError, match="JSON compliant"):
        board.model_copy(update={"entries": [bad]}).to_json()


def test_undefined_metric_has_reason(tmp_path, monkeypatch):
    made = predictions("baseline", "none", 0)
    one_class = made.take((made.labels == 1).nonzero()[0])
    monkeypatch.setattr("support.boards.predictions", lambda *args, **kwargs: one_class)
    entry, _ = make_entry(tmp_path, coordinates("baseline"))
    assert "auroc" not in entry.metrics
    assert "class" in entry.undefined["auroc"]


# Verification.


def tampered(run, tmp_path, change):
    """Copy the run, change its board's JSON in place, and verify."""
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(run[0], folder)
    value = json.loads((folder / "leaderboard.json").read_text(encoding="utf-8"))
    change(value, folder)
    (folder / "leaderboard.json").write_text(json.dumps(value), encoding="utf-8")
    return verify_board(folder, registry())


def test_untampered_run_verifies(run):
    result = verify_board(run[0], registry())
    assert result.ok, result.problems
    assert (result.entries, result.files) == (8, 16)
    assert result.numbers > 500


def at(value, path):
    *steps, last = path
    for step in steps:
        value = value[step]
    return value, last


_OF_BASELINE = ("contrasts", "baseline", "metrics")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("metrics", "ece", "mean"), "metrics.ece.mean"),
        (("metrics", "nll", "std"), "metrics.nll.std"),
        (("metrics", "auroc", "ci95", 1), "metrics.auroc.ci95[high]"),
        (("metrics", "brier", "per_seed", 1), "metrics.brier.per_seed[seed 1]"),
        ((*_OF_BASELINE, "ece", "difference"), "contrasts.baseline.metrics.ece.difference"),
        ((*_OF_BASELINE, "ece", "interval", 0), "contrasts.baseline.metrics.ece.interval[low]"),
        ((*_OF_BASELINE, "nll", "p_value"), "contrasts.baseline.metrics.nll.p_value"),
        ((*_OF_BASELINE, "nll", "p_adjusted"), "contrasts.baseline.metrics.nll.p_adjusted"),
        (
            ("contrasts", "real", "metrics", "ece", "standard_error"),
            "contrasts.real.metrics.ece.standard_error",
        ),
    ],
)
def test_verify_names_every_tampered_number(run, tmp_path, path, place):
    def change(value, folder):
        entry = next(
            e
            for e in value["entries"]
            if e["arm"] == "synthesis+" and e["calibrator"]["name"] == "none"
        )
        inside, last = at(entry, path)
        inside[last] = inside[last] * 0.999 + 1e-5

    result = tampered(run, tmp_path, change)
    assert any(f"synthesis+ · oracle/15 bins · none): {place} is" in p for p in result.problems)
    if "p_" not in place:
        assert len(result.problems) == 1, result.problems


def test_verify_names_added_or_removed_metric(run, tmp_path):
    def change(value, folder):
        metrics = value["entries"][0]["metrics"]
        metrics["made_up"] = metrics.pop("ece")

    problems = tampered(run, tmp_path, change).problems
    assert any("made_up" in problem for problem in problems)


def test_verify_names_tampered_coordinates(run, tmp_path):
    def change(value, folder):
        value["entries"][-1]["threshold"] = 0.5

    problems = tampered(run, tmp_path, change).problems
    assert any("coordinates" in problem for problem in problems)


def test_verify_names_only_tampered_or_missing_predictions(run, tmp_path):
    def flip_a_label(value, folder):
        from fgbench.data import Predictions

        path = folder / value["entries"][0]["artifacts"]["predictions"][0]["path"]
        stored = Predictions.load(path)
        stored.labels[0] = 1 - stored.labels[0]
        stored.save(path)

    (problem,) = tampered(run, tmp_path / "a", flip_a_label).problems
    assert "digest" in problem
    assert "seed 0" in problem

    def remove(value, folder):
        (folder / value["entries"][0]["artifacts"]["predictions"][0]["path"]).unlink()

    (problem,) = tampered(run, tmp_path / "b", remove).problems
    assert "cannot be read" in problem


def test_verify_detects_replaced_predictions_with_matching_digest(run, tmp_path):
    def change(value, folder):
        from fgbench.data import Predictions
        from fgbench.digests import digest_file

        record = value["entries"][0]["artifacts"]["predictions"][0]
        path = folder / record["path"]
        stored = Predictions.load(path)
        stored.with_logits(stored.logits * 0.9).save(path)
        record["sha256"] = digest_file(path)

    problems = tampered(run, tmp_path, change).problems
    assert any("metrics.nll.per_seed[seed 0]" in problem for problem in problems)


@pytest.mark.parametrize("path", ["../outside.npz", "/etc/passwd", "a/../../b.npz", "..\\x.npz"])
def test_path_outside_run_folder_is_refused(run, tmp_path, path):
    def change(value, folder):
        value["entries"][0]["artifacts"]["predictions"][0]["path"] = path

    (problem,) = tampered(run, tmp_path, change).problems
    assert "leaves the folder" in problem


def test_link_outside_run_folder_is_refused(run, tmp_path):
    def change(value, folder):
        path = folder / value["entries"][0]["artifacts"]["predictions"][0]["path"]
        path.rename(tmp_path / "outside.npz")
        path.symlink_to(tmp_path / "outside.npz")

    (problem,) = tampered(run, tmp_path, change).problems
    assert "leaves the folder" in problem


def test_verify_names_other_metric_version(run, tmp_path):
    def change(value, folder):
        value["entries"][0]["metric_versions"]["ece"] = "0"

    (problem,) = tampered(run, tmp_path, change).problems
    assert "ece has version 0" in problem


def test_empty_board_is_valid():
    empty = Leaderboard(name="empty", created="", entries=[])
    assert parse_board(empty.to_json(), "x") == empty


def test_frame_has_one_row_per_entry_and_metric(run):
    folder, _ = run
    board = read_board(folder)
    frame = board.to_frame().set_index(["id", "metric"])
    assert len(frame) == sum(len(entry.metrics) for entry in board.entries)
    entry = find(board, "synthesis+")
    row = frame.loc[(entry.id, "ece")]
    assert (row["arm"], row["generator"]) == (entry.arm, entry.generator.name)
    assert row["mean"] == entry.metrics["ece"].mean
    assert (row["ci95_low"], row["ci95_high"]) == entry.metrics["ece"].ci95
    assert row["delta"] == entry.contrast("baseline", "ece").difference


def test_intervals_of_earlier_statistics_are_counted_not_recomputed(tmp_path):
    board = make_run(tmp_path, seeds=(0, 1, 2))
    statistics = board.entries[0].statistics.model_copy(update={"version": "1"})
    entries = []
    for entry in board.entries:
        metrics = {
            name: record.model_copy(update={"ci95": (0.0, 9.0), "corrected": None})
            for name, record in entry.metrics.items()
        }
        changes = {"statistics": statistics, "metrics": metrics, "ranks": {}, "ranked_among": 0}
        entries.append(with_checksums(entry.model_copy(update=changes)))
    checksum = board_checksum(board.name, board.created, entries, board.primary)
    board = board.model_copy(update={"checksum": checksum})
    write_board(board.model_copy(update={"entries": entries}), tmp_path / "leaderboard.json")
    result = verify_board(tmp_path, registry())
    assert result.ok, result.problems
    assert result.earlier_statistics == len(board.entries)
    assert "earlier version" in result.summary()
    record = entries[0].metrics["nll"]
    wrong = {"nll": record.model_copy(update={"mean": record.mean + 0.01})}
    entries[0] = entries[0].model_copy(update={"metrics": entries[0].metrics | wrong})
    write_board(board.model_copy(update={"entries": entries}), tmp_path / "leaderboard.json")
    (problem,) = verify_board(tmp_path, registry()).problems
    assert "metrics.nll.mean" in problem


def test_changed_rank_is_found(tmp_path):
    board = make_run(tmp_path, seeds=(0, 1, 2))
    first = board.entries[0]
    assert first.ranked_among == len(board.entries)
    changed = first.model_copy(update={"ranks": first.ranks | {"nll": (1, 1)}})
    entries = [changed, *board.entries[1:]]
    write_board(board.model_copy(update={"entries": entries}), tmp_path / "leaderboard.json")
    problems = verify_board(tmp_path, registry()).problems
    assert problems
    assert all("ranks.nll" in problem for problem in problems)
