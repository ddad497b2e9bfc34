"""Evaluate: every metric of calibrated test predictions, with bootstrap replicates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fgbench.data import test_groups
from fgbench.stages import base
from fgbench.stages.dataset import DATASET_ROLE
from fgbench.store import Product

if TYPE_CHECKING:
    from fgbench.inference import Evaluation
    from fgbench.stages.base import StageContext
    from fgbench.store import Artifact

_FILE = "evaluation.npz"


class Evaluate(base.Stage):
    """Calibrated predictions → the metrics that apply to them.

    Each metric's role is its label. Test rows with equal inputs are one unit of the bootstrap. The
    weights of the replicates depend on the number of units and the seed alone, so that evaluations
    of one test split are paired, replicate by replicate.
    """

    name, version = "evaluate", "3"
    other_roles = "metric"
    inputs = ("predictions", DATASET_ROLE)

    class Params(base.Params):
        """The bootstrap."""

        replicates: int
        seed: int

    def run(self, ctx: StageContext) -> Product:
        from fgbench.inference import applicable, evaluate_metrics

        params: Evaluate.Params = ctx.params
        groups = test_groups(ctx.dataset())
        predictions = replace(ctx.predictions("predictions", "test"), groups=groups)
        evaluation = evaluate_metrics(
            predictions,
            applicable(ctx.parts, predictions),
            replicates=params.replicates,
            seed=params.seed,
        )
        return Product(dict(evaluation.values), {_FILE: base.npz_bytes(evaluation.to_arrays())})


def stored_evaluation(artifact: Artifact) -> Evaluation:
    """Return the evaluation that an `evaluate` artifact holds."""
    from fgbench.inference import Evaluation

    return Evaluation.from_arrays(base.stored_arrays(artifact, _FILE))
