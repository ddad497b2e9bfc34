"""Every reader of files that others may have written, on damaged and hostile files.

The only outcomes are success and an `FgbenchError`. Run more examples with
`pytest tests/unit/test_fuzz_readers.py --hypothesis-profile=fuzz`.
"""

import io
import json
import zipfile
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fgbench.cards import Card, DataFolder, record_path, recorded_digest
from fgbench.data import Predictions
from fgbench.differences.compare import compare_boards
from fgbench.differences.rendering import as_csv, as_markdown, as_text
from fgbench.engine.events import read_events
from fgbench.errors import FgbenchError
from fgbench.evaluation.assessment import assess
from fgbench.evaluation.sets import read_predictions
from fgbench.foreign import SUITE as SUITE_FILE
from fgbench.foreign import read_json
from fgbench.leaderboard.files import PredictionsFolder, read_board
from fgbench.leaderboard.models import Provenance
from fgbench.leaderboard.submission import check_submission
from fgbench.leaderboard.verify import verify_board
from fgbench.plan.suite import Suite
from fgbench.plugins.references import PartReference
from fgbench.report.diagnostics import read_summaries
from fgbench.report.samples import read_samples
from fgbench.report.table import results_html
from fgbench.report.write import _failures
from fgbench.runs.keys import keys_of_run
from fgbench.runs.predict import read_models
from fgbench.runs.receipt import is_current
from fgbench.samples import RunSample, Sample, load_samples
from fgbench_plugins.language_models.templates import read_template
from support.boards import make_run, registry

FUZZ = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

STRANGE = [
    None, True, -1, 0, 2**31, 2**63, 10**40, 10**400, -(10**400), 0.5, 1e308, float("nan"),
    float("inf"), "", "\0", "\ud800", "../../x", "x" * 600, "[" * 50, "2026", [], {}, [[]],
    {"": None}, [1, "a"], {"name": "x"}, {"a": {"b": [{}]}},
]  # fmt: skip
DEEP = '{"a":' * 2000 + "1" + "}" * 2000


@st.composite
def damaged(draw, content):
    """Return the content after a few changes of its bytes."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(changed)))
        length = draw(st.integers(0, 40))
        kind = draw(st.sampled_from(["replace", "insert", "cut", "repeat", "truncate"]))
        if kind == "truncate":
            del changed[start:]
        elif kind == "cut":
            del changed[start : start + length]
        elif kind == "repeat":
            changed[start:start] = changed[start : start + length] * draw(st.integers(1, 50))
        else:
            text = draw(
                st.binary(max_size=12)
                | st.sampled_from([b"\xff", b"\0", b"1e999", b"9" * 5000, b"[" * 5000, b"NaN"])
            )
            changed[start : start + (len(text) if kind == "replace" else 0)] = text
    return bytes(changed)


@st.composite
def mutated(draw, value):
    """Return the JSON text of the value after a few of its items were replaced or removed."""
    value = json.loads(json.dumps(value))
    for _ in range(draw(st.integers(1, 3))):
        places = [*_places(value)]
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        if draw(st.integers(0, 4)) == 0:
            del container[key]
        elif draw(st.integers(0, 4)) == 0 and isinstance(container, dict):
            container[draw(st.sampled_from(["", "\0", "name", "x", str(key) + " "]))] = container[
                key
            ]
        else:
            container[key] = deepcopy(draw(st.sampled_from(STRANGE)))
    text = json.dumps(value)
    if draw(st.integers(0, 30)) == 0:
        text = text.replace("null", DEEP, 1)
    return text.encode()


def _places(value):
    """Yield containers with the key of each of their items, those near the root as often."""
    level = [value]
    for _ in range(8):
        below = []
        for container in level:
            items = container.items() if isinstance(container, dict) else enumerate(container)
            for key, item in items:
                yield container, key
                if isinstance(item, dict | list):
                    below.append(item)
        level = below[:50]


@cache
def run():
    """Return the files of a small valid run, by path."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_run(folder, arms=("baseline", "synthesis"), calibrators=("none",))
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }


def written(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def check(read, files):
    """Write files into a fresh folder and read it; anything but success and our error fails."""
    with TemporaryDirectory() as name:
        try:
            read(written(Path(name), files))
        except FgbenchError as error:
            message = str(error)
            assert message
            assert "Traceback" not in message


def _board(folder):
    board = read_board(folder)
    verify_board(folder, registry(), numbers=False)
    files = PredictionsFolder(folder)
    for entry in board.entries:
        for record in entry.artifacts.predictions:
            try:
                files.read(record)
            except FgbenchError:
                continue
    board.to_json()
    results_html(board)
    comparison = compare_boards(board, board)
    for render in (as_text, as_csv, as_markdown):
        render(comparison)


def _full_board(folder):
    verify_board(folder, registry())
    check_submission(folder, registry())


BOARD = "leaderboard.json"


@FUZZ
@given(st.data())
def test_boards(data):
    files = run()
    content = data.draw(mutated(json.loads(files[BOARD])) | damaged(files[BOARD]))
    check(_board, files | {BOARD: content})


@settings(FUZZ, max_examples=10)
@given(st.data())
def test_verification_of_boards(data):
    files = run()
    check(_full_board, files | {BOARD: data.draw(mutated(json.loads(files[BOARD])))})


SUITE = {
    "name": "x", "datasets": ["se", {"name": "csv", "path": "a.csv"}], "classifiers": "logreg",
    "bins": [10, 15], "seeds": [0, 1], "threshold": 0.03, "limit": 5, "arms": ["baseline"],
}  # fmt: skip
TOML = b"""
name = "x"
datasets = ["se", {name = "csv", path = "a.csv", labels = ["a", "b"]}]
bins = [10, 15]
seeds = [0, 1]
threshold = 0.03
created = 2026-01-01T00:00:00Z
[[calibrators]]
name = "none"
"""


@FUZZ
@given(damaged(TOML))
def test_suites(content):
    check(lambda folder: Suite.build(Suite.read(folder / "suite.toml")), {"suite.toml": content})


@FUZZ
@given(mutated(SUITE))
def test_values_of_suites(content):
    def read(folder):
        values = read_json(folder / "suite.json", SUITE_FILE)
        suite = Suite.build(values if isinstance(values, dict) else {})
        suite.to_toml()

    check(read, {"suite.json": content})


@FUZZ
@given(st.data())
def test_cards(data):
    cards = sorted(Path("datasets_registry/fgbench_datasets/cards").glob("*.toml"))
    content = data.draw(damaged(data.draw(st.sampled_from(cards)).read_bytes()))
    check(lambda folder: Card.read(folder / "card.toml"), {"card.toml": content})


@FUZZ
@given(st.data())
def test_samples(data):
    (name,) = (name for name in run() if name.startswith("samples/"))
    lines = run()[name].splitlines()
    line = data.draw(mutated(json.loads(lines[0])) | damaged(lines[0]))
    content = b"\n".join([line, *lines[1:]])

    def read(folder):
        for record in (Sample, RunSample):
            try:
                load_samples(folder / name, record)
            except FgbenchError:
                continue
        read_samples([folder])

    check(read, run() | {name: content})


def _run_folder(folder):
    for read in (
        lambda: read_samples([folder]),
        lambda: read_summaries(folder),
        lambda: read_events(folder / "events.jsonl"),
        lambda: keys_of_run(folder),
        lambda: _failures(folder / "events.jsonl"),
        lambda: read_models(folder / "models.json"),
        lambda: is_current(folder, {}, Provenance()),
        lambda: recorded_digest(folder / "file"),
    ):
        try:
            read()
        except FgbenchError as error:
            assert str(error)


DIAGNOSTICS = {
    "schema": "fgbench.diagnostics/1",
    "sets": [
        {
            "dataset": "d", "classifier": "c", "loss": "l", "generator": "g", "bins": 15,
            "design": "targeted", "seed": 0, "samples": "samples/x.jsonl",
            "fidelity": {"baseline": {"accepted": {"n": 1, "error": 0.5}, "candidates": {"n": 1}}},
            "relabelling": {"n": 1, "share": 0.5, "by_bin": {"1": {"n": 1, "share": 0.5}}},
            "diversity": {"texts": {"n": 1, "words": 2.0}, "sources": {"n": 1, "words": 2.0}},
            "shifts": {
                "real": [
                    {
                        "bin": 3, "n": 2, "asked_shift": 0.1, "before": 0.2, "after": 0.3,
                        "outcome": 0.5, "confidence_before": 0.5, "confidence_after": 0.6,
                        "accuracy_before": 0.5, "accuracy_after": 0.5,
                    }
                ]
            },
            "skipped": {"a": "b"},
        }
    ],
}  # fmt: skip
INDEXES = {
    "models.json": {"a": {"0": "f" * 64}},
    "samples.json": {"a": ["samples/x.jsonl"]},
    "diagnostics.json": DIAGNOSTICS,
    ".receipt.json": {"written_from": "x", "files": {"a": "b"}},
    "file.fetched.json": {"url": "x", "sha256": "y", "bytes": 1},
    "events.jsonl": {
        "event": "cell_failed", "cell": "c", "error": "e", "key": "a" * 64, "datasets": ["b" * 64],
    },
}  # fmt: skip


def test_indexes_are_valid_before_they_are_changed(tmp_path):
    written(tmp_path, {name: json.dumps(value).encode() for name, value in INDEXES.items()})
    assert read_summaries(tmp_path)
    assert keys_of_run(tmp_path) == {"a" * 64, "b" * 64}
    assert _failures(tmp_path / "events.jsonl") == [{"cell": "c", "error": "e"}]
    assert read_models(tmp_path / "models.json") == {"a": {"0": "f" * 64}}
    assert recorded_digest(tmp_path / "file") == "y"
    assert record_path(tmp_path / "file").name in INDEXES


@FUZZ
@given(st.data())
def test_run_folders(data):
    name = data.draw(st.sampled_from(sorted(INDEXES)))
    content = json.dumps(INDEXES[name]).encode()
    content = data.draw(mutated(INDEXES[name]) | damaged(content))
    check(_run_folder, run() | {name: content})


@cache
def archives():
    labels = np.arange(30) % 3
    logits = np.eye(3, dtype=np.float32)[labels]
    result = []
    for save in (np.savez, np.savez_compressed):
        for arrays in (
            {"logits": logits, "labels": labels},
            {"probabilities": np.full((30, 3), 1 / 3), "labels": labels},
        ):
            stream = io.BytesIO()
            save(stream, **arrays)
            result.append(stream.getvalue())
    return result


@FUZZ
@given(st.data())
def test_archives_of_predictions(data):
    content = data.draw(damaged(data.draw(st.sampled_from(archives()))))

    def read(folder):
        with suppress(FgbenchError):
            Predictions.load(folder / "p.npz")
        read_predictions(folder / "p.npz")

    check(read, {"p.npz": content})


HEADERS = st.builds(
    "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}".format,
    st.sampled_from(["'<f8'", "'|b1'", "'<U9'", "'|S0'", "'<f2'", "'|O'", "[('a', 'f8')]", ">i8"]),
    st.sampled_from(["True", "False", "1"]),
    st.sampled_from(["(30,)", "(30, 3)", "()", "(0,)", "(0, 0)", "(10, 0)", "(-1,)", "(1, 1, 1)",
                     "(999999999999,)", "(999999999, 0)", "30", "(3, 10)"]),
)  # fmt: skip


@FUZZ
@given(HEADERS, HEADERS, st.binary(max_size=300), st.sampled_from(["logits", "probabilities"]))
def test_headers_of_arrays(first, second, content, name):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for member, header in ((name, first), ("labels", second)):
            start = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode()
            archive.writestr(f"{member}.npy", start + content)
    read = stream.getvalue()
    check(lambda folder: assess_file(folder / "p.npz"), {"p.npz": read})


def assess_file(path):
    assess(read_predictions(path).seeds, registry())


CSV = b"label,a,b,seed,group\n" + b"".join(
    b"a,0.25,0.75,%d,x\nb,0.5,0.5,%d,y\n1,0.1,0.9,%d,y\n" % (seed, seed, seed) for seed in range(3)
)


@FUZZ
@given(damaged(CSV))
def test_tables_of_predictions(content):
    check(lambda folder: read_predictions(folder / "p.csv"), {"p.csv": content})


ROWS = [(f"text {i}", "ab"[i % 2], ["train", "test"][i % 5 == 0]) for i in range(30)]
TABLE = "text,label,split\n" + "".join(f"{','.join(row)}\n" for row in ROWS)
LINES = "".join(
    json.dumps(dict(zip(("text", "label", "split"), row, strict=True))) + "\n" for row in ROWS
)


@FUZZ
@given(st.data())
def test_files_of_data(data):
    kind, text = data.draw(st.sampled_from([("csv", TABLE), ("jsonl", LINES)]))
    encoding = data.draw(st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-7", "idna"]))
    split = data.draw(st.sampled_from(["", ",split=split"]))

    def read(folder):
        reference = f"{kind}:path={folder}/file,text=text,label=label,encoding={encoding}{split}"
        loader = registry().create("dataset", PartReference.parse(reference))
        loader.load(DataFolder.from_environment(None))

    check(read, {"file": data.draw(damaged(text.encode()))})


TEMPLATE = b"""
[generation]
user = "{{ source }} {{ asked_probabilities }}"
[relabeling]
user = "{{ text }} {{ answer_format }}"
"""


@FUZZ
@given(damaged(TEMPLATE))
def test_prompt_templates(content):
    check(
        lambda folder: read_template(str(folder / "t.toml"), needs_source=True, by_option=True),
        {"t.toml": content},
    )
