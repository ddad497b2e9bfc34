"""The documentation: its plugins run, its links resolve."""

import json
import os
import re
import tomllib
from pathlib import Path

import pytest

from fgbench.leaderboard.bundled import board_path
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from fgbench.testing import check_calibrator
from support.runs import comparable

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n# (?P<name>\w+\.py)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)(?P<target>[^)#\s]+)(?:#(?P<anchor>[^)\s]+))?\)")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md"), *(ROOT / "examples").glob("*/*.md")]
)


@pytest.fixture
def plugins(tmp_path):
    """The files that docs/plugins.md tells its reader to save, in the folder of the test."""
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    for block in BLOCK.finditer(text):
        (tmp_path / block["name"]).write_text(block["code"], encoding="utf-8")
    return tmp_path


def test_documented_plugins_run(plugins, fgbench, monkeypatch):
    monkeypatch.setenv("FGBENCH_PLUGINS", os.pathsep.join(["histogram.py", "tracker.py"]))
    options = (
        "--dataset logistic-1d --arm baseline --calibrator none "
        "--calibrator smoothed-histogram:bins=10 --seed 0 --replicates 20 --json"
    )
    done = fgbench("run", *options.split())
    entries = json.loads(done.stdout)["entries"]
    params = {entry["calibrator"]["name"]: entry["calibrator"]["params"] for entry in entries}
    assert params == {"none": {}, "smoothed-histogram": {"bins": 10}}

    (run,) = (plugins / "runs").iterdir()
    lines = (run / "results.csv").read_text(encoding="utf-8").splitlines()
    ece = sorted(entry["metrics"]["ece"]["mean"] for entry in entries)
    assert sorted(float(line.rpartition(",")[2]) for line in lines) == pytest.approx(ece, abs=1e-4)
    assert "finished: " in done.stderr


def test_documented_command_runs(plugins, fgbench, monkeypatch):
    quick = board_path(Path("quick"))
    monkeypatch.setenv("FGBENCH_PLUGINS", "best.py")
    entries = json.loads(quick.read_text(encoding="utf-8"))["entries"]
    lowest = {}
    for entry in entries:
        lowest.setdefault(entry["dataset"]["name"], []).append(entry["metrics"]["ece"]["mean"])
    lines = fgbench("best", quick).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [f"{min(values):.4f}", name] for name, values in lowest.items()
    ]
    assert "Print the entry with the lowest error" in fgbench("--help").stdout


def test_documented_executor_yields_the_same_board(plugins, fgbench):
    options = "--dataset logistic-1d --limit 150 --seed 0 --metric ece --replicates 20 --quiet"
    boards = []
    for executor in ("one-by-one", "local"):
        place = ["--store", f"store-{executor}", "--out", f"runs-{executor}"]
        more = ["--plugin", "one_by_one.py", "--executor", executor]
        fgbench("run", *options.split(), *place, *more)
        (run,) = (plugins / f"runs-{executor}").iterdir()
        boards.append(comparable(run / "leaderboard.json"))
    assert boards[0] == boards[1]


def test_documented_calibrator_conforms(plugins):
    registry = Registry.load([str(plugins / "histogram.py")])
    reference = PartReference.parse("smoothed-histogram:bins=5")
    check_calibrator(registry.create("calibrator", reference))


def links(page):
    """Return what a page links to inside the repository, as (path, anchor)."""
    matches = LINK.finditer(page.read_text(encoding="utf-8"))
    return [((page.parent / match["target"]).resolve(), match["anchor"]) for match in matches]


def test_documentation_index_links_to_every_page():
    index = ROOT / "docs" / "index.md"
    assert set(PAGES) - {index} <= {target for target, _ in links(index)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_documentation_links_resolve(page):
    for target, anchor in links(page):
        assert target.exists(), f"{page.name} links to {target}"
        if anchor:
            titles = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, f"{page.name} links to {target.name}#{anchor}"


def test_contributing_lists_the_floors_that_are_enforced():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = next(
        contract["layers"]
        for contract in contracts["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers" and contract.get("containers") == ["fgbench"]
    )
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = text.partition("### Floors")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert [sorted(re.findall(r"`(\w+)`", row)) for row in rows] == [
        sorted(layer.replace("|", " ").split()) for layer in layers
    ]
