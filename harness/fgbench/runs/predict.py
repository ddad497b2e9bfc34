"""Classify new inputs with the model and the calibrator of an entry of a finished run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import StringConstraints, TypeAdapter, ValidationError

from fgbench.data import Predictions
from fgbench.errors import ConfigurationError, StoreError
from fgbench.foreign import INDEX, read_json
from fgbench.leaderboard.files import board_file, read_board
from fgbench.loop.splitting import calibration_rows
from fgbench.plugins.references import PartReference
from fgbench.runs.consent import parts_of_records
from fgbench.runs.folder import MODELS
from fgbench.stages.base import stored_predictions
from fgbench.stages.train import load_model

if TYPE_CHECKING:
    from fgbench.data import FloatArray, Inputs
    from fgbench.leaderboard.models import Entry, Leaderboard
    from fgbench.plugins.registry import Registry
    from fgbench.runs.consent import Consent
    from fgbench.store import Artifact, Store


class Predictor:
    """The trained classifier and the fitted calibrator of a leaderboard entry and seed.

    `label_names` has the names of the K classes; `entry` is the leaderboard entry.
    """

    def __init__(self, entry: Entry, seed: int, model: Artifact, registry: Registry) -> None:
        self.entry = entry
        self.label_names = tuple(entry.dataset.label_names)
        self._classifier = registry.create("classifier", _reference(entry.classifier))
        load_model(self._classifier, model)
        self._calibrator = registry.create("calibrator", _reference(entry.calibrator))
        validation = stored_predictions(model, "validation")
        if validation.logits.shape[1] != len(self.label_names):
            raise StoreError(
                f"artifact {model.key[:12]} is not the model of {entry.label}: it has "
                f"{validation.logits.shape[1]} classes, and the entry {len(self.label_names)}."
            )
        rows = calibration_rows(validation.labels, entry.protocol, seed)
        self._calibrator.fit(validation.take(rows))

    @property
    def is_text(self) -> bool:
        """Whether the inputs are texts rather than numbers."""
        return "numeric" not in self._classifier.needs

    @classmethod
    def of_run(
        cls,
        run: Path,
        cell: str,
        seed: int | None,
        store: Store,
        registry: Registry,
        consent: Consent,
    ) -> Predictor:
        """Return the predictor of the entry whose id begins with `cell` (default: its first seed).

        `consent` decides whether the run's board may use what the entry names. Raises
        `ConfigurationError` for an unknown entry or seed and for a classifier without stored
        weights, and `StoreError` if the model is not in the store.
        """
        entry = _entry(read_board(run), cell)
        chosen = entry.seeds[0] if seed is None else seed
        if chosen not in entry.seeds:
            seeds = ", ".join(map(str, entry.seeds))
            raise ConfigurationError(f"entry {entry.id} has no seed {chosen}. It has: {seeds}.")
        key = read_models(run / MODELS).get(entry.id, {}).get(str(chosen))
        if key is None:
            raise ConfigurationError(
                f"{entry.label}: classifier {entry.classifier.name!r} stores no weights, so it "
                "cannot classify new inputs."
            )
        model = store.find(key)
        if model is None and key in store.corrupt:
            raise StoreError(
                f"{store.root}: the model of {entry.label} was corrupt and has been removed. Rerun "
                "the suite to rebuild it."
            )
        if model is None:
            raise StoreError(
                f"{store.root}: the model of {entry.label} is not in this store. Select the run's "
                "store with --store, or rerun the suite."
            )
        records = {"classifier": entry.classifier, "calibrator": entry.calibrator}
        parts = parts_of_records(records, f"entry {entry.id}, ")
        consent.require(board_file(run), parts, registry)
        return cls(entry, chosen, model, registry)

    def probabilities(self, inputs: Inputs) -> FloatArray:
        """Return the calibrated class probabilities (n, K) of n inputs."""
        import numpy as np

        outputs = frozenset(_outputs(self._calibrator.needs))
        computed = self._classifier.predict(inputs, outputs)
        withheld_labels = np.full(len(computed.logits), -1, dtype=np.int64)
        predictions = Predictions(
            computed.logits,
            withheld_labels,
            features=computed.features,
            stochastic_logits=computed.stochastic_logits,
        )
        calibrated: Predictions = self._calibrator.transform(predictions)
        return calibrated.probabilities()


def read_models(path: Path) -> Mapping[str, Mapping[str, str]]:
    """Return the keys of the stored models in a run's `models.json`, by entry id and seed.

    Raises `LeaderboardError` for a file that cannot be read, and `ConfigurationError` for one that
    a run cannot have written.
    """
    value = read_json(path, INDEX)
    try:
        return _MODELS.validate_python(value)
    except ValidationError:  # its content is not shown: it may be a link to any file
        raise ConfigurationError(
            f"{path}: expected a key of 64 hexadecimal digits for each entry and seed. Rerun the "
            "suite to create it."
        ) from None


_Key = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{64}$")]
_MODELS = TypeAdapter(dict[str, dict[str, _Key]])


def parse_inputs(lines: Sequence[str], *, is_text: bool, first_line: int) -> Inputs:
    """Convert lines to inputs: texts, or comma-separated numbers.

    Raises `ConfigurationError` that names the line if it is malformed.
    """
    if is_text:
        return list(lines)
    import numpy as np

    rows = []
    for number, line in enumerate(lines, first_line):
        try:
            rows.append([float(item) for item in line.split(",")])
        except ValueError:
            raise ConfigurationError(
                f"standard input, line {number}: {line!r} is not a list of comma-separated numbers."
            ) from None
        if len(rows[-1]) != len(rows[0]):
            raise ConfigurationError(
                f"standard input, line {number}: {len(rows[-1])} numbers, expected {len(rows[0])} "
                "as in the lines before."
            )
    return np.array(rows, dtype=np.float64)


def _entry(board: Leaderboard, cell: str) -> Entry:
    matches = [entry for entry in board.entries if entry.id.startswith(cell)]
    if len(matches) == 1:
        return matches[0]
    examples = "; ".join(f"{entry.id} ({entry.label})" for entry in (matches or board.entries)[:4])
    problem = (
        "matches several entries of this run, such as"
        if matches
        else "matches no entry of this run, which has"
    )
    raise ConfigurationError(
        f"{cell!r} {problem} {examples}. `fgbench leaderboard show RUN --json` lists all ids."
    )


def _outputs(needs: frozenset[str]) -> list[str]:
    from fgbench.parts.classifier import CAPABILITY_OUTPUTS

    return [output for name, output in CAPABILITY_OUTPUTS.items() if name in needs]


def _reference(record: Any) -> PartReference:
    return PartReference(record.name, record.params)
