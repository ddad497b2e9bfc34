"""What a plan will still run, and what that will ask of generators and language models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fgbench.digests import digest
from fgbench.loop.estimates import scaled
from fgbench.plugins.references import PartReference
from fgbench.stages import STAGES, Cost, PlanContext
from fgbench.stages.dataset import DATASET_ROLE
from fgbench.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fgbench.plan.graph import Node
    from fgbench.plan.plan import Plan
    from fgbench.plugins.registry import Registry
    from fgbench.store import Artifact


@dataclass(frozen=True)
class StageCount:
    """The stages of one name: how many there are, and how many are stored."""

    total: int
    cached: int


@dataclass
class Forecast:
    """What of a plan is stored, and what generation it will ask for."""

    stages: dict[str, StageCount]
    requests_known: int = 0
    requests_at_most: int = 0
    """Generation requests of the first round where the targets are not known yet: one for every
    selection point."""
    generators: dict[str, int] = field(default_factory=dict)
    """By generator, the requests of the first round."""
    usage: dict[str, Usage] = field(default_factory=dict)
    """By generator, about what these take, relabeling included."""
    classifying: dict[str, Usage] = field(default_factory=dict)
    """By classifier that asks a language model, about what its predictions take."""
    rounds: int = 1
    """How many rounds there can be at most, none larger than the first."""

    def usage_at_most(self, generator: str) -> Usage:
        """Return about what a generator takes if every round is as large as the first."""
        return scaled(self.usage[generator], self.rounds)

    def add(self, cost: Cost, part: str) -> None:
        """Add the cost of one stage, asked of the part with the label `part`."""
        if cost.role == "generator":
            if cost.at_most:
                self.requests_at_most += cost.requests
            else:
                self.requests_known += cost.requests
            self.rounds = max(self.rounds, cost.rounds)
            self.generators[part] = self.generators.get(part, 0) + cost.requests
            self.usage[part] = self.usage.get(part, Usage()) + cost.usage
        else:
            self.classifying[part] = self.classifying.get(part, Usage()) + cost.usage


def forecast(plan: Plan, stored: Mapping[str, Artifact], registry: Registry) -> Forecast:
    """Count which stages are `stored`, and estimate what the others will ask for.

    Stored answers of language models are not subtracted.
    """
    nodes = [node for node in plan.graph.nodes.values() if not node.source]
    outcome = Forecast(
        {
            name: StageCount(
                sum(node.stage == name for node in nodes),
                sum(node.stage == name and node.id in stored for node in nodes),
            )
            for name in STAGES
        }
    )
    costs = _Costs(plan, stored, registry)
    for node in nodes:
        cost = None if node.id in stored else costs.of(node)
        if cost is not None:
            outcome.add(cost, node.parts[cost.role].label)
    return outcome


class _Costs:
    """Costs of nodes, estimated once for nodes that differ in nothing that is known yet."""

    def __init__(self, plan: Plan, stored: Mapping[str, Artifact], registry: Registry) -> None:
        self._plan = plan
        self._stored = stored
        self._registry = registry
        self._known: dict[str, Cost | None] = {}

    def of(self, node: Node) -> Cost | None:
        """Return the cost of one node."""
        dataset = node.inputs.get(DATASET_ROLE)
        if dataset is None:
            return None
        inputs = {
            role: self._stored[source]
            for role, source in node.inputs.items()
            if source in self._stored and role != DATASET_ROLE
        }
        identities = {role: dict(part.identity) for role, part in node.parts.items()}
        contents = {role: artifact.digest for role, artifact in inputs.items()}
        case = digest([node.stage, identities, dict(node.parameters), contents, dataset])
        if case not in self._known:
            stage = STAGES[node.stage]
            ctx = PlanContext(
                params=stage.Params.model_validate(node.parameters),
                dataset=self._plan.graph.datasets[dataset].dataset,
                part=lambda role: self._part(node, role),
                stored=inputs,
            )
            self._known[case] = stage.cost(ctx)
        return self._known[case]

    def _part(self, node: Node, role: str) -> Any:
        part = node.parts.get(role)
        if part is None:
            return None
        return self._registry.create(part.kind, PartReference.parse(part.table()))
