"""Target: the bins of the reliability diagram to fill, and their points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fgbench.loop import splitting
from fgbench.samples import Design
from fgbench.stages import base
from fgbench.stages.base import stored_samples
from fgbench.store import Product

if TYPE_CHECKING:
    from fgbench.data import IntArray, Predictions
    from fgbench.loop.targeting import Targets
    from fgbench.stages.base import StageContext
    from fgbench.store import Artifact


class Target(base.Stage):
    """Predictions of the selection rows → the bins to fill and their points (METHODS §1).

    The "random" design picks as many points from random bins; it reads the "targets" it mirrors.
    The matched designs read these and their "samples": see `fgbench.loop.targeting`.
    """

    name = "target"
    inputs = ("predictions", "targets", "samples")

    class Params(base.Params):
        """How bins are picked."""

        design: Design
        bins: int
        selector: str
        threshold: float
        alpha: float | None
        protocol: str
        seed: int
        dose: float = 1.0

    def run(self, ctx: StageContext) -> Product:
        params: Target.Params = ctx.params
        validation = ctx.predictions("predictions", "validation")
        rows = splitting.selection_rows(validation.labels, params.protocol, params.seed)
        targets = _targets(ctx, params, validation.take(rows), rows)
        return Product(targets.to_value())


def _targets(
    ctx: StageContext, params: Target.Params, selection: Predictions, rows: IntArray
) -> Targets:
    """Return the targets of a design; `selection` are the predictions of the selection `rows`."""
    from fgbench.loop import targeting

    if params.design == "targeted":
        targets = targeting.target_bins(
            selection,
            bins=params.bins,
            selector=params.selector,
            threshold=params.threshold,
            alpha=params.alpha,
        )
        return targeting.dosed(targets, params.dose, params.seed, selection.labels)
    mirrored = stored_targets(ctx.input("targets"))
    if params.design == "random":
        targets = targeting.random_bins(selection, mirrored, bins=params.bins, seed=params.seed)
        return targeting.dosed(targets, params.dose, params.seed, selection.labels)
    samples = [sample for sample in stored_samples(ctx.input("samples")) if sample.accepted]
    if params.design == "other-bins":
        return targeting.other_bins(
            selection,
            mirrored,
            [sample.source.label for sample in samples],
            bins=params.bins,
            dose=params.dose,
            seed=params.seed,
        )
    sources = [int(rows.searchsorted(sample.source.index)) for sample in samples]
    if params.design == "no-shift":
        return targeting.without_shift(mirrored, sources)
    return targeting.with_reversed_shift(mirrored, sources)


def stored_targets(artifact: Artifact) -> Targets:
    """Return the targets that a `target` artifact holds."""
    from fgbench.loop.targeting import Targets

    return Targets.from_value(artifact.value)
