"""Compose: which rows and synthetic inputs an arm is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fgbench.data import RESERVE
from fgbench.loop import arms, splitting
from fgbench.loop.arms import Arm
from fgbench.stages import base
from fgbench.stages.base import stored_samples
from fgbench.stages.target import stored_targets
from fgbench.store import Product

if TYPE_CHECKING:
    from fgbench.samples import Sample
    from fgbench.stages.base import StageContext


class Compose(base.Stage):
    """Targets and synthetic inputs, for arms that have them → the training set, by reference."""

    name = "compose"
    inputs = ("targets", "samples", "dataset")

    class Params(base.Params):
        """The arm, and which validation rows it may train on."""

        arm: Arm
        protocol: str
        seed: int

    def run(self, ctx: StageContext) -> Product:
        params: Compose.Params = ctx.params
        splits = ctx.dataset().splits
        labels = splits["validation"].labels
        selection = splitting.selection_rows(labels, params.protocol, params.seed)
        targeted: list[int] = []
        samples: list[Sample] = []
        if "targets" in ctx.artifacts:
            sources = stored_targets(ctx.input("targets")).sources
            targeted = [int(selection[source.row]) for source in sources]
        if "samples" in ctx.artifacts:
            samples = stored_samples(ctx.input("samples"))
        composition = arms.compose(
            params.arm,
            selection,
            targeted,
            samples,
            reserve=splits[RESERVE].labels if RESERVE in splits else None,
            seed=params.seed,
        )
        return Product(composition)
