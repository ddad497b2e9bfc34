"""The engines of the language model classifier, which are those of the generators.

An engine is created by the generator of the same name, so that parameters have the same meaning in
both and answers are stored under the same identity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from fgbench import Access, ChatModel, ConfigurationError, Generator

ENGINES = {
    "openai": "fgbench_plugins.generators.openai:OpenAIGenerator",
    "vllm": "fgbench_plugins.generators.vllm:VllmGenerator",
    "hf": "fgbench_plugins.generators.hf:TransformersGenerator",
}


class Engine(Protocol):
    """The part of a language model generator that the classifier uses."""

    needs: frozenset[str]
    operational: frozenset[str]
    exclusive: bool

    def chat_model(self) -> ChatModel: ...
    def preflight(self) -> None: ...
    def content_digest(self) -> str | None: ...
    def published_parameters(self) -> dict[str, Any]: ...


def create_engine(name: str, options: Mapping[str, Any], *, role: str = "") -> Engine:
    """Return the engine called `name` with these options, without loading or requesting anything.

    `role` names its purpose in errors if it is not the classifier itself. Raises
    `ConfigurationError` for an unknown engine or an option that it does not have.
    """
    where = "classifier 'llm'" + (f", {role}" if role else "")
    if name not in ENGINES:
        raise ConfigurationError(
            f"{where}: unknown engine {name!r}: choose from {', '.join(ENGINES)}."
        )
    generator = _generator(name)
    for option in options:
        supporting = " and ".join(other for other in ENGINES if _has_option(other, option))
        if supporting and not _has_option(name, option):
            raise ConfigurationError(
                f"{where}: engine={name} has no parameter {option!r} (a parameter of {supporting})."
            )
    return cast("Engine", generator.create(options, name="llm", where=where))


def engine_accesses(name: str, options: Mapping[str, Any]) -> Iterable[Access]:
    """Return what an engine with these options may use; see `Part.accesses`."""
    return _generator(name).accesses(options) if name in ENGINES else ()


def judge_options(judge: str, name: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return engine and options of a judge: `key=value,key=value` overrides the classifier's.

    A judge with its own engine inherits no options.
    """
    changes: dict[str, Any] = {}
    for item in judge.split(","):
        key, equals, value = item.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ConfigurationError(
                f"classifier 'llm': judge={judge!r}: {item!r} is not of the form key=value; use "
                "judge='model=…' or judge='engine=openai,model=…,base_url=…'."
            )
        changes[key.strip()] = value.strip()
    if "engine" in changes:
        return str(changes.pop("engine")), changes
    return name, {**options, **changes}


def published_judge(judge: str, engine: Engine) -> str:
    """Return the published form of a judge: without operational options, a local model by name."""
    published = engine.published_parameters()
    options = [item.partition("=")[::2] for item in judge.split(",")]
    return ",".join(
        f"{key.strip()}={published.get(key.strip(), value.strip())}"
        for key, value in options
        if key.strip() not in engine.operational
    )


def _generator(name: str) -> type[Generator]:
    module, _, attribute = ENGINES[name].partition(":")
    return cast("type[Generator]", getattr(import_module(module), attribute))


def _has_option(name: str, option: str) -> bool:
    return option in _generator(name).parameter_names()
