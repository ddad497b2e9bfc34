"""Target: the bins of the reliability diagram to fill, and their points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from fgbench.loop import splitting
from fgbench.stages import base
from fgbench.store import Product

if TYPE_CHECKING:
    from fgbench.loop.targeting import Targets
    from fgbench.stages.base import StageContext
    from fgbench.store import Artifact


class Target(base.Stage):
    """Predictions of the selection rows → the bins to fill and their points (METHODS §1).

    The "random" design picks as many points from random bins; it reads the "targets" it mirrors.
    """

    name = "target"
    inputs = ("predictions", "targets")

    class Params(base.Params):
        """How bins are picked."""

        design: Literal["targeted", "random"]
        bins: int
        selector: str
        threshold: float
        alpha: float | None
        protocol: str
        seed: int

    def run(self, ctx: StageContext) -> Product:
        from fgbench.loop.targeting import random_bins, target_bins

        params: Target.Params = ctx.params
        validation = ctx.predictions("predictions", "validation")
        rows = splitting.selection_rows(validation.labels, params.protocol, params.seed)
        selection = validation.take(rows)
        targets: Targets
        if params.design == "random":
            mirrored = stored_targets(ctx.input("targets"))
            targets = random_bins(selection, mirrored, bins=params.bins, seed=params.seed)
        else:
            targets = target_bins(
                selection,
                bins=params.bins,
                selector=params.selector,
                threshold=params.threshold,
                alpha=params.alpha,
            )
        return Product(targets.to_value())


def stored_targets(artifact: Artifact) -> Targets:
    """Return the targets that a `target` artifact holds."""
    from fgbench.loop.targeting import Targets

    return Targets.from_value(artifact.value)
