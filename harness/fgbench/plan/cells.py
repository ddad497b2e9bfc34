"""Cells: the paths through the loop that a suite spans, and the check that each can work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import product
from typing import TYPE_CHECKING, Any

from fgbench.coordinates import NAMED, PARTS, Coordinates, axes_label, without_neutral
from fgbench.data import RESERVE
from fgbench.digests import digest
from fgbench.errors import IncompatiblePartsError
from fgbench.loop.arms import DESIGNS, Arm
from fgbench.parts.calibrator import MEMBERS
from fgbench.plan.resolve import ResolvedDataset, ResolvedPart

if TYPE_CHECKING:
    from fgbench.plan.resolve import ResolvedSuite
    from fgbench.plan.suite import Suite


@dataclass(frozen=True)
class Cell:
    """Dataset × classifier × loss × generator × arm × bins × dose × calibrator × protocol × seed.

    Generator, bins and dose are None for an arm that uses none: it is one cell, however many
    generators, bin counts and doses the matrix has.
    """

    dataset: ResolvedDataset
    classifier: ResolvedPart
    loss: ResolvedPart
    arm: Arm
    generator: ResolvedPart | None
    bins: int | None
    dose: float | None
    calibrator: ResolvedPart
    protocol: str
    seed: int

    def coordinates(self) -> dict[str, Any]:
        """Return what distinguishes this cell from the others of its run, as JSON values."""
        return without_neutral(
            {axis.name: _json_value(getattr(self, axis.name)) for axis in fields(self)}
        )

    def without(self, *names: str) -> str:
        """Return a key that is equal for cells which differ in these axes at most."""
        coordinates = self.coordinates()
        return digest({name: coordinates[name] for name in coordinates if name not in names})

    @property
    def group(self) -> str:
        """The digest of the coordinates without the seed: cells with the same one are one entry."""
        return self.without("seed")

    @property
    def label(self) -> str:
        """A label for people, in one line."""
        values = {axis.name: getattr(self, axis.name) for axis in fields(self)}
        names = {name: getattr(value, "label", value) for name, value in values.items()}
        return axes_label(names, f"seed {self.seed}")

    @property
    def neutral(self) -> list[str]:
        """The axes on which it has a neutral part: no calibration, the classifier's own loss."""
        parts = {name: getattr(self, name) for name in PARTS}
        return [name for name, part in parts.items() if getattr(part, "neutral", False)]

    def entry(self, suite: Suite, seeds: Iterable[int]) -> Coordinates:
        """Return the coordinates of the entry that this cell is part of, over `seeds`."""
        generating = self.generator is not None
        settings: dict[str, Any] = {} if suite.limit is None else {"limit": suite.limit}
        if suite.reserve:
            settings["reserve"] = suite.reserve
        if generating:
            settings |= {
                "examples_per_class": suite.examples_per_class,
                "retries": suite.retries,
                "drop_near_duplicates": suite.drop_near_duplicates,
            }
        return Coordinates(
            **{name: _record(getattr(self, name)) for name in NAMED},
            seeds=list(seeds),
            threshold=suite.threshold if generating else None,
            selector=suite.selector if generating else None,
            alpha=suite.alpha if generating and suite.selector == "significant" else None,
            settings=settings,
        )


def _json_value(value: Any) -> Any:
    return dict(value.identity) if isinstance(value, ResolvedPart | ResolvedDataset) else value


def _record(value: Any) -> Any:
    return value.record() if isinstance(value, ResolvedPart | ResolvedDataset) else value


@dataclass(frozen=True)
class Refusal:
    """A combination that cannot work, with the reason."""

    label: str
    reason: str


def expand(resolved: ResolvedSuite) -> tuple[list[Cell], list[Refusal]]:
    """Return the distinct cells of a suite, and the refused combinations.

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
        hint = "" if not cells else " Use --skip-incompatible to skip such cells."
        raise IncompatiblePartsError(f"{refused[0].label}: {refused[0].reason}{more}.{hint}")
    return list(cells.values()), refused


def _product(resolved: ResolvedSuite) -> Iterator[Cell]:
    suite: Suite = resolved.suite
    for dataset in resolved.datasets:
        for classifier, loss, arm in product(dataset.classifiers, resolved.losses, suite.arms):
            generating = arm in DESIGNS
            for generator, bins, dose, calibrator, seed in product(
                dataset.generators if generating else (None,),
                suite.bins if generating else (None,),
                suite.doses if generating else (None,),
                resolved.calibrators,
                suite.seeds,
            ):
                yield Cell(
                    dataset=dataset,
                    classifier=classifier,
                    loss=loss,
                    arm=arm,
                    generator=generator,
                    bins=bins,
                    dose=dose,
                    calibrator=calibrator,
                    protocol=suite.protocol,
                    seed=seed,
                )


def _refusal(cell: Cell, seeds: int) -> str | None:
    """Return why a cell cannot work, or None."""
    if MEMBERS in cell.calibrator.needs and seeds < 2:
        return (
            f"calibrator {cell.calibrator.name!r} combines the models of several seeds, and the "
            "suite has one; add more with --seed"
        )
    available = cell.dataset.provides | {"logits", MEMBERS} | cell.classifier.provides
    relabeler = cell.generator.relabeler if cell.generator is not None else None
    for part in (cell.classifier, cell.loss, cell.generator, relabeler, cell.calibrator):
        if part is None:
            continue
        missing = sorted(part.needs - available - _machine())
        if missing:
            return (
                f"{part.kind} {part.name!r} needs {' and '.join(missing)}, which dataset "
                f"{cell.dataset.part.name!r} and classifier {cell.classifier.name!r} do not provide"
            )
    if cell.arm != "baseline" and not cell.classifier.learns:
        return (
            f"classifier {cell.classifier.name!r} is not trainable, so the arm {cell.arm!r} cannot "
            "retrain it; use only the arm 'baseline'"
        )
    if cell.arm == "fresh-real" and RESERVE not in cell.dataset.dataset.splits:
        return (
            "the arm 'fresh-real' adds real rows that were set aside from the training split, and "
            "the suite sets none aside; add --reserve 0.2"
        )
    if cell.protocol == "paper" and cell.arm != "baseline" and cell.calibrator.learns:
        return (
            f"under the paper protocol the arm {cell.arm!r} trains on the validation split, so "
            f"calibrator {cell.calibrator.name!r} cannot be fitted on it; use --protocol strict "
            "or a calibrator that is not fitted"
        )
    return None


def _machine() -> frozenset[str]:
    """Return what this machine provides to all parts: "gpu" if an NVIDIA device is visible."""
    from pathlib import Path

    return frozenset({"gpu"}) if Path("/dev/nvidia0").exists() else frozenset()
