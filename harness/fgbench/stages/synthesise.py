"""Synthesise: new inputs for the targeted bins, relabeled and filtered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fgbench.loop import splitting
from fgbench.stages import base
from fgbench.stages.target import stored_targets
from fgbench.store import Product

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fgbench.stages.base import Cost, PlanContext, StageContext
    from fgbench.store import Artifact

_FILE = "samples.jsonl"


class Synthesise(base.Stage):
    """Targets → synthetic inputs with their lineage."""

    name, version = "synthesise", "2"
    roles = {"generator": "generator", "dataset": "dataset", "relabeler": "generator"}
    inputs = ("targets", "dataset")

    class Params(base.Params):
        """How generation is prompted, retried and filtered."""

        examples_per_class: int
        retries: int
        drop_near_duplicates: str
        protocol: str
        seed: int

    def run(self, ctx: StageContext) -> Product:
        from fgbench.loop.filling import synthesise

        params: Synthesise.Params = ctx.params
        dataset = ctx.dataset()
        labels = dataset.splits["validation"].labels
        synthesis = synthesise(
            ctx.part("generator"),
            dataset,
            ctx.part("dataset"),
            stored_targets(ctx.input("targets")),
            splitting.selection_rows(labels, params.protocol, params.seed),
            seed=params.seed,
            examples_per_class=params.examples_per_class,
            retries=params.retries,
            drop_near_duplicates=params.drop_near_duplicates,
            relabeler=ctx.parts.get("relabeler"),
        )
        lines = "".join(json.dumps(item, sort_keys=True) + "\n" for item in synthesis.samples)
        return Product(synthesis.summary(), {_FILE: lines.encode()})

    def facts(self, value: Any) -> Mapping[str, Any]:
        return {name: value[name] for name in ("requested", "accepted", "usage", "notes")}

    def cost(self, ctx: PlanContext) -> Cost:
        from fgbench.loop.estimates import expected_usage

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
        return base.Cost(
            "generator",
            usage,
            requests=len(selection if sources is None else sources),
            rounds=2 * (params.retries + 1),
            at_most=sources is None,
        )


def stored_samples(artifact: Artifact) -> list[dict[str, Any]]:
    """Return every sample of a `synthesise` artifact, in the order of its candidates."""
    return [json.loads(line) for line in stored_sample_lines(artifact)]


def stored_sample_lines(artifact: Artifact) -> list[str]:
    """Return the samples of a `synthesise` artifact as lines of JSON."""
    return artifact.open(_FILE).read_text("utf-8").splitlines()


def accepted_samples(artifact: Artifact) -> list[dict[str, Any]]:
    """Return the accepted samples of a `synthesise` artifact."""
    return [sample for sample in stored_samples(artifact) if sample["verdict"] == "accepted"]
