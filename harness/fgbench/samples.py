"""Samples: one typed record per synthetic input, from the generator's reply to the report.

The loop makes a `Sample` of every candidate, accepted or not. A finished run extends it to a
`RunSample`: what the baseline classifier says of it, and which run it belongs to. Both are stored
as JSON Lines (`samples.jsonl` of a stage, `samples/*.jsonl` of a run): a line is the JSON object of
the record's fields with sorted keys.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar

from fgbench.errors import DataError
from fgbench.foreign import MAX_INTEGER_DIGITS, SAMPLES, parse_json, read_lines

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

Verdict: TypeAlias = Literal["accepted", "surplus", "rejected"]
Design: TypeAlias = Literal["targeted", "random", "other-bins", "no-shift", "reversed"]
"""Which points synthetic inputs were requested for, and with which probabilities: those of targeted
bins (FITG), of random bins, or those of the arm of that name."""

Probabilities: TypeAlias = tuple[float | int, ...]
"""The probability of each class, (K,). Integers stay integers, so that lines stay as they are."""

_YOUNGER: Mapping[str, Any] = {"dose": 1.0}
"""Fields that are younger than the first files: at these values, lines do not have them."""

_INTEGERS = 10**MAX_INTEGER_DIGITS
_ENCODER = json.JSONEncoder(sort_keys=True)


@dataclass(frozen=True)
class Source:
    """The real row that a sample was generated from: its place in `split`, input and true class."""

    index: int
    input: str | tuple[float | int, ...]
    label: int
    split: str = "validation"


@dataclass(frozen=True)
class Sample:
    """A candidate of a generator with its lineage and verdict.

    `draw` counts the requests for one source, from 0. `bin_probabilities` (K,) is what the baseline
    predicts in the source's bin on average, `asked_probabilities` (K,) what the generator was asked
    for, `claimed_probabilities` (K,) what it claims, and `achieved_probabilities` (K,) the true
    posterior, for data sets that know it. `messages` is the prompt and `raw` the reply. `relabeled`
    is the class that relabeling gave. A `rejected` sample has a `reason`; `surplus` marks a good
    one whose source already had one.
    """

    source: Source
    draw: int
    bin: int
    bin_probabilities: Probabilities
    asked_probabilities: Probabilities
    verdict: Verdict
    input: str | tuple[float | int, ...] | None = None
    reason: str | None = None
    messages: tuple[dict[str, Any], ...] = ()
    raw: str | None = None
    claimed_probabilities: Probabilities | None = None
    achieved_probabilities: Probabilities | None = None
    relabeled: int | None = None
    relabeled_probabilities: Probabilities | None = None
    relabel_raw: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether arms may train on it."""
        return self.verdict == "accepted"

    @property
    def has_input(self) -> bool:
        """Whether there is anything to classify: an unusable reply or an empty text has nothing."""
        return bool(self.input)

    def to_line(self) -> str:
        """Return the record as one line of JSON, without a line break."""
        values = {
            name: value
            for name, value in vars(self).items()
            if name not in _YOUNGER or value != _YOUNGER[name]
        }
        return _ENCODER.encode(values | {"source": vars(self.source)})

    @classmethod
    def from_line(cls, line: str | bytes) -> Self:
        """Read what `to_line` returned. Unknown keys are ignored, missing optional ones are null.

        Raises `DataError` for a line that is not such a record.
        """
        from pydantic import ValidationError

        adapter: TypeAdapter[Self] = _adapter(cls)  # type: ignore[arg-type]  # a class is hashable
        try:
            return _in_range(adapter.validate_json(line, strict=True))
        except ValidationError as error:
            if error.errors()[0]["type"] != "json_invalid":
                raise _not_a_sample(error) from None
        try:  # the unpaired surrogates that Python strings and escaped JSON may hold
            return _in_range(adapter.validate_python(parse_json(line, lone_surrogates=True)))
        except ValidationError as error:
            raise _not_a_sample(error) from None
        except ValueError as error:
            raise DataError(f"not JSON ({error}).") from None


@dataclass(frozen=True, kw_only=True)
class RunSample(Sample):
    """A sample of a finished run.

    `dataset`, `generator`, `seed`, `bins`, `dose` and `design` say which run of the generator it
    belongs to, `used_in` which arms were trained on it. `baseline_probabilities` (K,) is what the
    baseline classifier predicts for it; `influence` and `source_influence` by how much it, or its
    source, would change the baseline's loss on held-out rows (docs/diagnostics.md). All three are
    None where the classifier cannot be asked.
    """

    dataset: str
    generator: str
    seed: int
    bins: int
    design: Design
    dose: float = 1.0
    used_in: tuple[str, ...] = ()
    baseline_probabilities: Probabilities | None = None
    influence: float | None = None
    source_influence: float | None = None


AnySample = TypeVar("AnySample", bound=Sample)


def serialize_samples(samples: Iterable[Sample]) -> bytes:
    """Return the content of a file of samples, one line each."""
    return "".join(f"{sample.to_line()}\n" for sample in samples).encode("ascii")


def load_samples(path: Path, record: type[AnySample]) -> list[AnySample]:
    """Read a file of `Sample` or `RunSample` lines.

    Raises `DataError` with the file and the line number for a line that is not a `record`.
    """
    samples = []
    for number, line in read_lines(path, SAMPLES):
        try:
            samples.append(record.from_line(line))
        except DataError as error:
            raise DataError(f"{path} line {number}: {error}") from None
    return samples


@cache
def _adapter(record: type[Sample]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(record)


def _in_range(sample: AnySample) -> AnySample:
    """Return the sample; raise `DataError` for an integer beyond the range of floats."""
    for value in (*vars(sample).values(), *vars(sample.source).values()):
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int) and not -_INTEGERS <= number < _INTEGERS:
                raise DataError("not a sample (an integer is out of range).")
    return sample


def _not_a_sample(error: ValidationError) -> DataError:
    problem = error.errors()[0]
    place = ".".join(str(item) for item in problem["loc"])
    reason = f"{place}: {problem['msg']}" if place else problem["msg"]
    return DataError(f"not a sample ({reason}).")
