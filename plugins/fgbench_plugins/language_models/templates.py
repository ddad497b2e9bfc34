"""Custom prompts: a TOML file with the messages of each stage as Jinja templates.

    [generation]
    system = "Classes of {{ task }}: {{ names | join(', ') }}."
    user = "Like {{ source }}, but {{ asked_probabilities }}: {{ count }} texts, please."

    [relabeling]
    user = "{{ names | join(' or ') }}? {{ text }}"

`system` and [relabeling] are optional; without the latter, the built-in prompt is used. Errors in a
template are reported when it is read, before any request is sent.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fgbench import (
    ConfigurationError,
    DataError,
    GenerationRequest,
    GenerationTask,
    Message,
    open_file,
    parse_toml,
)
from fgbench_plugins.language_models.prompts import (
    FitgPrompts,
    Messages,
    PromptForm,
    answer_format,
    in_percent,
    label_format,
    quoted,
)

_SHARED = {"task": "a text", "names": ["a", "b"], "answer_format": "…"}
_CLASS = {"name": "a", "description": "…", "examples": ['"…"'], "option": "1"}
PLACEHOLDERS: Mapping[str, Mapping[str, Any]] = {
    "generation": {
        **_SHARED,
        "classes": [_CLASS],
        "source": '"…"',
        "bin_probabilities": "a 75%, b 25%",
        "asked_probabilities": "a 65%, b 35%",
        "count": 3,
    },
    "relabeling": {**_SHARED, "classes": [_CLASS], "text": '"…"'},
}
"""The placeholders of each stage, with values for a test rendering."""

_ROLES = ("system", "user")
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class PromptTemplate:
    """A validated template: for each stage the Jinja templates of its roles, in order."""

    stages: Mapping[str, tuple[tuple[str, Template], ...]]
    used: Mapping[str, frozenset[str]]

    def messages(self, stage: str, values: Mapping[str, Any]) -> Messages:
        """Return the messages of a stage."""
        return tuple(
            Message(role, item.render(values).strip()) for role, item in self.stages[stage]
        )


class TemplatePrompts:
    """Words the requests of another strategy by a template."""

    def __init__(
        self,
        task: GenerationTask,
        form: PromptForm,
        template: PromptTemplate,
        strategy: FitgPrompts,
    ) -> None:
        self._form = form
        self._template = template
        self._strategy = strategy
        self._classes = strategy.classes
        has_relabeling = "relabeling" in template.stages
        # A number is a valid answer only if the prompt shows the numbers.
        self.options = strategy.options if form.by_option or not has_relabeling else ()

    def generation(self, request: GenerationRequest) -> Messages:
        """Ask for new texts."""
        requested = self.asked(request)
        names, before = self._classes.names, request.bin_probabilities
        values = {
            "source": quoted(request.source),
            "bin_probabilities": in_percent(before, names, requested),
            "asked_probabilities": in_percent(requested, names, before),
            "count": self._form.texts,
            "answer_format": answer_format(self._form),
            "classes": self._shown(self._classes.near(request, requested), examples=True),
        }
        return self._template.messages("generation", self._shared() | values)

    def relabeling(self, text: str) -> Messages:
        """Ask for the class of a text."""
        if "relabeling" not in self._template.stages:
            return self._strategy.relabeling(text)
        all_labels = range(len(self._classes.names))
        values = {
            "text": quoted(text),
            "answer_format": label_format(self._classes, self._form),
            "classes": self._shown(all_labels, examples=self._classes.shows_all),
        }
        return self._template.messages("relabeling", self._shared() | values)

    def asked(self, request: GenerationRequest) -> tuple[float, ...]:
        """Return the probabilities that the strategy requests."""
        return self._strategy.asked(request)

    def occasion(self, request: GenerationRequest) -> int:
        """Return the number of the strategy."""
        return self._strategy.occasion(request)

    def _shared(self) -> dict[str, Any]:
        return {"task": self._classes.task, "names": list(self._classes.names)}

    def _shown(self, labels: Any, *, examples: bool) -> list[dict[str, Any]]:
        classes = self._classes
        return [
            {
                "name": classes.names[label],
                "description": classes.descriptions[label],
                "examples": list(classes.examples[label]) if examples else [],
                "option": classes.options[label] if classes.options else "",
            }
            for label in labels
        ]


def template_digest(path: str) -> str:
    """Return the SHA-256 of the bytes of a template."""
    return hashlib.sha256(_content(path)).hexdigest()


def read_template(path: str, *, needs_source: bool, by_option: bool) -> PromptTemplate:
    """Read and validate a template.

    Raises `ConfigurationError`, with file and line, for invalid TOML or Jinja, for unknown
    sections, keys and placeholders, and for missing placeholders that a stage requires: the source
    if `needs_source`, the requested probabilities, the text to be labeled, and with `by_option` the
    format of the answer.
    """
    required = {
        "generation": {"asked_probabilities"} | ({"source"} if needs_source else set()),
        "relabeling": {"text"} | ({"answer_format"} if by_option else set()),
    }
    return _validated(
        path, _content(path), tuple((stage, *sorted(names)) for stage, names in required.items())
    )


def _content(path: str) -> bytes:
    try:
        with open_file(Path(path).expanduser()) as stream:
            content = stream.read(_MAX_BYTES + 1)
    except (OSError, RuntimeError, DataError) as error:
        raise ConfigurationError(
            f"template {path}: cannot be read ({str(error).rstrip('.')}); use a TOML file with "
            "[generation] and [relabeling]."
        ) from None
    if len(content) > _MAX_BYTES:
        raise ConfigurationError(f"template {path}: more than {_MAX_BYTES:,} bytes.")
    return content


@lru_cache(maxsize=8)
def _validated(path: str, content: bytes, required: tuple[tuple[str, ...], ...]) -> PromptTemplate:
    try:
        text = content.decode("utf-8")
        table = parse_toml(text)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"template {path} line {line}: not valid UTF-8.") from None
    except ValueError as error:
        match = re.search(r"\((?:at )?line (\d+)", str(error))
        place = f" line {match[1]}" if match else ""
        reason = re.sub(r" \((?:at )?line .*\)$", "", str(error))
        raise ConfigurationError(f"template {path}{place}: not valid TOML ({reason}).") from None
    file = _File(path, text)
    for stage in table:
        if stage not in PLACEHOLDERS:
            raise file.error(stage, None, 1, _unknown("section or key", stage, [*PLACEHOLDERS]))
    if "generation" not in table:
        raise ConfigurationError(f"template {path} has no [generation] section.")
    required_names = {stage: frozenset(names) for stage, *names in required}
    stages, used = {}, {}
    for stage, keys in table.items():
        stages[stage], used[stage] = _stage(file, stage, keys, required_names[stage])
    return PromptTemplate(stages, used)


def _stage(
    file: _File, stage: str, keys: Any, required: frozenset[str]
) -> tuple[tuple[tuple[str, Template], ...], frozenset[str]]:
    """Validate one stage; return its templates and the placeholders that they use."""
    if not isinstance(keys, Mapping):
        raise file.error(stage, None, 1, "is a section, not a value: write [" + stage + "].")
    for key, value in keys.items():
        if key not in _ROLES:
            raise file.error(stage, key, 1, _unknown("key", key, [*_ROLES]))
        if not isinstance(value, str):
            raise file.error(stage, key, 1, f"{key} must be a string.")
    if not str(keys.get("user", "")).strip():
        raise file.error(stage, None, 1, "has no user message: add `user`.")
    placeholders = PLACEHOLDERS[stage]
    used: set[str] = set()
    templates = []
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for role in _ROLES:
        if not str(keys.get(role, "")).strip():
            continue
        source = str(keys[role])
        try:
            tree = environment.parse(source)
            names = meta.find_undeclared_variables(tree) - set(environment.globals)
            for name in sorted(names - placeholders.keys()):
                line = min(node.lineno for node in tree.find_all(nodes.Name) if node.name == name)
                raise file.error(stage, role, line, _unknown("placeholder", name, [*placeholders]))
            item = environment.from_string(source)
            item.render(placeholders)
        except TemplateSyntaxError as error:
            raise file.error(stage, role, error.lineno, f"{role}: {error.message}") from None
        except (TemplateError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            line = _failing_line(error)
            raise file.error(stage, role, line, f"{role} cannot be rendered: {error}") from None
        used |= names
        templates.append((role, item))
    for name in sorted(required - used):
        raise file.error(stage, None, 1, f"does not use the required placeholder {{{{ {name} }}}}.")
    return tuple(templates), frozenset(used)


def _failing_line(error: BaseException) -> int:
    """Return the line of the template at which rendering failed."""
    line, trace = 1, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


class _File:
    """The template file, for errors with line numbers."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def error(self, stage: str, key: str | None, line: int, message: str) -> ConfigurationError:
        number = self._line_number(stage, key, line)
        return ConfigurationError(f"template {self._path} line {number}: [{stage}] {message}")

    def _line_number(self, stage: str, key: str | None, line: int) -> int:
        """Return the line of the file that holds line `line` of a value."""
        name = rf"[\"']?{re.escape(stage)}[\"']?"
        start = self._first(rf"\s*(?:\[\s*{name}\s*\]|{name}\s*[.=])", 0)
        if key is None:
            return start + 1
        at = self._first(rf"\s*(?:{name}\s*\.\s*)?[\"']?{re.escape(key)}[\"']?\s*=", start)
        # A multi-line string starts on the next line if nothing follows its quotation marks.
        starts_below = re.search(r"=\s*(?:\"\"\"|''')\s*$", self._lines[at]) is not None
        return at + line + starts_below

    def _first(self, pattern: str, start: int) -> int:
        for at in range(start, len(self._lines)):
            if re.match(pattern, self._lines[at]):
                return at
        return start


def _unknown(what: str, name: str, choices: list[str]) -> str:
    matches = difflib.get_close_matches(name, choices, n=1)
    if matches:
        return f"has the unknown {what} {name!r}. Did you mean {matches[0]!r}?"
    return f"has the unknown {what} {name!r}; choose from {', '.join(choices)}."
