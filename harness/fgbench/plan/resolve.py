"""Resolve a suite: create and check its parts, and load its data sets, before any work.

All errors of a suite are raised here: unknown parts and parameters, missing or unusable data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgbench.coordinates import DatasetRecord, PartRecord
from fgbench.data import SPLITS
from fgbench.digests import digest
from fgbench.errors import ConfigurationError, FgbenchError, did_you_mean
from fgbench.parts.calibrator import Calibrator
from fgbench.parts.classifier import Classifier
from fgbench.parts.generator import Generator
from fgbench.plugins.loading import PluginFailure
from fgbench.plugins.references import PartReference
from fgbench.primary import Primary

if TYPE_CHECKING:
    from fgbench.cards import DataFolder
    from fgbench.data import Dataset
    from fgbench.parts.base import Part
    from fgbench.parts.dataset import DatasetLoader
    from fgbench.parts.metric import Metric
    from fgbench.plan.suite import Suite
    from fgbench.plugins.registry import Registry


@dataclass(frozen=True)
class ResolvedPart:
    """A part of the suite: its identity (part of stage keys), and what it needs and provides."""

    kind: str
    label: str
    """Its name, and those parameters that differ from their defaults."""
    identity: Mapping[str, Any]
    """Its part of stage keys and of leaderboards: the same on every machine."""
    parameters: Mapping[str, Any]
    """All its parameters, defaults and local paths included."""
    needs: frozenset[str]
    provides: frozenset[str]
    learns: bool = False
    """Of a calibrator: whether it is fitted on held-out rows; of a classifier: on training rows."""
    exclusive: bool = False
    """Whether it occupies the whole machine while it works."""
    neutral: bool = False
    """See `Part.is_neutral`."""
    relabeler: ResolvedPart | None = None
    """Of a generator: the other generator that relabels for it."""

    def table(self) -> dict[str, Any]:
        """Return it as a suite's table."""
        return {"name": self.name, **self.parameters}

    @property
    def name(self) -> str:
        """Its registered name."""
        return str(self.identity["name"])

    def record(self) -> PartRecord:
        """Return it as boards record it."""
        return PartRecord.of(self.identity)


@dataclass(frozen=True)
class ResolvedDataset:
    """A loaded data set of the suite, with its classifiers and generators."""

    part: ResolvedPart
    dataset: Dataset
    classifiers: tuple[ResolvedPart, ...]
    generators: tuple[ResolvedPart, ...]

    @property
    def provides(self) -> frozenset[str]:
        """What the data and the loader offer to the other parts."""
        return self.part.provides | self.dataset.provides

    @property
    def label(self) -> str:
        """What people call it: the file that it was read from, or the part's label."""
        title = self.record().title
        return self.part.label if title == self.part.name else title

    @property
    def identity(self) -> Mapping[str, Any]:
        """The loader's identity, and the digest of the data."""
        return dict(self.part.identity) | {"digest": self.dataset.digest}

    def record(self) -> DatasetRecord:
        """Return it as boards record it."""
        sizes = {f"n_{name}": len(self.dataset.splits[name]) for name in SPLITS}
        names = list(self.dataset.label_names)
        return DatasetRecord.of(self.identity, **sizes, label_names=names)


@dataclass(frozen=True)
class ResolvedSuite:
    """A suite with all its parts."""

    suite: Suite
    datasets: tuple[ResolvedDataset, ...]
    losses: tuple[ResolvedPart, ...]
    calibrators: tuple[ResolvedPart, ...]
    metrics: tuple[ResolvedPart, ...]
    higher_is_better: frozenset[str]
    """The labels of the metrics for which larger is better."""
    margins: Mapping[str, float]
    """By label of a metric, the largest difference that does not matter."""
    shown: tuple[str, ...]
    """The labels of the metrics that tables show by default."""
    primary: Primary
    """What the verdict rests on; `calibrator` is a label as boards record it."""


def resolve(suite: Suite, registry: Registry, folder: DataFolder) -> ResolvedSuite:
    """Create and check every part, load and check every data set.

    Raises `ConfigurationError`, `DataError` or `PluginError` with one sentence on what is wrong.
    """
    losses = _parts(registry, "loss", suite.losses or _defaults(registry, "loss"))
    calibrators = _calibrators(registry, suite)
    measured = (
        [_part(registry, "metric", PartReference.parse(table)) for table in suite.metrics]
        if suite.metrics
        else list(all_metrics(registry))
    )
    metrics = tuple(resolved for resolved, _ in measured)
    higher = frozenset(resolved.label for resolved, part in measured if not part.lower_is_better)
    margins = {item.label: part.margin for item, part in measured if part.margin is not None}
    shown = tuple(sorted(item.label for item, part in measured if part.shown_by_default))
    primary = _primary(suite, registry, calibrators, metrics)
    margins[primary.metric] = primary.margin
    classifiers = _parts(registry, "classifier", suite.classifiers)
    generators = _parts(registry, "generator", suite.generators)
    datasets = tuple(
        _dataset(table, suite, registry, folder, classifiers, generators)
        for table in suite.datasets or _defaults(registry, "dataset")
    )
    resolved = suite.model_copy(
        update={
            "datasets": [item.part.table() for item in datasets],
            "classifiers": [item.table() for item in classifiers],
            "losses": [item.table() for item in losses],
            "generators": [item.table() for item in generators],
            "calibrators": [item.table() for item in calibrators],
            "metrics": [item.table() for item in metrics],
        }
    )
    return ResolvedSuite(
        resolved, datasets, losses, calibrators, metrics, higher, margins, shown, primary
    )


def _primary(
    suite: Suite,
    registry: Registry,
    calibrators: Sequence[ResolvedPart],
    metrics: Sequence[ResolvedPart],
) -> Primary:
    """Return the primary contrast of a suite, checked if it is declared."""
    primary = suite.primary or Primary()
    if suite.primary is not None:
        places = (("metric", [item.label for item in metrics]), ("contrast", list(suite.arms)))
        for key, known in places:
            value = getattr(primary, key)
            if value not in known:
                kind = "arm" if key == "contrast" else key
                raise ConfigurationError(
                    f"primary.{key}: the suite does not run the {kind} {value!r}. "
                    f"{did_you_mean(value, known)}"
                )
    changing = [part for part in calibrators if not part.neutral]
    if primary.calibrator is not None:
        wanted = str(PartReference.parse(primary.calibrator))
        changing = [part for part in changing if part.label == wanted]
        if not changing:
            raise ConfigurationError(
                f"primary.calibrator: the suite does not run the calibrator {wanted!r}. Add it to "
                "calibrators."
            )
    # The order of a suite's lists affects nothing: the usual one comes first, then by name.
    usual = registry.defaults("calibrator")
    changing.sort(key=lambda part: (part.label not in usual, part.label))
    label = changing[0].record().label if changing else None
    return primary.model_copy(update={"calibrator": label})


def all_metrics(registry: Registry) -> Iterator[tuple[ResolvedPart, Any]]:
    """Yield every default metric; one that fails to load is skipped and noted."""
    for name in registry.names("metric"):
        try:
            resolved, metric = _part(registry, "metric", PartReference(name))
        except FgbenchError as error:
            registry.failures.append(PluginFailure(f"metric {name}", str(error)))
            continue
        if metric.is_default:
            yield resolved, metric


def named_metrics(registry: Registry, references: Iterable[str]) -> dict[str, Metric]:
    """Return metrics by their labels, in the given order."""
    parts = [_part(registry, "metric", PartReference.parse(text)) for text in references]
    return {resolved.label: metric for resolved, metric in parts}


def _defaults(registry: Registry, kind: str) -> list[dict[str, Any]]:
    return [{"name": name} for name in registry.defaults(kind)]


def _calibrators(registry: Registry, suite: Suite) -> tuple[ResolvedPart, ...]:
    if suite.calibrators:
        return _parts(registry, "calibrator", suite.calibrators)
    calibrators = _parts(registry, "calibrator", _defaults(registry, "calibrator"))
    if suite.protocol == "paper":
        # Retrained on the whole validation split, no arm leaves a row to fit a calibrator on.
        calibrators = tuple(part for part in calibrators if not part.learns)
        if not calibrators:
            raise ConfigurationError(
                "there is no default calibrator for the paper protocol: name one with --calibrator."
            )
    return calibrators


def _parts(
    registry: Registry, kind: str, tables: Sequence[Mapping[str, Any]]
) -> tuple[ResolvedPart, ...]:
    return tuple(_part(registry, kind, PartReference.parse(table))[0] for table in tables)


def _part(registry: Registry, kind: str, reference: PartReference) -> tuple[ResolvedPart, Any]:
    part: Part = registry.create(kind, reference)
    code = registry.find(kind, reference.name).code_digest
    identity = part.identity(reference.name, code)
    learns = isinstance(part, Calibrator | Classifier) and part.learns
    shown = {
        name: value for name, value in part.parameters().items() if name not in part.operational
    }
    relabeler = None
    if isinstance(part, Generator) and part.relabeler:
        relabeler, published = _relabeler(registry, part.relabeler, reference.name)
        # The relabeler affects the results, so its content belongs to the identity.
        identity["content"] = digest([identity.get("content"), dict(relabeler.identity)])
        for known_by in (identity["parameters"], shown):
            if "relabeler" in known_by:
                known_by["relabeler"] = published
    resolved = ResolvedPart(
        kind,
        _label(part, reference.name, shown),
        identity,
        part.parameters(),
        part.needs,
        part.provides,
        learns=learns,
        exclusive=part.exclusive,
        neutral=part.is_neutral,
        relabeler=relabeler,
    )
    return resolved, part


def _relabeler(registry: Registry, text: str, generator: str) -> tuple[ResolvedPart, str]:
    """Return the generator that relabels for another one, and its label in results."""
    try:
        reference = PartReference.parse(text)
        part: Generator = registry.create("generator", reference)
        if part.relabeler:
            raise ConfigurationError("it has a relabeler itself; name that one instead.")
        resolved, _ = _part(registry, "generator", reference)
    except FgbenchError as error:
        raise type(error)(f"generator {generator!r}, relabeler {text!r}: {error}") from None
    return resolved, _label(part, reference.name, part.published_parameters())


def _label(part: Part, name: str, shown: Mapping[str, Any]) -> str:
    """Return the shortest reference to a part, the same however it was asked for."""
    parameters = part.parameters()
    required = {key: parameters[key] for key in part.required_parameters()}
    usual = type(part).create(required, name=name).parameters()
    special = {
        key: value
        for key, value in shown.items()
        if key in required or parameters[key] != usual[key]
    }
    return str(PartReference(name, special))


def _dataset(
    table: Mapping[str, Any],
    suite: Suite,
    registry: Registry,
    folder: DataFolder,
    classifiers: tuple[ResolvedPart, ...],
    generators: tuple[ResolvedPart, ...],
) -> ResolvedDataset:
    part, loader = _part(registry, "dataset", PartReference.parse(table))
    dataset: Dataset = loader.load(folder)
    if suite.limit is not None:
        dataset = dataset.limited(suite.limit)
    dataset.validate()
    if suite.reserve:
        dataset = dataset.reserved(suite.reserve)
    classifiers = classifiers or _default(registry, "classifier", type(loader), part.name)
    generators = generators or _default(registry, "generator", type(loader), part.name)
    return ResolvedDataset(part, dataset, classifiers, generators)


def default_names(registry: Registry, kind: str, loader: type[DatasetLoader]) -> list[str]:
    """Return the classifiers or generators of a data set in a suite that names none."""
    card = loader.card()
    named = {
        "classifier": (card and card.default_classifier) or loader.default_classifier,
        "generator": loader.default_generator,
    }[kind]
    return registry.defaults(kind) if named is None else [named]


def _default(
    registry: Registry, kind: str, loader: type[DatasetLoader], dataset: str
) -> tuple[ResolvedPart, ...]:
    """Return the parts of that kind for a data set, which may name one, in a suite without any."""
    names = default_names(registry, kind, loader)
    try:
        return _parts(registry, kind, [PartReference.parse(name).to_table() for name in names])
    except FgbenchError as error:
        others = ", ".join(item for item in registry.names(kind) if item not in names)
        raise ConfigurationError(
            f"dataset {dataset!r} uses the {kind} {names[0]!r} by default: {error} "
            f"Or choose another with --{kind}: {others}."
        ) from error
