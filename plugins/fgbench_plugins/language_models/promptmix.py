"""PromptMix (Sahu et al. 2023): texts between two classes.

No source text is shown. The classes are described with examples, and texts are requested that
belong to one class by the share α, at least one half, and to another class by the rest.
"""

from __future__ import annotations

import numpy as np

from fgbench import GenerationRequest, GenerationTask, seed_for
from fgbench_plugins.language_models.prompts import (
    FitgPrompts,
    Messages,
    PromptForm,
    answer_format,
    in_percent,
)


class PromptMixPrompts(FitgPrompts):
    """Mixes the class of the source with another class, drawn by seed if there are several.

    α = 0.5 + 0.5 · Beta(5, 2), rounded to 0.05. Both draws depend on the seed, the source and the
    draw of the request. The label is then requested as in FITG.
    """

    def __init__(self, task: GenerationTask, form: PromptForm) -> None:
        super().__init__(task, form)
        self._seed = task.seed

    def generation(self, request: GenerationRequest) -> Messages:
        """Ask for texts of mixed class."""
        mixture = self.asked(request)
        count = self.form.texts
        return self.messages(
            f"{self.classes.nearest(request, mixture)}"
            f"Write {count} new texts, short and different from each other, each of which belongs "
            f"to the classes in these shares: {in_percent(mixture, self.classes.names, mixture)}.\n"
            f"{answer_format(self.form)}"
        )

    def asked(self, request: GenerationRequest) -> tuple[float, ...]:
        """Return the requested share of each class (K,)."""
        n_classes = len(self.classes.names)
        rng = np.random.default_rng(
            seed_for("promptmix", self._seed, request.source_id, request.draw, request.label)
        )
        alpha = mixing_weight(rng)
        others = [label for label in range(n_classes) if label != request.label]
        shares = [0.0] * n_classes
        shares[request.label] = alpha
        shares[others[int(rng.integers(len(others)))]] = round(1 - alpha, 2)
        return tuple(shares)

    def occasion(self, request: GenerationRequest) -> int:
        """Number the requests, because different sources can have the same prompt."""
        total = request.source_id + request.draw
        return total * (total + 1) // 2 + request.draw  # Cantor pairing: unique for each pair


def mixing_weight(rng: np.random.Generator) -> float:
    """Draw the share α of the first class, from 0.5 to 1 in steps of 0.05."""
    return round(0.05 * round((0.5 + 0.5 * float(rng.beta(5, 2))) / 0.05), 2)
