"""Marks of chat templates in texts: a text must not end its message or impersonate a role."""

from __future__ import annotations

import re

TEMPLATE_MARK = re.compile(r"<\|[^|<>\s]{1,40}\|>|</?[a-z_]{1,20}>|\[/?[A-Z][A-Z_]*\]|<</?[A-Z]+>>")
"""What looks like a mark in a chat template, such as <|im_end|>, </s>, [/INST], <<SYS>>."""

KNOWN_MARKS = re.compile(
    r"<[|｜][^|｜<>\s]{1,40}[|｜]>"  # ChatML, Llama 3, Phi, Granite, DeepSeek
    r"|</?s>|<(?:bos|eos|pad|unk)>|\[(?:BOS|EOS)\]"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CONTENT|TOOL_CALLS|IMG)\]"
    r"|<</?SYS>>"
    r"|</?(?:start_of_turn|end_of_turn|start_of_image|end_of_image|turn|think|tool_call"
    r"|tool_response|im_start|im_end|im_sep)>"
)
"""The marks of the models in use, for servers whose template is unknown."""


def escaped(text: str, marks: re.Pattern[str]) -> str:
    """Return a text with a space after the first character of each mark."""
    return marks.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
