"""What every part has in common: a name, a version, needs, and declared parameters.

A part is a class whose annotated attributes are its parameters:

    class HistogramBinning(Calibrator):
        bins: int = 15                      # a parameter: histogram:bins=30
        needs = frozenset({"logits"})       # not annotated: a property of the class

Parameters are checked by pydantic when a part is created from a reference, so
`Annotated[int, Field(gt=0)]` and the like work. pydantic is imported then, not before.
"""

from __future__ import annotations

import inspect
from copy import copy
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

from fgbench.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import TypeAdapter

    from fgbench.llm.asking import Answers


@dataclass_transform(kw_only_default=True, eq_default=False)
class Part:
    """Base of all parts; subclass one of the interfaces below it instead."""

    kind: ClassVar[str] = "part"
    version: ClassVar[str] = "1"
    """Part of every stage key: change it when the part's results change."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Capabilities that the other parts of a cell must provide."""
    provides: ClassVar[frozenset[str]] = frozenset()
    """Capabilities that this part adds to its cell."""
    paths: ClassVar[frozenset[str]] = frozenset()
    """Parameters that are paths on this machine: of these, just the file's name is published."""
    operational: ClassVar[frozenset[str]] = frozenset()
    """Parameters that decide how work is done and not what comes out (concurrency, timeouts): no
    part of keys or of results."""
    answers: ClassVar[Answers | None] = None
    """Set by the harness before a part is used: how it asks language models, so that each answer is
    stored, counted and replayed."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in inspect.get_annotations(cls):
            default = cls.__dict__.get(name)
            if isinstance(default, list | dict | set):  # each part gets a copy of its own
                setattr(cls, name, field(default_factory=partial(copy, default)))
        dataclass(kw_only=True, eq=False)(cls)

    @property
    def exclusive(self) -> bool:
        """Whether it takes the machine whole while it works: all its cores, or a GPU's memory.

        Stages with such a part take turns, whatever the number of jobs; those without one fill the
        other slots. No result and no stage key depends on it.
        """
        return False

    @classmethod
    def parameter_names(cls) -> list[str]:
        """Return the names of the declared parameters, in their order."""
        return [item.name for item in fields(cls)]  # type: ignore[arg-type]

    @classmethod
    def required_parameters(cls) -> list[str]:
        """Return the names of the parameters without a default."""
        return [
            item.name
            for item in fields(cls)  # type: ignore[arg-type]
            if item.default is MISSING and item.default_factory is MISSING
        ]

    @classmethod
    def create(cls, parameters: Mapping[str, Any], *, name: str, where: str | None = None) -> Self:
        """Build the part called `name` from unchecked parameters; errors call it `where`, if given.

        Raises `ConfigurationError` with the nearest valid name for an unknown parameter, and with
        the reason for a value of the wrong type or range.
        """
        from pydantic import ValidationError

        where = where or f"{cls.kind} {name!r}"
        known = cls.parameter_names()
        for key in parameters:
            if key not in known:
                raise ConfigurationError(
                    f"{where} has no parameter {key!r}. {did_you_mean(key, known)}"
                )
        try:
            part = cls._adapter().validate_python(dict(parameters))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(item) for item in first["loc"])
            if first["type"].startswith("missing"):
                raise ConfigurationError(
                    f"{where} needs the parameter {place!r}: {name}:{place}=…"
                ) from None
            message = first["msg"].removeprefix("Value error, ")
            if not place:
                raise ConfigurationError(f"{where}: {message}") from None
            raise ConfigurationError(
                f"{where}: parameter {place}={first['input']!r}: {message}."
            ) from None
        return part

    def parameters(self) -> dict[str, Any]:
        """Return the resolved parameters as JSON values: part of the stage key."""
        return dict(self._adapter().dump_python(self, mode="json"))

    def published_parameters(self) -> dict[str, Any]:
        """Return the parameters that results are known by: the same on every machine."""
        published = {
            name: value for name, value in self.parameters().items() if name not in self.operational
        }
        for name in self.paths & published.keys():
            if published[name] is not None:
                published[name] = PurePath(published[name]).name
        return published

    def identity(self, name: str, code: str | None = None) -> dict[str, Any]:
        """Return what the part, registered as `name`, adds to a stage key, as JSON values.

        `code` is the digest of the plugin file that defines it, for a local plugin.
        """
        identity = {
            "name": name,
            "version": self.version,
            "parameters": self.published_parameters(),
        }
        content = self.content_digest()
        optional = {"code": code, "content": content}
        return identity | {key: value for key, value in optional.items() if value is not None}

    def content_digest(self) -> str | None:
        """Return a digest of the files that the part's results depend on, a local model's say.

        It becomes part of the stage key; None, the default, where the parameters say it all.
        """
        return None

    def preflight(self) -> None:
        """Check that the part can work on this machine: a GPU, an extra, a model's weights.

        Called once before a run's first stage if a stage with the part is left to do, and not for
        a replay, which asks no model. Raises `ConfigurationError` or `PluginError` with the mend.
        """

    @classmethod
    def _adapter(cls) -> TypeAdapter[Self]:
        from pydantic import TypeAdapter

        adapter: TypeAdapter[Self] | None = cls.__dict__.get("_type_adapter")
        if adapter is None:
            adapter = TypeAdapter(cls)
            cls._type_adapter = adapter  # type: ignore[attr-defined]
        return adapter
