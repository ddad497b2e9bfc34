"""Chats rendered with the chat template of a local model, with template marks in texts escaped."""

from __future__ import annotations

import re
from typing import Any

from fgbench import ConfigurationError, Message, TokenChoice
from fgbench_plugins.language_models.template_marks import TEMPLATE_MARK, escaped
from fgbench_plugins.language_models.thoughts import OPENED, opens_thoughts

MERGED = "system message merged into the first user message"
"""The note on answers of a model whose template does not support system messages."""

DATED = "date in the prompt set to 2024-07-26"
"""The note on answers of a model whose template prints today's date."""

_PROBE, _QUESTION = "c4a7", "q8d2"


_DATE = {
    "%Y": "2024", "%y": "24", "%m": "07", "%-m": "7", "%d": "26", "%-d": "26", "%e": "26",
    "%B": "July", "%b": "Jul", "%A": "Friday", "%a": "Fri", "%j": "208", "%H": "00", "%I": "12",
    "%M": "00", "%S": "00", "%p": "AM", "%F": "2024-07-26", "%D": "07/26/24", "%x": "07/26/24",
    "%X": "00:00:00", "%c": "Fri Jul 26 00:00:00 2024", "%Z": "", "%z": "",
}  # fmt: skip
"""The date by directive of strftime, written out because platforms differ."""


def _with_constant_date(template: str) -> str:
    """Return a template whose `strftime_now` is a macro that formats a constant date.

    transformers passes only plain data to templates, so that no function can be passed instead.
    """
    replaced = "".join(f"|replace('{name}', '{value}')" for name, value in _DATE.items())
    return "{% macro strftime_now(form) %}{{ form" + replaced + " }}{% endmacro +%}" + template


class ChatPrompts:
    """Renders chats with the template of a tokenizer.

    Message text that looks like a mark of the template or a special token gets a space after its
    first character, so that no message can end itself or impersonate another role. Thinking is
    disabled in models that support it (`enable_thinking`). The system message is merged into the
    first user message if the template rejects it or silently drops it. A template that wants the
    content of messages as a list of parts gets one, and one that prints today's date a constant.

    Raises `ConfigurationError` for a model without a chat template, or with one that does not show
    the messages.
    """

    def __init__(self, tokenizer: Any, model: str) -> None:
        template = tokenizer.chat_template
        if isinstance(template, dict):
            template = template.get("default")
        if not template:
            raise ConfigurationError(
                f"model {model!r} has no chat template: use the instruct or chat variant of the "
                "model."
            )
        self._tokenizer = tokenizer
        self._model = model
        special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        marks = {mark for mark in special | set(TEMPLATE_MARK.findall(template)) if len(mark) > 2}
        longest_first = sorted(marks, key=lambda mark: (-len(mark), mark))
        self._marks = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        is_dated = "strftime_now" in template
        self._options = {"chat_template": _with_constant_date(template)} if is_dated else {}
        self._as_parts = False
        self._check_user(model)
        self._system = self._shows(Message("system", _PROBE), Message("user", _QUESTION))
        self._assistant = self._shows(
            Message("user", "?"), Message("assistant", _PROBE), Message("user", _QUESTION)
        )
        self._notes: tuple[str, ...] = (DATED,) if is_dated else ()

    def encode(self, messages: tuple[Message, ...]) -> tuple[list[int], tuple[str, ...]]:
        """Return the token ids of a chat with the generation prompt, and notes on changes.

        Raises `ConfigurationError` if the template rejects the messages.
        """
        ids, notes, _ = self.rendered(messages)
        return ids, notes

    def rendered(self, messages: tuple[Message, ...]) -> tuple[list[int], tuple[str, ...], str]:
        """Return what `encode` does, and what a reply begins with: `OPENED` inside of thoughts."""
        notes = self._notes
        if not self._assistant and any(message.role == "assistant" for message in messages):
            raise ConfigurationError(
                f"model {self._model!r}: its chat template does not show assistant messages."
            )
        if not self._system and any(message.role == "system" for message in messages):
            messages, notes = merged(messages), (MERGED, *notes)
        try:
            text = self._render(messages)
        except Exception as error:  # a template can raise anything
            raise ConfigurationError(
                f"model {self._model!r}: its chat template rejects the messages ({error})."
            ) from error
        # The rendered text already contains the special tokens.
        ids = self._tokenizer(text, add_special_tokens=False, return_attention_mask=False)
        return list(ids["input_ids"]), notes, OPENED if opens_thoughts(text) else ""

    def _check_user(self, model: str) -> None:
        """Find the form of content that the template shows: a string, or a list of parts.

        Raises `ConfigurationError` if it shows neither.
        """
        problem = ""
        for self._as_parts in (False, True):
            try:
                if _QUESTION in self._render((Message("user", _QUESTION),)):
                    return
            except Exception as error:  # noqa: BLE001 - a template can raise anything
                problem = f" ({error})"
        raise ConfigurationError(
            f"model {model!r}: its chat template does not show the messages{problem}: use another "
            "model or template."
        )

    def _shows(self, *messages: Message) -> bool:
        """Return whether the template shows all messages."""
        try:
            text = self._render(messages)
        except Exception:  # noqa: BLE001 - a template can raise anything
            return False
        return all(message.content in text for message in messages)

    def _render(self, messages: tuple[Message, ...]) -> str:
        text = self._tokenizer.apply_chat_template(
            [{"role": role, "content": self._content(content)} for role, content in messages],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
            **self._options,
        )
        return str(text)

    def _content(self, content: str) -> str | list[dict[str, str]]:
        text = self._as_text(content)
        return [{"type": "text", "text": text}] if self._as_parts else text

    def _as_text(self, content: str) -> str:
        # Python strings may contain unpaired surrogates, which tokenizers reject.
        content = content.encode("utf-8", "replace").decode("utf-8")
        return escaped(content, self._marks)


def merged(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Prepend the system messages to the first user message."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    rest = [message for message in messages if message.role != "system"]
    for index, message in enumerate(rest):
        if message.role == "user":
            rest[index] = Message("user", f"{system}\n\n{message.content}")
            return tuple(rest)
    return (Message("user", system), *rest)


def tokens_of(text: str, choices: list[TokenChoice]) -> tuple[TokenChoice, ...]:
    """Return the tokens of `text`, without those of a stop string that was removed from it."""
    length = 0
    for number, choice in enumerate(choices):
        if length >= len(text):
            return tuple(choices[:number])
        length += len(choice.token)
    return tuple(choices)
