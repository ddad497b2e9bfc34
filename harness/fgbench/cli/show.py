"""`fgbench show`: one part, its parameters and needs."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import click

from fgbench.cli.console import console, json_text
from fgbench.cli.options import load_registry, plugin_option
from fgbench.errors import ConfigurationError, FgbenchError, did_you_mean
from fgbench.plugins.registry import KINDS, Registration, Registry

if TYPE_CHECKING:
    from fgbench.parts.base import Part


@click.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_option
def show(name: str, as_json: bool, plugins: tuple[str, ...]) -> None:
    """Show the parts named NAME: their parameters, what they need and provide, their card."""
    registry = load_registry(plugins)
    kinds = [kind for kind in KINDS if name in registry.names(kind)]
    if not kinds:
        names = {other for kind in KINDS for other in registry.names(kind)}
        raise ConfigurationError(f"unknown part {name!r}. {did_you_mean(name, names)}")
    described = [_describe(registry, registry.find(kind, name)) for kind in kinds]
    if as_json:
        click.echo(json_text(described, indent=2, default=str))
        return

    output = console(highlight=False)
    for part in described:
        _print(output, part)


def _describe(registry: Registry, registration: Registration) -> dict[str, Any]:
    described: dict[str, Any] = {
        "kind": registration.kind,
        "name": registration.name,
        "summary": registration.summary,
        "plugin": registration.plugin,
        "class": registration.target,
    }
    try:
        part = registry.part_class(registration.kind, registration.name)
    except FgbenchError as error:
        return described | {"error": str(error)}
    described |= {
        "version": part.version,
        "description": inspect.cleandoc(part.__doc__ or ""),
        "parameters": [_parameter(part, item) for item in fields(part)],  # type: ignore[arg-type]
        "needs": sorted(part.needs),
        "provides": sorted(part.provides),
    }
    card = getattr(part, "card", lambda: None)()
    if card is not None:
        described["card"] = card.model_dump(mode="json", exclude_none=True)
    return described


def _parameter(part: type[Part], item: Any) -> dict[str, Any]:
    if item.default is not MISSING:
        default = item.default
    elif item.default_factory is not MISSING:
        default = item.default_factory()
    else:
        default = None
    required = item.default is MISSING and item.default_factory is MISSING
    kind = item.type if isinstance(item.type, str) else getattr(item.type, "__name__", item.type)
    # "Annotated[int, Field(ge=2)]" becomes "int, ge=2".
    plain = re.sub(r"Annotated\[(.*?), Field\((.*?)\)\]", r"\1, \2", str(kind))
    return {"name": item.name, "type": plain, "default": default, "required": required}


def _print(output: Any, part: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.padding import Padding

    output.print(f"[bold]{escape(part['name'])}[/bold] ({part['kind']}): {escape(part['summary'])}")
    output.print(f"  plugin {escape(part['plugin'])}, class {escape(part['class'])}")
    if "error" in part:
        output.print(Padding(escape(part["error"]), (0, 2)))
        return
    if part["description"]:
        for paragraph in part["description"].split("\n\n"):
            output.print(Padding(escape(" ".join(paragraph.split())), (1, 2, 0, 2)))
        output.print()
    if part["parameters"]:
        output.print("  parameters:")
        for item in part["parameters"]:
            default = "is required" if item["required"] else f"= {item['default']!r}"
            line = f"    {item['name']} {default}  ({item['type']})"
            output.print(escape(line), soft_wrap=True)
    for word in ("needs", "provides"):
        if part[word]:
            output.print(f"  {word}: {', '.join(part[word])}")
    if "card" in part:
        output.print(f"  card: fgbench data show {part['name']}")
