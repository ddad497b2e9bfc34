"""Chats rendered with the chat template of a local model, with template marks in texts escaped."""

from __future__ import annotations

import re
from typing import Any

from fgbench import ConfigurationError, Message, TokenChoice
from fgbench_plugins.language_models.template_marks import TEMPLATE_MARK, escaped

MERGED = "system message merged into the first user message"
"""The note on answers of a model whose template does not support system messages."""

_PROBE = "c4a7"


class ChatPrompts:
    """Renders chats with the template of a tokenizer.

    Message text that looks like a mark of the template or a special token gets a space after its
    first character, so that no message can end itself or impersonate another role. Thinking is
    disabled in models that support it (`enable_thinking`). The system message is merged into the
    first user message if the template rejects it or silently drops it.

    Raises `ConfigurationError` for a model without a chat template.
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
        self._system = self._takes_system()

    def encode(self, messages: tuple[Message, ...]) -> tuple[list[int], tuple[str, ...]]:
        """Return the token ids of a chat with the generation prompt, and notes on changes.

        Raises `ConfigurationError` if the template rejects the messages.
        """
        from jinja2 import TemplateError

        notes: tuple[str, ...] = ()
        if not self._system and any(message.role == "system" for message in messages):
            messages, notes = _merged(messages), (MERGED,)
        try:
            text = self._render(messages)
        except TemplateError as error:
            raise ConfigurationError(
                f"model {self._model!r}: its chat template rejects the messages ({error})."
            ) from error
        # The rendered text already contains the special tokens.
        ids = self._tokenizer(text, add_special_tokens=False, return_attention_mask=False)
        return list(ids["input_ids"]), notes

    def _takes_system(self) -> bool:
        from jinja2 import TemplateError

        try:
            return _PROBE in self._render((Message("system", _PROBE), Message("user", "?")))
        except TemplateError:
            return False

    def _render(self, messages: tuple[Message, ...]) -> str:
        text = self._tokenizer.apply_chat_template(
            [{"role": role, "content": self._as_text(content)} for role, content in messages],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        return str(text)

    def _as_text(self, content: str) -> str:
        # Python strings may contain unpaired surrogates, which tokenizers reject.
        content = content.encode("utf-8", "replace").decode("utf-8")
        return escaped(content, self._marks)


def _merged(messages: tuple[Message, ...]) -> tuple[Message, ...]:
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
