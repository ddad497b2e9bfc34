"""`known-posterior`: readable help-desk messages with a known true P(y|x) for every text.

The class is the team that handles the message. The texts come from the generative grammar in
`help_desk_grammar`, so the posterior is computed, not estimated, and the true calibration error of
a classifier can be measured. See docs/known-posterior.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from fgbench import ConfigurationError, Dataset, DatasetLoader, Split, seed_for
from fgbench_plugins.datasets.help_desk_grammar import HelpDeskGrammar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fgbench import DataFolder

LABELS = {
    "access": "signing in, passwords, accounts, roles and permissions",
    "network": "the wireless, cables, the VPN, the line and everything slow or offline",
    "hardware": "broken, worn or missing equipment",
    "billing": "invoices, licences, subscriptions and orders",
}
"""Class name → its description; a data set of K classes has the first K."""

_POOL = 40_000
_TOLERANCE = 0.005
_STEPS = 3


class KnownPosterior(DatasetLoader):
    """Help-desk messages with an exact posterior; needs no file.

    `ambiguity` divides the log-odds of all evidence (0.5: almost separable, 1: a Bayes accuracy of
    about 0.86 with two classes, 4: almost noise). `draw` is the seed of the data: another draw is
    another sample of the same distribution and does not change any posterior.
    """

    train: Annotated[int, Field(ge=2)] = 300
    validation: Annotated[int, Field(ge=2)] = 1000
    test: Annotated[int, Field(ge=1)] = 1000
    classes: Annotated[int, Field(ge=2, le=len(LABELS))] = 2
    ambiguity: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    draw: Annotated[int, Field(ge=0)] = 0
    provides = frozenset({"posterior", "sampling"})
    default_classifier = "tfidf-logreg"
    default_generator = "ngram"

    def load(self, folder: DataFolder) -> Dataset:
        """Draw the three splits; `folder` is unused."""
        sizes = {"train": self.train, "validation": self.validation, "test": self.test}
        return Dataset(
            name="known-posterior",
            label_names=tuple(LABELS)[: self.classes],
            label_descriptions=tuple(LABELS.values())[: self.classes],
            splits={name: self._split(name, size) for name, size in sizes.items()},
            task="a message to an IT help desk",
        )

    def posterior(self, inputs: Any) -> NDArray[np.float64]:
        """Return the exact P(y|x), (n, K), of n arbitrary texts; see `HelpDeskGrammar.parse`."""
        return self._grammar.posterior(inputs)

    def sample(self, probabilities: Sequence[Any], rng: np.random.Generator) -> list[str]:
        """Return a new message for each requested posterior (K,).

        The message is drawn from the messages of the grammar with that posterior, ± 0.005 in every
        class. If there are none, a local search starts from the phrases of the nearest message; it
        reaches ± 0.01 with three classes and ± 0.02 with four. The error is larger only near the
        limit of what evidence can prove, for example P > 0.999.

        Raises `ConfigurationError` if a requested posterior is not K probabilities.
        """
        return [
            self._grammar.write(self._evidence_at(target, rng), rng) for target in probabilities
        ]

    def _split(self, name: str, size: int) -> Split:
        seed = seed_for("known-posterior", name, self.classes, self.ambiguity, self.draw)
        rng = np.random.default_rng(seed)
        evidence, labels = self._grammar.draw(size, rng)
        return Split(
            inputs=[self._grammar.write(row, rng) for row in evidence.tolist()],
            labels=labels,
            posterior=self._grammar.evidence_posterior(evidence),
        )

    @cached_property
    def _grammar(self) -> HelpDeskGrammar:
        return HelpDeskGrammar(self.classes, self.ambiguity)

    @cached_property
    def _pool(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Evidence and posteriors of many messages, sorted by P of class 0, for `sample`."""
        rng = np.random.default_rng(
            seed_for("known-posterior", "pool", self.classes, self.ambiguity)
        )
        evidence, _ = self._grammar.draw(_POOL, rng)
        posterior = self._grammar.evidence_posterior(evidence)
        order = np.argsort(posterior[:, 0], kind="stable")
        return evidence[order], posterior[order]

    def _evidence_at(self, probabilities: Any, rng: np.random.Generator) -> list[int]:
        target = np.asarray(probabilities, dtype=np.float64)
        if (
            target.shape != (self.classes,)
            or not (target >= 0).all()
            or abs(target.sum() - 1) > 1e-6
        ):
            raise ConfigurationError(
                f"known-posterior: cannot sample at {np.round(target, 4).tolist()}, which is not a "
                f"probability for each of {self.classes} classes."
            )
        evidence, posterior = self._pool
        edges = [target[0] - _TOLERANCE, target[0] + _TOLERANCE]
        first, last = np.searchsorted(posterior[:, 0], edges)
        distance = np.abs(posterior[first:last] - target).max(axis=1)
        near = first + np.flatnonzero(distance <= _TOLERANCE)
        if len(near):
            chosen: list[int] = evidence[near[int(rng.integers(len(near)))]].tolist()
            return chosen
        distance = np.abs(posterior - target).max(axis=1)
        return self._search(evidence[int(np.argmin(distance))], target)

    def _search(self, start: NDArray[np.int64], target: NDArray[np.float64]) -> list[int]:
        """Repeatedly change the best pair of slots until the distance no longer decreases."""
        sizes = [len(phrases) for phrases in self._grammar.phrases.values()]
        best, distance = start, np.inf
        for _ in range(_STEPS):
            variants = []
            for first, second in combinations(range(len(sizes)), 2):
                # Every message has the first slot, the symptom; other slots may be unused (−1).
                choices = np.meshgrid(
                    np.arange(-1 if first else 0, sizes[first]), np.arange(-1, sizes[second])
                )
                changed = np.repeat(best[None, :], choices[0].size, axis=0)
                changed[:, first], changed[:, second] = choices[0].ravel(), choices[1].ravel()
                variants.append(changed)
            candidates = np.concatenate(variants)
            distances = np.abs(self._grammar.evidence_posterior(candidates) - target).max(axis=1)
            index = int(np.argmin(distances))
            if distances[index] >= distance:
                break
            best, distance = candidates[index], float(distances[index])
            if distance <= _TOLERANCE:
                break
        result: list[int] = best.tolist()
        return result
