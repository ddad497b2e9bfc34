"""Samples made by hand, and a generator whose candidates meet every verdict of the loop."""

import numpy as np

from fgbench import Candidate, DatasetLoader, GenerationResult, Generator, Relabeling, Usage
from fgbench.data import Dataset, Split
from fgbench.loop.targeting import Source as TargetSource
from fgbench.loop.targeting import TargetBin, Targets
from fgbench.samples import RunSample, Source

EVEN = (0.5, 0.5)


def make_sample(*, index=0, source_input="a source", label=1, **changes):
    """Return an accepted sample of a run; `changes` are fields of it."""
    values = {
        "source": Source(index=index, input=source_input, label=label),
        "draw": 0,
        "bin": 0,
        "bin_probabilities": EVEN,
        "asked_probabilities": EVEN,
        "verdict": "accepted",
        "input": "a synthetic text",
        "dataset": "demo",
        "generator": "oracle",
        "seed": 0,
        "bins": 15,
        "design": "targeted",
    }
    return RunSample(**values | changes)


class KnowingLoader(DatasetLoader):
    """Says that the true posterior follows from an input's length or first number."""

    provides = frozenset({"posterior"})

    def load(self, folder):
        return help_desk()

    def posterior(self, inputs):
        positive = [(len(x) if isinstance(x, str) else x[0]) % 10 / 10 for x in inputs]
        return np.array([[1 - p, p] for p in positive])


def help_desk(*, numeric=False):
    """Return a data set of which validation rows 1, 3, 5, 7 are the selection rows."""

    def split(tag, n):
        texts = [f"{tag} message number {i} about topic {i * 7} – Grüße" for i in range(n)]
        numbers = np.arange(n) + 0.1 * len(tag)
        return Split(numbers if numeric else texts, np.arange(n) % 2)

    splits = {
        "train": split("training", 20),
        "validation": split("validation", 8),
        "test": split("held out", 20),
    }
    return Dataset("desk", ("no", "yes"), splits)


SELECTION = np.array([1, 3, 5, 7])
TARGETS = Targets(
    "targeted",
    (TargetBin(3, 2, 0.7, 0.1, (0, 1)), TargetBin(5, 2, 0.9, -0.1, (2, 3))),
    (
        TargetSource(0, 3, (0.3, 0.7), (0.2, 0.8)),
        TargetSource(1, 3, (0.3, 0.7), (0.2, 0.8)),
        TargetSource(2, 5, (0.1, 0.9), (1 / 3, 2 / 3)),
        TargetSource(3, 5, (0.1, 0.9), (1 / 3, 2 / 3)),
    ),
)

TEXTS = {
    0: [
        Candidate("gut, “new” text\nin two lines", 'raw: {"text": …}', (0.25, 0.75)),
        Candidate("a good text too many", None, (1, 0)),
    ],
    1: [
        Candidate("GUT, new text in two lines!"),
        Candidate("   "),
        Candidate(None, "no JSON ☹", rejection="unreadable reply"),
        Candidate(None),
        Candidate("Held out: message number 3, about topic 21 – Grüße!"),
        Candidate("validation message number 2 about topic 14 – Grüße", None, (1e-7, 1 - 1e-7)),
        Candidate("training message number 4 about topic 28 – Grüße"),
    ],
    2: [
        Candidate("of the other class", None, (float("nan"), 0.5)),
        Candidate("without a label"),
        Candidate("half a pair: \ud83d", "\ud83d", (0.5, 0.5)),
    ],
    3: [],
}
NUMBERS = {
    0: [Candidate((2.5,), None, (0.4, 0.6)), Candidate((3,))],
    1: [Candidate((2.8,))],
    2: [Candidate((-4.0,))],
    3: [Candidate((1e-9,))],
}


class EveryVerdict(Generator):
    """Answers a source's first request with candidates of every kind, and later ones with none."""

    candidates = TEXTS

    def prepare(self, task):
        pass

    def generate(self, requests):
        return [
            GenerationResult(
                self.candidates[request.source_id] if request.draw == 0 else [],
                messages=[{"role": "system", "content": "Schreib."}, {"content": "x", "role": "u"}],
                usage=Usage(requests=1),
                notes=("no structured output", "cut off") if request.source_id == 0 else (),
            )
            for request in requests
        ]

    def relabel(self, requests):
        return [self._label(request.input) for request in requests]

    def _label(self, value):
        if value in ("without a label", (-4.0,)):
            return Relabeling(None, raw="dunno", rejection="no class named", notes=("asked twice",))
        if value in ("of the other class", (1e-9,)):
            return Relabeling(0, (0.6, 0.4), "no")
        return Relabeling(1, (0.1, 0.9), "yes", notes=("cut off",))


class EveryVerdictOfNumbers(EveryVerdict):
    """The same for inputs that are numbers."""

    candidates = NUMBERS
