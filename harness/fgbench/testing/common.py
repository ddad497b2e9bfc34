"""The contract of all parts, and helpers of the checks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from fgbench.digests import canonical_json
from fgbench.errors import ConfigurationError, PluginError
from fgbench.parts.access import Access

if TYPE_CHECKING:
    from fgbench.data import FloatArray
    from fgbench.parts.base import Part

AnyPart = TypeVar("AnyPart", bound="Part")


def fail(part: Part, problem: str) -> NoReturn:
    """Raise a `PluginError` that names the part and the problem."""
    raise PluginError(f"{part.kind} {type(part).__name__}: {problem}.")


def check_part(part: Part, interface: type[Part]) -> None:
    """Check the contract of every kind of part: version, needs, and parameters that are JSON."""
    if not isinstance(part, interface):
        raise PluginError(
            f"{type(part).__name__} is not a fgbench.{interface.__name__}: make it a subclass."
        )
    for name in ("kind", "version", "needs", "provides"):
        if name in part.parameter_names():
            fail(part, f"{name!r} is annotated and so became a parameter; write `{name} = …`")
    if not isinstance(part.version, str) or not part.version:
        fail(part, f"its version must be a text, not {part.version!r}")
    for name in ("needs", "provides"):
        value = getattr(part, name)
        if not isinstance(value, frozenset) or not all(isinstance(item, str) for item in value):
            fail(part, f"{name} must be a frozenset of texts, not {value!r}")
    values = part.parameters()
    try:
        canonical_json(values)
    except (TypeError, ValueError) as error:
        fail(part, f"its parameters are not JSON ({error}), so they cannot be part of a stage key")
    recreated = twin(part).parameters()
    if recreated != values:
        fail(part, f"created from its parameters {values}, it has others: {recreated}")
    texts = {name: str(value) for name, value in values.items() if _is_scalar(value)}
    try:
        parsed = type(part).create(values | texts, name="it").parameters()
    except ConfigurationError as error:
        fail(part, f"its parameters cannot be written on a command line: {error}".rstrip("."))
    if parsed != values:
        fail(part, f"its parameters {values}, written on a command line, become {parsed}")
    for parameters in (values, {}, {name: [7, {"x": None}] for name in values}):
        if not all(isinstance(item, Access) for item in type(part).accesses(parameters)):
            fail(part, "accesses must return fgbench.Access objects, also for invalid parameters")


def twin(part: AnyPart) -> AnyPart:
    """Return a new part with the same parameters, created as the harness creates it."""
    return type(part).create(part.parameters(), name=type(part).__name__)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bool | int | float)


@contextmanager
def global_state(seed: int) -> Iterator[None]:
    """Seed the global random generators, which no part may use, and restore them afterward."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


def check_distribution(part: Part, what: str, values: Any, n_classes: int) -> None:
    """Check that `values` are K probabilities."""
    row = np.asarray(values, dtype=np.float64)
    if row.shape != (n_classes,):
        fail(part, f"{what} must be {n_classes} probabilities, not {values!r}")
    if not (np.isfinite(row).all() and (row >= 0).all() and abs(row.sum() - 1) < 1e-3):
        fail(part, f"{what} must be probabilities that sum to 1, not {values!r}")


def near(first: Any, second: Any, tolerance: float) -> bool:
    """Return whether arrays agree within a tolerance; NaN equals NaN."""
    left, right = np.asarray(first), np.asarray(second)
    return left.shape == right.shape and np.allclose(
        left, right, rtol=tolerance, atol=tolerance, equal_nan=True
    )


def overconfident_logits(n: int, n_classes: int, seed: int) -> tuple[FloatArray, FloatArray, Any]:
    """Return logits (n, K) scaled by 1.5, the true posterior (n, K), and labels (n,)."""
    rng = np.random.default_rng(seed)
    true = rng.normal(scale=1.5, size=(n, n_classes))
    posterior = np.exp(true) / np.exp(true).sum(axis=1, keepdims=True)
    labels = (posterior.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=n_classes - 1)
    labels[:n_classes] = np.arange(n_classes)
    return (1.5 * true).astype(np.float32), posterior, labels
