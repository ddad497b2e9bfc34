"""Cells: one path through the loop each, and the check that it can be walked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgbench.digests import digest
from fgbench.errors import IncompatiblePartsError
from fgbench.loop.arms import GENERATING_ARMS, Arm
from fgbench.parts.calibrator import MEMBERS

if TYPE_CHECKING:
    from fgbench.plan.resolve import ResolvedDataset, ResolvedPart, ResolvedSuite
    from fgbench.plan.suite import Suite


@dataclass(frozen=True)
class Cell:
    """Dataset × classifier × loss × generator × arm × bins × calibrator × protocol × seed.

    An arm that uses no generator and no bins has None there: it is one cell, however many
    generators and bin counts the matrix has.
    """

    dataset: ResolvedDataset
    classifier: ResolvedPart
    loss: ResolvedPart
    arm: Arm
    generator: ResolvedPart | None
    bins: int | None
    calibrator: ResolvedPart
    protocol: str
    seed: int

    def coordinates(self) -> dict[str, Any]:
        """Return what tells this cell from the others of its run, as JSON values."""
        return {
            "dataset": dict(self.dataset.part.identity) | {"digest": self.dataset.dataset.digest},
            "classifier": dict(self.classifier.identity),
            "loss": dict(self.loss.identity),
            "arm": self.arm,
            "generator": None if self.generator is None else dict(self.generator.identity),
            "bins": self.bins,
            "calibrator": dict(self.calibrator.identity),
            "protocol": self.protocol,
            "seed": self.seed,
        }

    @property
    def group(self) -> str:
        """Identify the cells that differ in nothing but their seed: one leaderboard entry."""
        coordinates = self.coordinates()
        del coordinates["seed"]
        return digest(coordinates)

    @property
    def label(self) -> str:
        """Say which cell this is, for people."""
        parts = [self.dataset.part.label, self.classifier.label, self.arm]
        if self.generator is not None:
            parts.append(f"{self.generator.label}/{self.bins} bins")
        return " · ".join([*parts, self.calibrator.label, f"seed {self.seed}"])


@dataclass(frozen=True)
class Refusal:
    """A combination that cannot work, and why."""

    label: str
    reason: str


def expand(resolved: ResolvedSuite) -> tuple[list[Cell], list[Refusal]]:
    """Return the cells of a suite, each once, and what was refused.

    With `incompatible = "refuse"`, the first refusal is an `IncompatiblePartsError`.
    """
    cells: dict[str, Cell] = {}
    refusals: dict[tuple[str, str], Refusal] = {}
    for cell in _product(resolved):
        reason = _refusal(cell, len(resolved.suite.seeds))
        if reason is None:
            cells.setdefault(digest(cell.coordinates()), cell)
        else:
            label = cell.label.rpartition(" · ")[0]
            refusals.setdefault((label, reason), Refusal(label, reason))
    refused = list(refusals.values())
    if refused and (resolved.suite.incompatible == "refuse" or not cells):
        more = f" (and {len(refused) - 1} more combinations)" if len(refused) > 1 else ""
        hint = "" if not cells else " Or leave such cells out with --skip-incompatible."
        raise IncompatiblePartsError(f"{refused[0].label}: {refused[0].reason}{more}.{hint}")
    return list(cells.values()), refused


def _product(resolved: ResolvedSuite) -> Iterator[Cell]:
    suite: Suite = resolved.suite
    for dataset in resolved.datasets:
        for classifier in dataset.classifiers:
            for loss in resolved.losses:
                for arm in suite.arms:
                    generating = arm in GENERATING_ARMS
                    for generator in dataset.generators if generating else (None,):
                        for bins in suite.bins if generating else (None,):
                            for calibrator in resolved.calibrators:
                                for seed in suite.seeds:
                                    yield Cell(
                                        dataset,
                                        classifier,
                                        loss,
                                        arm,
                                        generator,
                                        bins,
                                        calibrator,
                                        suite.protocol,
                                        seed,
                                    )


def _refusal(cell: Cell, seeds: int) -> str | None:
    """Return why a cell cannot work, or None."""
    if MEMBERS in cell.calibrator.needs and seeds < 2:
        return (
            f"calibrator {cell.calibrator.name!r} joins the models of several seeds, and the suite "
            "has one; give it more with --seed"
        )
    available = cell.dataset.provides | {"logits", MEMBERS} | cell.classifier.provides
    relabeler = cell.generator.relabeler if cell.generator is not None else None
    for part in (cell.classifier, cell.loss, cell.generator, relabeler, cell.calibrator):
        if part is None:
            continue
        missing = sorted(part.needs - available - _machine())
        if missing:
            return (
                f"{part.kind} {part.name!r} needs {_say(missing)}, which dataset "
                f"{cell.dataset.part.name!r} and classifier {cell.classifier.name!r} do not provide"
            )
    if cell.arm != "baseline" and not cell.classifier.learns:
        return (
            f"classifier {cell.classifier.name!r} is never trained, so the arm {cell.arm!r} has "
            "nothing to retrain; give it the arm 'baseline' only"
        )
    if cell.protocol == "paper" and cell.arm != "baseline" and cell.calibrator.learns:
        return (
            f"under the paper protocol the arm {cell.arm!r} trains on the validation split, so "
            f"calibrator {cell.calibrator.name!r} cannot be fitted on it; use --protocol strict "
            "or the calibrator 'none'"
        )
    return None


def _machine() -> frozenset[str]:
    """Return what this machine provides to any part: "gpu" where an NVIDIA device is visible."""
    from pathlib import Path

    return frozenset({"gpu"}) if Path("/dev/nvidia0").exists() else frozenset()


def _say(names: list[str]) -> str:
    return " and ".join(names)
