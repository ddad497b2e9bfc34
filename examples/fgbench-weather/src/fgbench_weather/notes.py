"""Data set of generated weather notes: does it rain within three hours?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from fgbench import Card, DataFolder, Dataset, DatasetLoader, Split, seed_for

SHARES = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
"""P(fair, unsettled, foul clause | dry) and P(… | rain), at clarity 1."""

CLAUSES = {
    "sky": (
        ("a few high wisps", "clear to the horizon", "fair-weather cumulus over the hills"),
        ("a thin veil before the sun", "broken cloud at middle height", "a ring around the moon"),
        ("low grey cloud from the west", "towering cloud inland", "the hilltops are gone in cloud"),
    ),
    "wind": (
        ("a light breeze off the land", "calm since dawn", "a steady easterly"),
        ("the wind has backed a little", "gusts now and then", "the breeze comes and goes"),
        ("a fresh south-westerly", "the wind backs and freshens", "squalls on the water"),
    ),
    "pressure": (
        ("the barometer is high and steady", "pressure rising slowly", "pressure up since noon"),
        ("the barometer has not moved", "pressure a little below normal", "a small dip and back"),
        ("the barometer falls quickly", "pressure lowest of the week", "pressure down three hours"),
    ),
    "signs": (
        ("swallows hunt high up", "smoke climbs straight", "dew on the grass this morning"),
        ("gulls sit on the field", "the far coast looks near", "midges along the hedge"),
        ("swallows skim the pond", "the drains smell", "daisies have closed"),
    ),
}
"""For each aspect, the phrases for fair, unsettled and foul weather."""


class WeatherNotes(DatasetLoader):
    """Notes of four clauses each; the clauses are evidence for the label but never decide it.

    With `clarity` 1 the notes follow the card's rule; with 0 they are independent of the label.
    """

    train_size: Annotated[int, Field(ge=2)] = 600
    validation_size: Annotated[int, Field(ge=2)] = 300
    test_size: Annotated[int, Field(ge=2)] = 600
    clarity: Annotated[float, Field(ge=0, le=1)] = 1.0
    draw_seed: int = 0

    default_generator = "clause-swap"

    @classmethod
    def card(cls) -> Card:
        return Card.read(Path(__file__).with_name("weather-notes.toml"))

    def load(self, folder: DataFolder) -> Dataset:
        """Draw the three splits, each from its own random stream; needs no file."""
        card = self.card()
        return Dataset(
            name=card.name,
            label_names=card.label_names,
            label_descriptions=tuple(label.description for label in card.labels),
            splits={
                "train": self._draw("train", self.train_size),
                "validation": self._draw("validation", self.validation_size),
                "test": self._draw("test", self.test_size),
            },
            task=card.task,
        )

    def _draw(self, split: str, size: int) -> Split:
        rng = np.random.default_rng(seed_for("weather-notes", self.draw_seed, split))
        shares = self.clarity * SHARES + (1 - self.clarity) * SHARES.mean(axis=0)
        labels = rng.integers(2, size=size)
        return Split([_note(shares[label], rng) for label in labels], labels)


def _note(shares: np.ndarray, rng: np.random.Generator) -> str:
    clauses = []
    for ways in CLAUSES.values():
        phrases = ways[rng.choice(3, p=shares)]
        clauses.append(phrases[rng.integers(len(phrases))])
    text = "; ".join(clauses[at] for at in rng.permutation(len(clauses)))
    return text[0].upper() + text[1:] + "."
