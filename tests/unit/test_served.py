"""The model that answered: its name beside the one asked for, on boards and in reports."""

import pytest

from fgbench import ChatAnswer, joined_notes, served_notes
from fgbench.llm.served import is_same_model
from fgbench.report.notes import notes_of
from support.chat import Echo


@pytest.mark.parametrize(
    ("served", "asked"),
    [
        ("gpt-4o-2024-08-06 (fp_1)", "gpt-4o"), ("gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("claude-3-5-haiku-20241022", "claude-3-5-haiku-latest"), ("tiny (fp_test)", "tiny"),
        ("/models/qwen2.5-7b.gguf", "qwen2.5-7b"), ("llama3.1:latest", "llama3.1"),
        ("mistral-small-2503", "mistral-small"), ("Qwen/Qwen3-8B", "qwen3-8b"), ("x", ""),
        ("models/gemini-2.0-flash-001", "gemini-2.0-flash"), ("deepseek-r1:free", "deepseek-r1"),
    ],
)  # fmt: skip
def test_dates_paths_and_fingerprints_do_not_matter(served, asked):
    assert is_same_model(served, asked)


@pytest.mark.parametrize(
    ("served", "asked"),
    [("gpt-4o-mini", "gpt-4o"), ("model-b", "model-a"), ("gpt-3.5-turbo", "qwen"),
     ("llama3.1:70b", "llama3.1:8b"), ("qwen3-8b", "qwen3-14b"), ("", "m")],
)  # fmt: skip
def test_other_models_are_named(served, asked):
    assert not is_same_model(served, asked)


def test_change_of_model_shows_in_one_note():
    model = Echo(name="model-a")
    notes = {}
    for name, count in (("model-a (fp1)", 40), ("model-b", 35), (None, 5)):
        for note in served_notes(model, ChatAnswer(text="x", served_model=name)):
            notes[note] = notes.get(note, 0) + count
    others, served = joined_notes(notes | {"no seed": 3})
    assert others == {"no seed": 3}
    assert served == "served: model-a (fp1) (40), model-b, not model-a (35)"
    assert joined_notes({"no seed": 3}) == ({"no seed": 3}, None)


class Entry:
    """The part of an entry that notes are made of."""

    class provenance:  # noqa: N801
        notes = ()

    class usage:  # noqa: N801
        requests = 0

    def __init__(self, **counts):
        from fgbench.leaderboard.models import SyntheticRecord

        self.synthetic = SyntheticRecord(**counts)


def test_arm_with_few_inputs_says_so():
    (note,) = notes_of(Entry(requested=75, accepted=3, rejected_by={"no label": 40, "empty": 32}))
    assert note == (
        "only 3 of 75 synthetic inputs were accepted (rejected: no label ×40, empty ×32)"
    )
    assert [*notes_of(Entry(requested=75, accepted=38, rejected_by={"empty": 37}))] == []
    assert [*notes_of(Entry())] == []
