"""Synthesise: new inputs for the targeted bins, relabeled and filtered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fgbench.loop import splitting
from fgbench.loop.leakage import DropRule
from fgbench.samples import serialize_samples
from fgbench.stages import base
from fgbench.stages.target import stored_targets
from fgbench.store import Product

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fgbench.stages.base import Cost, PlanContext, StageContext


class Synthesise(base.Stage):
    """Targets → synthetic inputs with their lineage."""

    name, version = "synthesise", "2"
    roles = {"generator": "generator", "dataset": "dataset", "relabeler": "generator"}
    inputs = ("targets", "dataset")

    class Params(base.Params):
        """How generation is prompted, retried and filtered.

        `by_class`: see `GenerationSettings`. `dose` only bounds the requests in plans.
        """

        examples_per_class: int
        retries: int
        drop_near_duplicates: DropRule
        protocol: str
        seed: int
        by_class: bool = False
        dose: float = 1.0

    def run(self, ctx: StageContext) -> Product:
        from fgbench.loop.filling import GenerationSettings, synthesize

        params: Synthesise.Params = ctx.params
        dataset = ctx.dataset()
        labels = dataset.splits["validation"].labels
        synthesis = synthesize(
            ctx.part("generator"),
            dataset,
            ctx.part("dataset"),
            stored_targets(ctx.input("targets")),
            splitting.selection_rows(labels, params.protocol, params.seed),
            GenerationSettings(
                seed=params.seed,
                examples_per_class=params.examples_per_class,
                retries=params.retries,
                drop_near_duplicates=params.drop_near_duplicates,
                by_class=params.by_class,
            ),
            relabeler=ctx.parts.get("relabeler"),
        )
        return Product(
            synthesis.summary(), {base.SAMPLES_FILE: serialize_samples(synthesis.samples)}
        )

    def facts(self, value: Any) -> Mapping[str, Any]:
        return {name: value[name] for name in ("requested", "accepted", "usage", "notes")}

    def cost(self, ctx: PlanContext) -> Cost:
        from fgbench.loop.estimates import expected_usage, scaled

        params: Synthesise.Params = ctx.params
        labels = ctx.dataset.splits["validation"].labels
        selection = splitting.selection_rows(labels, params.protocol, params.seed)
        targets = ctx.stored.get("targets")
        sources = None if targets is None else stored_targets(targets).sources
        usage = expected_usage(
            ctx.part("generator"),
            ctx.part("relabeler"),
            ctx.dataset,
            ctx.part("dataset"),
            sources,
            selection,
            seed=params.seed,
            examples_per_class=params.examples_per_class,
        )
        n_requests = len(sources or ())
        if sources is None:  # as if every selection row were targeted
            n_requests = round(params.dose * len(selection))
            usage = scaled(usage, params.dose)
        return base.Cost(
            "generator",
            usage,
            requests=n_requests,
            rounds=(2 + params.by_class) * (params.retries + 1),
            at_most=sources is None,
        )
