"""The bundled boards: the paper's published figures, and `quick`, which was run here."""

import json
import re
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from fgbench.cards import DataFolder
from fgbench.coordinates import entry_id
from fgbench.errors import LeaderboardError, PluginError
from fgbench.leaderboard import files
from fgbench.leaderboard.bundled import board_path, bundled_boards
from fgbench.leaderboard.checksums import board_checksum, entry_checksums
from fgbench.leaderboard.files import read_board
from fgbench.loop.arms import DEFAULT_ARMS
from fgbench.plan.cells import expand
from fgbench.plan.resolve import resolve
from fgbench.plan.suite import Suite
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from fgbench_datasets import CARDS

DATASETS = ("tc", "subj", "banking77", "se", "arxiv", "medical")
POSTHOC = ("none", "isotonic", "platt", "mc-dropout", "temperature")
ROWS = {("baseline", None, calibrator) for calibrator in POSTHOC} | {
    (arm, bins, "none") for arm in ("synthesis", "synthesis+") for bins in (10, 15, 20)
}
"""Arm, bins and calibrator of each row of the paper's Table 4."""


@pytest.fixture(scope="module")
def paper():
    return read_board(board_path(Path("paper-table4")))


@pytest.fixture(scope="module")
def figures(paper):
    """Mean and deviation by data set, row and metric."""
    return {
        (entry.dataset.name, row(entry), name): (record.mean, record.std)
        for entry in paper.entries
        for name, record in entry.metrics.items()
    }


def row(entry):
    return (entry.arm, entry.bins, entry.calibrator.name)


# The paper's Tables 2 and 4


def test_paper_board_has_eleven_rows_on_six_data_sets(paper):
    assert {(e.dataset.name, row(e)) for e in paper.entries} == {
        (name, each) for name in DATASETS for each in ROWS
    }
    assert len(paper.entries) == 66
    for entry in paper.entries:
        assert set(entry.metrics) == {"accuracy", "ece_positive"}
        assert entry.higher_is_better == ["accuracy"]
        assert entry.protocol == "paper"
        assert (entry.generator is None) == (entry.arm == "baseline")
        assert entry.settings["number_of_seeds"] == 3


def test_published_figures_cite_source_only(paper):
    places = set()
    for entry in paper.entries:
        assert "EMNLP" in entry.published.source
        assert entry.published.place.startswith("Table 4, row ")
        places.add(entry.published.place)
        assert entry.seeds == []
        assert entry.dataset.digest is None
        assert entry.artifacts.predictions == []
        assert entry.contrasts == {}
        for record in entry.metrics.values():
            assert record.ci95 is None
            assert record.per_seed == []
        assert entry.id == entry_id(entry)
        assert entry.checksums == entry_checksums(entry)
    assert len(places) == 66


def test_paper_board_matches_printed_figures(paper):
    pattern = r"Printed: ACC (\S+) \((\S+)\), ECE (\S+) \((\S+)\): "
    assert paper.entries
    for entry in paper.entries:
        printed = re.match(pattern, entry.published.notes)
        accuracy, ece = entry.metrics["accuracy"], entry.metrics["ece_positive"]
        assert [float(text) for text in printed.groups()] == [
            accuracy.mean, accuracy.std, ece.mean, ece.std,
        ]  # fmt: skip


def test_paper_headline_figures_follow_from_board(figures):
    before, after = ("baseline", None, "none"), ("synthesis+", 20, "none")
    gain = figures["banking77", after, "accuracy"][0] / figures["banking77", before, "accuracy"][0]
    assert round(gain - 1, 2) == 0.34
    best = {}
    for name in DATASETS:
        errors = {each: figures[name, each, "ece_positive"][0] for each in ROWS}
        least = min(errors.values())
        best[name] = (least, {each for each, error in errors.items() if error == least})
    calibrated = {name: ("baseline", None, best_row) for name, best_row in {
        "se": "temperature", "banking77": "isotonic", "arxiv": "mc-dropout",
    }.items()}  # fmt: skip
    for name, each in calibrated.items():
        assert best[name][1] == {each}
    assert [best[name][0] for name in calibrated] == [0.038, 0.063, 0.058]
    for name in ("tc", "subj", "medical"):
        assert all(arm.startswith("synthesis") for arm, _, _ in best[name][1])


def test_highlighted_entries_lower_ece_by_21_to_33_percent(paper):
    """The paper says so of all; B77 and Medical are less."""
    baseline = {e.dataset.name: e for e in paper.entries if row(e) == ("baseline", None, "none")}
    changes = {}
    for entry in paper.entries:
        if "Highlighted" in entry.published.notes:
            assert entry.dataset.name not in changes
            before = baseline[entry.dataset.name].metrics["ece_positive"].mean
            changes[entry.dataset.name] = 1 - entry.metrics["ece_positive"].mean / before
    assert set(changes) == set(DATASETS)
    inside = {name for name, change in changes.items() if 0.205 < change < 0.335}
    assert inside == {"tc", "subj", "se", "arxiv"}


def test_printed_means_are_possible_for_80_texts(figures):
    """Means of three shares of 80 are multiples of 1/240: a typo would show here."""
    for each in ROWS:
        mean, _ = figures["banking77", each, "accuracy"]
        assert abs(round(mean * 240) / 240 - mean) <= 0.0005 + 1e-9


def test_temperature_scaling_keeps_printed_accuracies(figures):
    for name in DATASETS:
        scaled = figures[name, ("baseline", None, "temperature"), "accuracy"][0]
        assert scaled == figures[name, ("baseline", None, "none"), "accuracy"][0]


def test_paper_board_sizes_match_cards(paper):
    assert {entry.dataset.name for entry in paper.entries} == set(DATASETS)
    for entry in paper.entries:
        text = (CARDS / f"{entry.dataset.name}.toml").read_text(encoding="utf-8")
        printed = tomllib.loads(text)["paper"]
        assert (entry.dataset.n_train, entry.dataset.n_test) == (printed["train"], printed["test"])
        statistics = entry.settings["dataset_statistics"]
        assert statistics["train_test"] == f"{printed['train']}/{printed['test']}"
        assert statistics["classes"] == 2
        shares = [int(share) for share in statistics["class_proportions"].split(":")]
        assert sum(shares) == 100
        assert statistics["balanced"] == (min(shares) >= 44)


# The suite of paper-table4

STAND_INS = '''
"""A classifier and a generator that plan and never work."""

from fgbench import Classifier, Generator, hookimpl


class StandInClassifier(Classifier):
    """Provides what BERT provides."""

    needs = frozenset({"text"})
    provides = frozenset({"features", "stochastic_forward"})

    def fit(self, training, *, loss, seed): ...
    def predict(self, inputs, outputs): ...


class StandInGenerator(Generator):
    """Needs what Llama needs."""

    needs = frozenset({"text"})

    def prepare(self, task): ...
    def generate(self, requests): ...
    def relabel(self, texts): ...


@hookimpl
def fgbench_classifiers(register):
    register("stand-in", f"{__name__}:StandInClassifier", "BERT's understudy")


@hookimpl
def fgbench_generators(register):
    register("stand-in", f"{__name__}:StandInGenerator", "Llama's understudy")
'''
TITLES = "title,abstract,label\n" + "".join(
    f"On {label} {number},An abstract,{label}\n"
    for number in range(100)
    for label in ("cs", "stat")
)
PATIENTS = "AGE,DIFFERENTIAL_DIAGNOSIS,SEX,PATHOLOGY,EVIDENCES,INITIAL_EVIDENCE\n" + "".join(
    f"{20 + number},[],F,{name},\"['E_91']\",E_91\n"
    for number in range(20)
    for name in ("Influenza", "Anaphylaxis")
)
EVIDENCES = (
    '{"E_91": {"name": "E_91", "question_en": "Fever?", "value_meaning": {}, "data_type": "B", '
    '"possible-values": [], "is_antecedent": false, "default_value": 0}}'
)


@pytest.fixture
def all_data(tmp_path, real_data):
    """Return a folder with all six data sets: the real ones, and two small ones in their format."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("tc", "subj", "banking77", "cr"):
        (folder / name).symlink_to(real_data / name)
    archives = {"arxiv/ArXiv-10.zip": ("arxiv100.csv", TITLES)}
    for split in ("train", "validate", "test"):
        member = f"release_{split}_patients"
        archives[f"medical/{member}.zip"] = (member, PATIENTS)
    for name, (member, text) in archives.items():
        (folder / name).parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr(member, text)
    (folder / "medical/release_evidences.json").write_text(EVIDENCES)
    return folder


def bundled_suite(name):
    return board_path(Path(name)).with_name("suite.toml")


def suite_of(name, **changes):
    path = bundled_suite(name)
    return Suite.build(Suite.read(path) | changes, where=str(path))


def test_paper_suite_axes():
    suite = suite_of("paper-table4")
    assert suite.name == "paper-table4"
    assert [table["name"] for table in suite.datasets] == list(DATASETS)
    assert [table["name"] for table in suite.classifiers] == ["bert-base"]
    assert [table["name"] for table in suite.generators] == ["llama2-vllm"]
    assert {table["name"] for table in suite.calibrators} == set(POSTHOC)
    assert set(suite.arms) == set(DEFAULT_ARMS)
    assert (suite.bins, suite.seeds) == ([10, 15, 20], [0, 1, 2])
    assert (suite.protocol, suite.selector, suite.threshold) == ("paper", "threshold", 0.03)


def test_paper_suite_covers_every_paper_row(tmp_path, all_data):
    plugin = tmp_path / "stand_ins.py"
    plugin.write_text(STAND_INS)
    registry = Registry.load([str(plugin)])
    suite = suite_of("paper-table4", classifiers="stand-in", generators="stand-in")
    cells, refused = expand(resolve(suite, registry, DataFolder.from_environment(all_data)))
    found = {
        (cell.dataset.part.name, (cell.arm, cell.bins, cell.calibrator.name), cell.seed)
        for cell in cells
    }
    assert {(name, each, seed) for name in DATASETS for each in ROWS for seed in (0, 1, 2)} <= found
    # Beyond it: `real`, two control arms at three numbers of bins, and MC dropout on all arms.
    assert len(found) == len(cells) == 6 * 3 * (5 + 2 + 5 * 3 * 2)
    assert len(refused) == 6 * (1 + 5 * 3) * 3
    assert all("trains on the validation split" in refusal.reason for refusal in refused)


def test_paper_suite_part_settings(paper):
    registry = Registry.load([])
    classifier = registry.part_class("classifier", "bert-base")
    generator = registry.part_class("generator", "llama2-vllm")
    for entry in paper.entries:
        for key, value in entry.classifier.params.items():
            assert getattr(classifier, key) == value
        if entry.generator is not None:
            for key, value in entry.generator.params.items():
                assert getattr(generator, key) == value
        if entry.calibrator.name == "mc-dropout":
            assert classifier.passes == entry.calibrator.params["passes"]


# The board `quick`


def test_quick_board_size():
    files = [path for path in board_path(Path("quick")).parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 13_000_000
    named = {
        record.path
        for entry in read_board(board_path(Path("quick"))).entries
        for record in entry.artifacts.predictions
    }
    folder = board_path(Path("quick")).parent
    assert {path.relative_to(folder).as_posix() for path in files if path.suffix == ".npz"} == named


def test_quick_board_matches_its_suite():
    suite, board = suite_of("quick"), read_board(board_path(Path("quick")))
    rows = {
        (entry.dataset.name, entry.arm, entry.bins, entry.calibrator.name)
        for entry in board.entries
    }
    assert rows == {
        (dataset["name"], arm, None if arm in ("baseline", "real") else 15, calibrator["name"])
        for dataset in suite.datasets
        for arm in suite.arms
        for calibrator in suite.calibrators
    }
    for entry in board.entries:
        assert entry.seeds == suite.seeds
        assert entry.protocol == "strict"
        assert entry.classifier.name == "tfidf-logreg"
        needs_two_classes = set() if entry.dataset.name != "tweeteval-emotion" else {"ece_positive"}
        names = {table["name"] for table in suite.metrics}
        assert set(entry.metrics) == names - needs_two_classes


def test_quick_board_digests_match_loaders(real_data):
    registry = Registry.load([])
    digests = {
        entry.dataset.name: entry.dataset.digest
        for entry in read_board(board_path(Path("quick"))).entries
    }
    for name, stored in digests.items():
        loader = registry.create("dataset", PartReference.parse(name))
        assert loader.load(DataFolder.from_environment(real_data)).digest == stored, name


# Bundled boards by name


def test_bundled_boards_have_suite_and_matching_name():
    boards = bundled_boards(Registry.load())
    assert set(boards) == {"paper-table4", "quick"}
    for name, path in boards.items():
        board = read_board(path)
        assert board.name == name
        assert board.checksum == board_checksum(
            board.name, board.created, board.entries, board.primary
        )
        assert Suite.read(bundled_suite(name))["name"] == name


def test_existing_file_wins_over_bundled_board_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert board_path(Path("quick")) == bundled_boards(Registry.load())["quick"]
    (tmp_path / "quick").mkdir()  # of the board's page, say
    assert board_path(Path("quick")) == bundled_boards(Registry.load())["quick"]
    (tmp_path / "quick" / "leaderboard.json").touch()
    assert board_path(Path("quick")) == Path("quick")
    for given in (Path("no/quick"), Path("absent.json")):
        assert board_path(given) == given
    with pytest.raises(LeaderboardError, match=r"no leaderboard of that name.*paper-table4"):
        board_path(Path("paper-tabel4"))


BOARDS_PLUGIN = """
from pathlib import Path
from fgbench import hookimpl

@hookimpl
def fgbench_leaderboards(register):
    register("%(name)s", Path(__file__).parent / "mine", "My own figures")
"""


@pytest.fixture
def mine(tmp_path):
    """A plugin file that brings along the board `mine-v1.0`, a copy of the published figures."""
    (tmp_path / "mine").mkdir()
    published = board_path(Path("paper-table4"))
    (tmp_path / "mine" / published.name).write_bytes(published.read_bytes())
    plugin = tmp_path / "boards_plugin.py"
    plugin.write_text(BOARDS_PLUGIN % {"name": "mine-v1.0"})
    yield plugin
    sys.modules.pop("boards_plugin", None)


def test_plugin_board_is_found_by_name(mine, fgbench):
    options = ("--plugin", mine)
    listed = json.loads(fgbench("list", "leaderboards", "--json", *options).stdout)
    assert {"mine-v1.0", "quick", "paper-table4"} == {item["name"] for item in listed}
    shown = json.loads(fgbench("leaderboard", "show", "mine-v1.0", "--json", *options).stdout)
    assert len(shown["entries"]) == 66
    assert "verified" in fgbench("leaderboard", "verify", "mine-v1.0", *options).stdout
    assert fgbench("leaderboard", "compare", "mine-v1.0", "paper-table4", *options).stdout
    fgbench("leaderboard", "html", "mine-v1.0", "-o", "page", *options)
    assert (mine.parent / "page" / "index.html").is_file()
    assert "no leaderboard of that name" in fgbench("leaderboard", "show", "mine-v1", code=2).stderr


def test_board_name_clash_names_both_plugins(mine):
    mine.write_text(BOARDS_PLUGIN % {"name": "quick"})
    registry = Registry.load([str(mine)])
    with pytest.raises(PluginError, match=r"'quick' is registered by builtin .* boards_plugin"):
        board_path(Path("quick"), registry)
    assert board_path(Path("paper-table4"), registry).name == "reference.json"


def test_relative_board_path_is_refused(mine):
    mine.write_text(BOARDS_PLUGIN.replace("Path(__file__).parent / ", "") % {"name": "relative"})
    registry = Registry.load([str(mine)])
    assert "'mine' is not an absolute path" in registry.failures[0].reason


def test_doctor_reports_missing_board_file(mine, fgbench):
    assert "mine" not in fgbench("doctor", "--plugin", mine).stderr
    (mine.parent / "mine" / "reference.json").unlink()
    missing = fgbench("doctor", "--plugin", mine, code=1).stderr
    assert "leaderboard 'mine-v1.0'" in missing


@pytest.mark.parametrize("name", ["quick", "paper-table4"])
def test_fast_and_slow_board_parsers_agree(name):
    text = bundled_boards(Registry.load())[name].read_bytes()
    assert files.parse_board(text, name) == files._parse_other(text, name)


@pytest.mark.parametrize("change", [{"schema": None}, {"schema_": "fgbench.leaderboard/1"}])
def test_board_without_schema_is_refused(change):
    board = json.loads(bundled_boards(Registry.load())["quick"].read_bytes()) | {"entries": []}
    del board["schema"]
    board |= {key: value for key, value in change.items() if value is not None}
    with pytest.raises(LeaderboardError, match=r"schema: expected '.*', not None"):
        files.parse_board(json.dumps(board), "x")
