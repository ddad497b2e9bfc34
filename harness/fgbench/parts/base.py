"""Base class of parts: version, capabilities and declared parameters.

A part is a class whose annotated attributes are its parameters:

    class HistogramBinning(Calibrator):
        bins: int = 15                      # a parameter: histogram:bins=30
        needs = frozenset({"logits"})       # not annotated: a class attribute

Parameters are validated by pydantic when a part is created from a reference, so constraints such as
`Annotated[int, Field(gt=0)]` work. pydantic is not imported before that.
"""

from __future__ import annotations

import inspect
from copy import copy
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

from fgbench.errors import ConfigurationError, did_you_mean, validation_sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import TypeAdapter

    from fgbench.llm.asking import Answers
    from fgbench.parts.access import Access

UNNAMED = ""
"""The key of a value that a reference gives without its key."""


@dataclass_transform(kw_only_default=True, eq_default=False)
class Part:
    """Base class of all parts; plugins subclass one of its interfaces instead."""

    kind: ClassVar[str] = "part"
    version: ClassVar[str] = "1"
    """Part of every stage key; change it when the results of the part change."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """Capabilities that the other parts of a cell must provide."""
    provides: ClassVar[frozenset[str]] = frozenset()
    """Capabilities that this part adds to its cell."""
    unnamed: ClassVar[str | None] = None
    """The parameter whose name a reference may leave out: `csv:reviews.csv,text=review`."""
    younger: ClassVar[frozenset[str]] = frozenset()
    """Parameters that are published only where they differ from their default: those added after
    a release, so that ids of entries from before stay the same."""
    paths: ClassVar[frozenset[str]] = frozenset()
    """Parameters that are paths on this machine; keys and boards contain only the file name."""
    operational: ClassVar[frozenset[str]] = frozenset()
    """Names of parameters that change how the part works, but never its results.

    Examples are batch sizes, numbers of threads, devices, timeouts, retries and the name of the
    variable with an API key. They are neither part of stage keys nor published on leaderboards:
    changing one reuses stored results. A parameter that can change a result, even slightly, must
    not be listed."""
    answers: ClassVar[Answers | None] = None
    """Access to language models, set by the harness before a part is used: it stores, counts and
    replays each answer."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in inspect.get_annotations(cls):
            default = cls.__dict__.get(name)
            if isinstance(default, list | dict | set):  # each part gets its own copy
                setattr(cls, name, field(default_factory=partial(copy, default)))
        dataclass(kw_only=True, eq=False)(cls)

    @property
    def is_neutral(self) -> bool:
        """Whether it changes nothing: entries with it count as having no part of its kind."""
        return False

    @property
    def exclusive(self) -> bool:
        """Whether the part needs the whole machine while it works: all cores, or a GPU's memory.

        Stages with exclusive parts run one at a time, regardless of the number of jobs; other
        stages use the remaining slots. Results and stage keys do not depend on it.
        """
        return False

    @classmethod
    def parameter_names(cls) -> list[str]:
        """Return the names of the declared parameters, in order of declaration."""
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
        """Create the part registered as `name` from unvalidated parameters.

        `where` is the place that errors name (default: kind and name). Raises `ConfigurationError`
        for an unknown parameter, with the nearest valid name, and for a value of the wrong type or
        range.
        """
        from pydantic import ValidationError

        where = where or f"{cls.kind} {name!r}"
        names = cls.parameter_names()
        parameters = cls._named(parameters, where)
        for key in parameters:
            if key not in names:
                raise ConfigurationError(
                    f"{where} has no parameter {key!r}. {did_you_mean(key, names)}"
                )
        try:
            part = cls._adapter().validate_python(dict(parameters))
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"].startswith("missing"):
                missing = first["loc"][0]
                raise ConfigurationError(
                    f"{where} needs the parameter {missing!r}: {name}:{missing}=…"
                ) from None
            what = "parameter " if first["loc"] else ""
            raise ConfigurationError(f"{where}: {what}{validation_sentence(error)}") from None
        return part

    def parameters(self) -> dict[str, Any]:
        """Return all parameters, including defaults, as JSON values."""
        return dict(self._adapter().dump_python(self, mode="json"))

    def published_parameters(self) -> dict[str, Any]:
        """Return the parameters that are part of keys and boards: the same on every machine.

        Operational parameters and `younger` ones with their default are left out, and paths are
        reduced to file names.
        """
        defaults = {item.name: item.default for item in fields(self)}  # type: ignore[arg-type]
        published = {
            name: value
            for name, value in self.parameters().items()
            if name not in self.operational
            and not (name in self.younger and getattr(self, name) == defaults[name])
        }
        for name in self.paths & published.keys():
            if published[name] is not None:
                published[name] = PurePath(published[name]).name
        return published

    def identity(self, name: str, code: str | None = None) -> dict[str, Any]:
        """Return the JSON values that the part, registered as `name`, contributes to a stage key.

        For a part of a local plugin, `code` is the digest of the plugin file.
        """
        identity = {
            "name": name,
            "version": self.version,
            "parameters": self.published_parameters(),
        }
        content = self.content_digest()
        optional = {"code": code, "content": content}
        return identity | {key: value for key, value in optional.items() if value is not None}

    @classmethod
    def accesses(cls, parameters: Mapping[str, Any]) -> Iterable[Access]:
        """Return what a part with these parameters may use: hosts, key variables, local paths.

        `parameters` are unvalidated and come from a file that somebody else may have written: its
        reader is asked before a part is created. The default follows from the types and markers of
        the parameters (`fgbench.HostUrl`, `fgbench.KeyVariable`) and from `paths`. A part that
        uses more overrides it. It must neither read files nor contact anybody.
        """
        from fgbench.parts.access import declared_accesses

        defaults = {
            item.name: item.default_factory()
            for item in fields(cls)  # type: ignore[arg-type]
            if item.default_factory is not MISSING
        }
        return declared_accesses(cls._adapter(), cls.paths, defaults, parameters)

    def content_digest(self) -> str | None:
        """Return a digest of files that the results depend on, such as a local model.

        It becomes part of the stage key. The default, None, is for parts without such files.
        """
        return None

    def preflight(self) -> None:
        """Check that this machine has what the part requires: a GPU, an extra, a model's weights.

        Called once before the first stage of a run if a stage that uses the part is not stored, but
        not in a replay, which uses no model. Raises `ConfigurationError` or `PluginError` that says
        how to fix the problem.
        """

    @classmethod
    def _named(cls, parameters: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the parameters, the one without a key under its name."""
        named = {key: value for key, value in parameters.items() if key != UNNAMED}
        if len(named) == len(parameters):
            return named
        value = parameters[UNNAMED]
        if cls.unnamed is None:
            raise ConfigurationError(
                f"{where}: {value!r} is not key=value (quote values that contain commas)."
            )
        if cls.unnamed in named:
            raise ConfigurationError(f"{where}: {cls.unnamed!r} given twice.")
        return {cls.unnamed: value} | named

    @classmethod
    def _adapter(cls) -> TypeAdapter[Self]:
        from pydantic import TypeAdapter

        adapter: TypeAdapter[Self] | None = cls.__dict__.get("_type_adapter")
        if adapter is None:
            adapter = TypeAdapter(cls)
            cls._type_adapter = adapter  # type: ignore[attr-defined]
        return adapter
