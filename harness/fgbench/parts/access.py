"""What a part uses outside of fgbench: hosts, environment variables and local paths.

Parameters are declared by their types, and what a type does not say by a marker in `Annotated`:

    path: Path                                             # a local path
    base_url: Annotated[str, HostUrl()]                    # a host that is contacted
    api_key_env: Annotated[str, KeyVariable("ACME_KEY")]   # a variable that holds a key

Texts of other parameters count by what they look like: a URL, an existing path, a variable that is
set. Nothing is read and nobody is contacted here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pydantic import TypeAdapter

AccessKind = Literal["host", "variable", "path", "plugin"]

_USES = "x-fgbench-uses"
_FORMATS: Mapping[str, AccessKind] = {
    **dict.fromkeys(("path", "file-path", "directory-path"), "path"),
    **dict.fromkeys(("uri", "multi-host-uri", "ipv4", "ipv6", "ipvanyaddress"), "host"),
}
"""The kinds of the formats in which pydantic describes types such as `Path` and `AnyUrl`."""

_NETLOC = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d*)?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>,]+")
_HOST_AND_PORT = re.compile(r"(?=[^:]*[A-Za-z.])[A-Za-z0-9.-]+:\d{1,5}(?:/.*)?")
_VARIABLE = re.compile(r"(?:^|[=$]|\$\{)([A-Za-z_][A-Za-z0-9_]*)(?=$|[\s,;}])")
_SEPARATORS = re.compile(r"[\s,;=\"'\[\](){}]+")


@dataclass(frozen=True)
class Access:
    """Something outside of fgbench that a part may use, and the parameter that names it.

    `name` is a host with its port, the name of an environment variable, an absolute path, or the
    name of a plugin. `documented` is false for a variable that the part does not document as the
    holder of a key for the host in question.
    """

    kind: AccessKind
    name: str
    place: str
    documented: bool = True


class HostUrl:
    """Marker of a text parameter with the URL of a host: `Annotated[str, HostUrl()]`."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(core_schema), _USES: {"kind": "host"}}


class KeyVariable:
    """Marker of a text parameter that names the environment variable with a key.

    A received file can only name the variables listed here: `KeyVariable("ACME_KEY")`. Others need
    the option `--allow-env`.
    """

    def __init__(self, *documented: str) -> None:
        self.documented = documented

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        uses = {"kind": "variable", "documented": list(self.documented)}
        return {**handler(core_schema), _USES: uses}


def declared_accesses(
    adapter: TypeAdapter[Any],
    paths: frozenset[str],
    defaults: Mapping[str, Any],
    parameters: Mapping[str, Any],
) -> Iterator[Access]:
    """Yield what the parameters of a part name, given the part's type adapter.

    `paths` are names of parameters that are paths whatever their type. `defaults` are those that
    are created for each part, such as lists; the adapter knows the others. `parameters` are
    unvalidated. Declared parameters count with their defaults, others only if they are given.
    """
    schema = _json_schema(adapter)
    definitions = schema.get("$defs", {})
    for name, described in _resolved(schema, definitions).get("properties", {}).items():
        leaves = list(_leaves(described, definitions))
        declared = [*_declared(leaves), *([_Declared("path")] if name in paths else [])]
        if declared:
            default = described.get("default", defaults.get(name))
            for text in _texts(parameters.get(name, default)):
                if text:
                    for item in declared:
                        yield item.access(text, name)
        elif any(map(_is_free_text, leaves)):
            for text in _texts(parameters.get(name)):
                yield from apparent_accesses(text, name)


def apparent_accesses(text: str, place: str) -> Iterator[Access]:
    """Yield what a text looks like, or what its words look like: URLs, paths, variables."""
    for url in _URL.findall(text):
        if url.lower().startswith("file:"):
            yield Access("path", local_path(urlsplit(url).path), place)
        else:
            yield Access("host", host_of(url), place)
    if _HOST_AND_PORT.fullmatch(text):
        yield Access("host", host_of(f"//{text}"), place)
    words = [word for word in _SEPARATORS.split(text) if "/" in word[1:] or os.sep in word[1:]]
    for path in dict.fromkeys([*([text] if _is_path(text) else []), *filter(_exists, words)]):
        yield Access("path", local_path(path), place)
    for variable in _VARIABLE.findall(text):
        if variable in os.environ:
            yield Access("variable", variable, place, documented=False)


def host_of(url: str) -> str:
    """Return the host of a URL, with the port if it has one; the whole text if that is unclear."""
    try:
        netloc = urlsplit(url.strip()).netloc
    except ValueError:
        return url
    return netloc.lower().removesuffix(":") if _NETLOC.fullmatch(netloc) else url


def local_path(text: str) -> str:
    """Return the absolute path that a text means in the working directory, links followed."""
    return text if "\0" in text else os.path.realpath(_expanded(text))


@dataclass(frozen=True)
class _Declared:
    kind: AccessKind
    documented: tuple[str, ...] | None = None

    def access(self, text: str, place: str) -> Access:
        if self.kind == "path":
            return Access("path", local_path(text), place)
        if self.kind == "host":
            return Access("host", host_of(text), place)
        return Access(self.kind, text, place, text in (self.documented or ()))


def _json_schema(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

    class Parameters(GenerateJsonSchema):
        """Describes types that JSON Schema cannot express as anything, instead of raising."""

        ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012 - as in the base class
            "skipped-choice",
            "non-serializable-default",
        }

        def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:
            return {}

    return adapter.json_schema(by_alias=False, schema_generator=Parameters)


def _resolved(schema: Any, definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a schema, or the definition that it refers to, with its own keys."""
    if not isinstance(schema, Mapping):  # true: anything
        return {}
    reference = schema.get("$ref")
    if reference is None:
        return schema
    return {**definitions.get(reference.rpartition("/")[2], {}), **schema, "$ref": None}


def _leaves(schema: Any, definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas of the values in a parameter, and those around them that have a marker."""
    waiting, seen = [schema], set()
    while waiting:
        item = waiting.pop()
        reference = item.get("$ref") if isinstance(item, Mapping) else None
        if reference in seen:
            continue
        if reference is not None:
            seen.add(reference)
        item = _resolved(item, definitions)
        inner = [choice for key in ("anyOf", "oneOf", "allOf") for choice in item.get(key, ())]
        inner += item.get("prefixItems", ())
        inner += item.get("properties", {}).values()
        inner += [item[key] for key in ("items", "additionalProperties") if item.get(key)]
        if not inner or _USES in item:
            yield item
        waiting += inner


def _declared(leaves: list[Mapping[str, Any]]) -> Iterator[_Declared]:
    for leaf in leaves:
        uses = leaf.get(_USES)
        if uses is not None:
            yield _Declared(uses["kind"], tuple(uses.get("documented", ())))
        elif leaf.get("format") in _FORMATS:
            yield _Declared(_FORMATS[leaf["format"]])


def _is_free_text(leaf: Mapping[str, Any]) -> bool:
    """Return whether a value can be a text that is not one of a few choices."""
    return leaf.get("type", "string") in ("string", "object", "array") and not (
        "enum" in leaf or "const" in leaf
    )


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value, keys of tables included."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str | PurePath):
            yield str(item)
        elif isinstance(item, Mapping):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple | set | frozenset):
            waiting += item


def _is_path(text: str) -> bool:
    return (
        text.startswith(("~", os.sep)) or ".." in re.split(r"[/\\]", text) or _exists(text)
    ) and text.isprintable()


def _exists(text: str) -> bool:
    return bool(text) and os.path.lexists(_expanded(text))


def _expanded(text: str) -> str:
    return os.path.expanduser(text)  # noqa: PTH111 - Path.expanduser raises for unknown users
