"""The report: self-contained, escaped, reproducible, and made from the run folder alone."""

import base64
import gzip
import hashlib
import itertools
import json
import re
import shutil
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from fgbench.cli import run_command
from fgbench.errors import DataError, LeaderboardError
from fgbench.report import plain_tables, samples, write_report
from fgbench.report.fidelity import MAX_DOTS, fidelity, tenth_rows
from support.boards import make_run

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&</style>"


class Page(HTMLParser):
    """Collects tags, attributes and ids; fails on an element that is closed but not open."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.ids, self.open = [], [], [], []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in ("meta", "br", "link", "img", "input", "col"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def columns_of(html):
    """Return the board that a page carries for its scripts."""
    packed = re.search(r'id="board-data">([^<]*)</script>', html).group(1)
    return json.loads(gzip.decompress(base64.b64decode(packed)))


def without_scripts(html):
    return re.sub(r"<script\b.*?</script>", "", html, flags=re.DOTALL)


def page_of(folder):
    write_report(folder, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    make_run(folder, name=f"run {EVIL}", dataset="demo", text=EVIL)
    return folder


@pytest.fixture(scope="module")
def html(run):
    return page_of(run)


def test_report_escapes_data_text(html):
    page = Page(html)
    assert not page.open, "an element is not closed"
    assert page.tags.count("script") == 4  # the data, two libraries, ours
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert EVIL in page.text  # it is shown, as text


def test_report_escapes_part_names(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "leaderboard.json"
    board = json.loads(file.read_text(encoding="utf-8"))
    for entry in board["entries"]:
        for part in ("dataset", "classifier", "loss", "generator"):
            if entry[part]:
                entry[part]["name"] = EVIL
        entry["provenance"] |= {"python": EVIL, "platform": EVIL, "packages": {EVIL: EVIL}}
        if entry["synthetic"]:
            entry["synthetic"]["rejected_by"] = {EVIL: 1}
        entry["undefined"] = {EVIL: EVIL}
    file.write_text(json.dumps(board), encoding="utf-8")
    html = page_of(tmp_path / "run")
    page = Page(html)
    assert page.tags.count("script") == 4
    assert "img" not in page.tags
    assert EVIL in columns_of(html)["entries"]["provenance"]["texts"][0]


def test_report_loads_nothing_external(html):
    page = Page(html)
    assert any("default-src 'none'" in str(value) for _, value in page.attributes)
    links = [v for name, v in page.attributes if name in ("href", "src", "xlink:href")]
    assert all(link.startswith("#") for link in links), links
    assert not re.search(r"url\((?!#)", without_scripts(html))
    assert "@import" not in html


def test_report_csp_allows_only_its_own_scripts(html):
    (policy,) = [v for _, v in Page(html).attributes if "default-src" in str(v)]
    (allowed,) = re.findall("script-src ([^;]*);", policy)
    scripts = re.findall(r'<script(?: type="module")?>(.*?)</script>', html, flags=re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert allowed.split() == [f"'sha256-{digest}'" for digest in digests]
    assert len(digests) == 3


def test_report_ids_are_unique_and_links_resolve(html):
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    wanted = [v[1:] for name, v in page.attributes if name.endswith("href") and v[:1] == "#"]
    wanted += re.findall(r"url\(#([^)]+)\)", without_scripts(html))
    assert set(wanted) <= set(page.ids)


def test_report_is_deterministic(run, html):
    assert page_of(run) == html


def test_report_shows_diagrams_pairs_counts_failures_and_provenance(html):
    page = Page(html)
    assert len(columns_of(html)["diagrams"]["drawn"]) == 8  # one an entry
    for text in ("source 0", "synthetic 0", "target .55", "achieved .56", "2 rejected"):
        assert text in page.text
    assert "the plugin raised" in page.text
    assert "numpy 2.4" in page.text
    assert "relabeled" in page.text
    assert "color-scheme: light dark" in html
    assert "@media print" in html


def test_fidelity_compares_targets_with_what_each_judge_says(html):
    """Six accepted texts have target 0.55, true posterior 0.56 and claim 0.6."""
    ((anchor, (posterior, claim)),) = columns_of(html)["fidelities"].items()
    assert f"{anchor}-fidelity" in Page(html).ids
    assert posterior == {
        "judge": "true posterior",
        "axis": "P(y = 1)",
        "n": 6,
        "text": ".010",
        "dots": {"target": [0.55] * 6, "judged": [0.56] * 6},
        "means": {"target": [0.55], "judged": [0.56], "n": [6], "text": [".550 → .560"]},
    }
    assert claim["judge"] == "generator's claim"
    assert claim["text"] == ".050"


def test_fidelity_averages_by_tenth_of_the_target():
    pairs = [(0.0, 0.2), (0.08, 0.4), (0.1, 0.1), (0.95, 0.9), (1.0, 0.7)]
    summary = fidelity("judge", "P(y = 1)", pairs)
    assert summary.error == pytest.approx((0.2 + 0.32 + 0 + 0.05 + 0.3) / 5)
    means = [(mean.tenth, mean.target, mean.judged, mean.n) for mean in summary.means]
    assert means == [
        (0, pytest.approx(0.04), pytest.approx(0.3), 2),
        (1, 0.1, 0.1, 1),
        (9, pytest.approx(0.975), pytest.approx(0.8), 2),
    ]
    partial = fidelity("other", "P(y = 1)", pairs[2:3])
    rows = [
        (limits, [mean and mean.n for mean in row])
        for limits, row in tenth_rows([summary, partial])
    ]
    assert rows == [("0.0–0.1", [2, None]), ("0.1–0.2", [1, 1]), ("0.9–1.0", [2, None])]


def test_fidelity_draws_a_bounded_number_of_dots_but_averages_all_inputs():
    pairs = [(k / 1000, 0.5) for k in range(1001)]
    summary = fidelity("judge", "P(y = 1)", pairs)
    assert summary.n == sum(mean.n for mean in summary.means) == 1001
    assert 125 < len(summary.dots) <= MAX_DOTS
    assert set(summary.dots) <= set(pairs)
    assert summary.dots[0] == pairs[0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *itertools.product(
            ["asked_probabilities", "achieved_probabilities"], ["[NaN, 0.5]", "[-0.5, 1.5]", "[]"]
        ),
        ("achieved_probabilities", "null"),
    ],
)
def test_fidelity_ignores_samples_without_valid_probabilities(run, tmp_path, field, value):
    shutil.copytree(run, tmp_path / "run")
    (file,) = (tmp_path / "run" / "samples").iterdir()
    first, *others = file.read_text(encoding="utf-8").splitlines()
    changed = re.sub(rf'"{field}": \[[^]]*\]', f'"{field}": {value}', first)
    assert changed != first
    file.write_text("\n".join([changed, *others]), encoding="utf-8")
    posterior, claim = columns_of(page_of(tmp_path / "run"))["fidelities"]["samples-0"]
    assert posterior["n"] == 5
    assert claim["n"] == (5 if field == "asked_probabilities" else 6)


def test_report_shows_failures_of_last_attempt_only(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    with (tmp_path / "run" / "events.jsonl").open("a", encoding="utf-8") as stream:
        stream.write("\n" + json.dumps({"event": "run_started", "time": "x"}) + "\n")
    assert "the plugin raised" not in page_of(tmp_path / "run")


def test_multiclass_report_shows_top_label(tmp_path):
    make_run(tmp_path, classes=4, arms=("baseline", "synthesis"))
    drawn = columns_of(page_of(tmp_path))["diagrams"]["drawn"]
    assert {each["axis"] for each in drawn} == {"top-label confidence"}
    assert len(drawn) == 4


def test_report_works_without_samples_events_or_predictions(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "samples")
    shutil.rmtree(tmp_path / "run" / "predictions")
    (tmp_path / "run" / "events.jsonl").unlink()
    html = page_of(tmp_path / "run")
    diagrams = columns_of(html)["diagrams"]
    assert diagrams["drawn"] == []
    assert len(diagrams["problems"]) == 8
    assert all("cannot be read: No such file" in problem for problem in diagrams["problems"])
    assert columns_of(html)["fidelities"] == {}


def test_large_board_report_omits_plain_tables(run, tmp_path, monkeypatch):
    monkeypatch.setattr(plain_tables, "MOST_ROWS", 7)
    shutil.copytree(run, tmp_path / "run")
    page = Page(page_of(tmp_path / "run"))
    assert "too many entries for plain tables" in page.text
    assert "On the test split" not in page.text


def test_report_rounds_and_shortens_numeric_inputs(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (file,) = (tmp_path / "run" / "samples").iterdir()
    sample = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    sample["source"]["input"] = [1.25, -3.0]
    sample["input"] = [float(k) for k in range(20)]
    file.write_text(json.dumps(sample), encoding="utf-8")
    page = Page(page_of(tmp_path / "run"))
    assert "(1.25, -3)" in page.text
    assert "(0, 1, 2, 3, 4, 5, 6, 7, …)" in page.text


@pytest.mark.parametrize("line", ["{", "[]", '{"bin": "x"}'])
def test_malformed_sample_line_is_named(run, tmp_path, line):
    shutil.copytree(run, tmp_path / "run")
    (file,) = (tmp_path / "run" / "samples").iterdir()
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join([*lines[:3], line, *lines[3:]]), encoding="utf-8")
    with pytest.raises(DataError, match=rf"{file.name} line 4: not "):
        page_of(tmp_path / "run")


def test_report_command_writes_to_run_or_given_path(run, tmp_path, capsys):
    assert run_command(["report", str(run), "-o", str(tmp_path / "x" / "page.html")]) == 0
    assert run_command(["report", str(run)]) == 0
    assert (tmp_path / "x" / "page.html").read_bytes() == (run / "report.html").read_bytes()
    assert capsys.readouterr().out.endswith("report.html\n")
    assert run_command(["report", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"Error: {tmp_path / 'none'}: no such run folder.\n"


def diagnosed(run, folder, **changes):
    """Copy a run and give it diagnostics of two seeds."""
    shutil.copytree(run, folder)

    def shift(after, **values):
        return {
            "bin": 9,
            "n": 40,
            "asked_shift": -0.1,
            "before": 0.65,
            "after": after,
            "outcome": 0.5,
            "confidence_before": 0.65,
            "confidence_after": after,
            "accuracy_before": 0.5,
            "accuracy_after": 0.5,
        } | values

    def one(seed):
        fit = {"n": 6, "error": 0.125, "unchanged_error": 0.25, "shift_slope": 0.5}
        return {
            "dataset": "demo",
            "classifier": EVIL,
            "loss": "cross-entropy",
            "generator": "oracle",
            "bins": 15,
            "design": "targeted",
            "seed": seed,
            "samples": "samples/x.jsonl",
            "fidelity": {"baseline": {"accepted": fit, "candidates": fit}},
            "relabelling": {"n": 8, "share": 0.75, "baseline_share": 0.5},
            "shifts": {
                "real": [shift(0.63)],
                "synthesis": [shift(0.58 + seed / 100), shift(None, bin=10, n=0, before=None)],
            },
            "skipped": {"influence": f"classifier {EVIL} keeps no weights"},
        } | changes

    found = {"schema": "fgbench.diagnostics/1", "sets": [one(0), one(1)]}
    (folder / "diagnostics.json").write_text(json.dumps(found), encoding="utf-8")
    return Page(page_of(folder))


def test_report_shows_diagnostics(run, tmp_path):
    page = diagnosed(run, tmp_path / "run")
    assert not page.open
    assert page.tags.count("script") == 4
    assert "diagnostics" in page.ids
    for text in (
        "copy .250",
        "+.500",
        "75\N{NO-BREAK SPACE}%",
        "baseline 50\N{NO-BREAK SPACE}%",
        f"classifier {EVIL} keeps",
    ):
        assert text in page.text
    # After .58 and .59, from .65: on average −.065, and −.045 more than the control.
    for text in ("2 of 2", "80", "−.065", "−.045", "−.050 … −.040"):
        assert text in page.text
    assert "distinct-1" not in page.text  # no set has it


def test_report_without_diagnostics_has_no_such_section(html):
    assert 'id="diagnostics"' not in html


def test_unreadable_diagnostics_are_an_error(run, tmp_path):
    with pytest.raises(LeaderboardError, match=r"diagnostics\.json: not the diagnostics of a run"):
        diagnosed(run, tmp_path / "run", bins="many")


def test_vendored_libraries_match_recorded_digests():
    folder = files("fgbench.report") / "static" / "vendor"
    rows = re.findall(r"\| `([^`]+\.js)` .*`([0-9a-f]{64})` \|", (folder / "README.md").read_text())
    assert [name for name, _ in rows] == ["d3.min.js", "plot.umd.min.js"]
    for name, digest in rows:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        assert (folder / f"{name.partition('.')[0]}.LICENSE").is_file()


def test_samples_are_linked_only_from_their_entries(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    index = tmp_path / "run" / "samples.json"
    users = json.loads(index.read_text(encoding="utf-8"))
    first = sorted(users)[0]
    index.write_text(json.dumps({first: users[first]}), encoding="utf-8")
    html = page_of(tmp_path / "run")
    entries = columns_of(html)["entries"]
    linked = [
        entry
        for entry, code in zip(entries["id"], entries["samples"]["of"], strict=True)
        if entries["samples"]["texts"][code] is not None
    ]
    assert linked == [first]
    assert "demo · oracle · 15 bins · targeted · logreg · seed 0" in Page(html).text
    index.unlink()  # a run of before: it shows its texts, and links them from nowhere
    html = page_of(tmp_path / "run")
    assert columns_of(html)["entries"]["samples"]["texts"] == [None]
    assert "source 0" in Page(html).text


def test_corrupt_samples_index_is_an_error(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "samples.json").write_text("{", encoding="utf-8")
    with pytest.raises(LeaderboardError, match=r"samples\.json: not JSON"):
        page_of(tmp_path / "run")


def test_omitted_sample_sets_are_counted(run, tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "MAX_SETS", 1)
    shutil.copytree(run, tmp_path / "run")
    (file,) = (tmp_path / "run" / "samples").iterdir()
    other = file.read_text(encoding="utf-8").replace('"targeted"', '"random"')
    (file.parent / "other.jsonl").write_text(other, encoding="utf-8")
    page = Page(page_of(tmp_path / "run"))
    assert "Showing 1 of 2 sets of samples. The others are in samples/ of the run." in page.text
    assert "15 bins · targeted" in page.text
    assert "15 bins · random" not in page.text
