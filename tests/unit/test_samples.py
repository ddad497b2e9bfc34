"""Samples: the record, its exact lines, and lines that are refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgbench.errors import DataError
from fgbench.loop.filling import GenerationSettings, synthesize
from fgbench.samples import RunSample, Sample, Source, load_samples, serialize_samples
from support.samples import (
    SELECTION,
    TARGETS,
    EveryVerdict,
    EveryVerdictOfNumbers,
    KnowingLoader,
    help_desk,
    make_sample,
)

# Written by fgbench 0.1 before `Sample` existed: two data sets, a candidate of every verdict.
STORED = Path(__file__).parents[1] / "stored"
STAGE, RUN = STORED / "samples.jsonl", STORED / "run_samples.jsonl"


@pytest.mark.parametrize(("path", "record"), [(STAGE, Sample), (RUN, RunSample)])
def test_stored_lines_round_trip_byte_for_byte(path, record):
    samples = load_samples(path, record)
    assert {sample.verdict for sample in samples} == {"accepted", "surplus", "rejected"}
    assert len({sample.reason for sample in samples}) == 11  # ten reasons, and none
    assert serialize_samples(samples) == path.read_bytes()


def test_loop_reproduces_stored_lines():
    """The digest of these bytes is in the keys of all later stages."""
    settings = GenerationSettings(
        seed=0, examples_per_class=3, retries=1, drop_near_duplicates="all"
    )
    content = b""
    for generator, numeric in ((EveryVerdict(), False), (EveryVerdictOfNumbers(), True)):
        dataset = help_desk(numeric=numeric)
        outcome = synthesize(generator, dataset, KnowingLoader(), TARGETS, SELECTION, settings)
        content += serialize_samples(outcome.samples)
    assert content == STAGE.read_bytes()


def test_line_has_typed_fields():
    first, *others = load_samples(RUN, RunSample)
    assert first.accepted
    assert first.source == Source(1, "validation message number 1 about topic 7 – Grüße", 1)
    assert (first.bin, first.draw, first.seed) == (3, 0, 0)
    assert first.asked_probabilities == (0.2, 0.8)
    assert first.baseline_probabilities == (0.5, 0.5)
    assert first.used_in == ("synthesis", "synthesis+")
    assert (first.dataset, first.generator, first.bins) == ("desk", "every-verdict", 10)
    assert any(sample.input == (3,) and not sample.accepted for sample in others)
    assert any(sample.input == "half a pair: \ud83d" for sample in others)


def test_unusable_or_empty_reply_has_no_input():
    samples = load_samples(STAGE, Sample)
    without = {sample.reason for sample in samples if not sample.has_input}
    assert without == {"no candidate", "no text", "unreadable reply"}
    assert not make_sample(input="").has_input


TEXT = st.text(st.characters(), max_size=20)  # unpaired surrogates included
NUMBER = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**70), 2**70))
VECTOR = st.lists(NUMBER, min_size=1, max_size=4).map(tuple)


@given(
    st.builds(
        Sample,
        source=st.builds(Source, st.integers(0), st.one_of(TEXT, VECTOR), st.integers(0, 9)),
        draw=st.integers(0),
        bin=st.integers(0),
        bin_probabilities=VECTOR,
        asked_probabilities=VECTOR,
        verdict=st.sampled_from(["accepted", "surplus", "rejected"]),
        input=st.one_of(st.none(), TEXT, VECTOR),
        messages=st.lists(st.dictionaries(TEXT, TEXT, max_size=2), max_size=2).map(tuple),
        raw=st.one_of(st.none(), TEXT),
        claimed_probabilities=st.one_of(st.none(), VECTOR),
        relabeled=st.one_of(st.none(), st.integers(0, 9)),
        notes=st.lists(TEXT, max_size=2).map(tuple),
    )
)
def test_record_round_trips(sample):
    line = sample.to_line()
    assert line.isascii()
    assert "\n" not in line
    assert Sample.from_line(line) == sample
    assert Sample.from_line(line).to_line() == line


def test_missing_nullable_fields_are_accepted():
    line = json.loads(make_sample().to_line())
    for name in ("notes", "relabel_raw", "relabeled_probabilities", "baseline_probabilities"):
        del line[name]
    assert RunSample.from_line(json.dumps(line)) == make_sample()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"bin": None}, r"bin: Input should be a valid integer"),
        ({"bin": "3"}, r"bin: Input should be a valid integer"),
        ({"verdict": "fine"}, r"verdict: Input should be 'accepted', 'surplus' or 'rejected'"),
        ({"source": {"index": 1, "label": 0}}, r"source\.input: Field required"),
        ({"asked_probabilities": [0.5, "half"]}, r"asked_probabilities\.1"),
        ({"design": "other"}, r"design: Input should be 'targeted', 'random'"),
    ],
)
def test_malformed_line_names_file_line_and_field(tmp_path, change, problem):
    path = tmp_path / "samples.jsonl"
    good = make_sample().to_line()
    bad = json.dumps(json.loads(good) | change)
    path.write_text(f"{good}\n{bad}\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"samples\.jsonl line 2: not a sample \({problem}"):
        load_samples(path, RunSample)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "not JSON"),
        (b"", "not JSON"),
        (b"\xff{}", "not JSON"),
        (b"[]", "not a sample"),
        (b'{"bin": "\\ud83d"}', r"not a sample \(source: Field required"),
    ],
)
def test_unparsable_line_names_file_and_line(tmp_path, line, problem):
    path = tmp_path / "samples.jsonl"
    path.write_bytes(line + b"\n")
    with pytest.raises(DataError, match=rf"samples\.jsonl line 1: {problem}"):
        load_samples(path, Sample)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.jsonl: no such file"):
        load_samples(tmp_path / "none.jsonl", Sample)


def test_stage_line_is_not_a_run_sample():
    with pytest.raises(DataError, match="dataset: Field required"):
        RunSample.from_line(STAGE.read_bytes().splitlines()[0])
