"""Thoughts of models that reason before they answer, and where their answer begins.

Models mark thoughts in many ways: `<think>…</think>` with any case and namespace,
`[THINK]…[/THINK]`, `◁think▷…◁/think▷`, `<|channel|>analysis…<|channel|>final<|message|>` (harmony,
also with its marks stripped: `analysis…assistantfinal…`). Many templates open the thoughts in the
prompt, so that a reply has only the closing mark. Marks inside JSON strings belong to texts.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fgbench import TokenChoice

OPENED = "<think>\n"
"""What a local engine puts in front of a reply whose prompt ends inside of thoughts."""

_NAME = r"(?:\w{1,20}:)?(?:think|thinking|thoughts?|reasoning|reflection|scratchpad)"
_OPEN = re.compile(
    rf"<\s{{0,4}}{_NAME}\s{{0,4}}>|\[(?:THINK|THINKING|REASONING)\]|◁think▷"
    r"|<\|(?:START_THINKING|begin_of_thought|inner_prefix)\|>|<\|channel\|?>\s{0,4}(?:analysis|thought)"
    r"|<unused94>",
    re.IGNORECASE,
)
_CLOSE = re.compile(
    rf"<\s{{0,4}}/\s{{0,4}}{_NAME}\s{{0,4}}>|\[/(?:THINK|THINKING|REASONING)\]|◁/think▷"
    r"|<\|(?:END_THINKING|end_of_thought|inner_suffix)\|>|<channel\|>"
    r"|<\|channel\|>\s{0,4}final\b[^<\n]{0,40}(?:<\|constrain\|>[^<\n]{0,40})?<\|message\|>"
    r"|<unused95>",
    re.IGNORECASE,
)
_STRIPPED_START = re.compile(r"\s{0,64}(?:analysis|commentary)(?=[A-Z\"'“‘])")
_STRIPPED_END = re.compile(r"assistant\s?final(?:\s*json)?")
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*+(?P<end>"?)')
"""A string within a line, or what follows a quotation mark without a partner in its line."""
_ANSWER_MARK = re.compile(r"</?(?:answer|response|output)>|<\|(?:START|END)_RESPONSE\|>|"
                          r"<\|(?:begin|end)_of_solution\|>", re.IGNORECASE)  # fmt: skip


def answer_start(reply: str) -> int | None:
    """Return where the answer begins in a reply: after its thoughts; None if it has only thoughts.

    An opening mark without a closing one means that the reply was cut off while thinking.
    """
    if not _MARK_CHARACTERS.search(reply):
        return 0
    strings = _strings(reply)
    closes = [match.end() for match in _CLOSE.finditer(reply)]
    outside = [end for end in closes if not _inside(end, strings)]
    opens = [match for match in _OPEN.finditer(reply) if not _inside(match.end(), strings)]
    if not outside and opens:  # a stray quotation mark in the thoughts may hide their end
        outside = [end for end in closes if end > opens[0].end()][:1]
    start = outside[-1] if outside else 0
    if stripped := _STRIPPED_START.match(reply):
        ends = [match.end() for match in _STRIPPED_END.finditer(reply, stripped.end())]
        if not ends and not start:
            return None
        start = max([start, *ends])
    if any(match.start() >= start for match in opens):
        return None
    return start


def without_thoughts(reply: str) -> str:
    """Return the answer in a reply, "" if it has only thoughts."""
    start = answer_start(reply)
    if start is None:
        return ""
    return _ANSWER_MARK.sub("", reply[start:]) if start else reply


def is_thinking(reply: str) -> bool:
    """Return whether a reply ended while the model was thinking."""
    return answer_start(reply) is None


def opens_thoughts(prompt: str) -> bool:
    """Return whether a rendered prompt ends inside of thoughts, with which a reply begins then."""
    tail = prompt[-200:]
    opens = [match.end() for match in _OPEN.finditer(tail)]
    closes = [match.end() for match in _CLOSE.finditer(tail)]
    return bool(opens) and opens[-1] > max(closes, default=0) and not tail[opens[-1] :].strip()


def has_mark(text: str) -> bool:
    """Return whether a text contains a mark of thoughts."""
    return bool(_OPEN.search(text) or _CLOSE.search(text))


def answer_tokens(
    text: str | None, tokens: Sequence[TokenChoice] | None
) -> tuple[TokenChoice, ...] | None:
    """Return the tokens of the answer without those of thoughts; () if there are only thoughts.

    Servers that move the thoughts to a field of their own still list their tokens.
    """
    if tokens is None:
        return None
    if text is not None and is_thinking(text):
        return ()
    spelled = "".join(choice.token for choice in tokens)
    start = answer_start(spelled)
    if start is None:
        return ()
    answer = "" if text is None else without_thoughts(text).strip()
    if not start and answer and len(spelled.strip()) > len(answer):
        found = spelled.rfind(answer)
        start = found if found > 0 and not spelled[found + len(answer) :].strip() else 0
    at = 0
    for number, choice in enumerate(tokens):
        if at >= start:
            return tuple(tokens[number:])
        at += len(choice.token)
    return () if start else tuple(tokens)


_MARK_CHARACTERS = re.compile(r"[<\[◁]|assistant\s?final|analysis[A-Z\"'“‘]|unused95")


def _strings(reply: str) -> list[tuple[int, int]]:
    """Return where a reply has JSON strings: within a line, or anywhere in a reply in JSON."""
    start = len(reply) - len(reply.lstrip())
    if reply[start : start + 1] in ("{", "["):
        try:
            _, end = _DECODER.raw_decode(reply, start)
        except (ValueError, RecursionError):
            pass
        else:
            return [(start, end), *_closed(reply, end)]
    return [*_closed(reply, 0)]


def _closed(reply: str, at: int) -> Iterator[tuple[int, int]]:
    return (match.span() for match in _STRING.finditer(reply, at) if match["end"])


_DECODER = json.JSONDecoder(strict=False)


def _inside(at: int, spans: Sequence[tuple[int, int]]) -> bool:
    index = bisect_right(spans, (at, float("inf"))) - 1
    return index >= 0 and spans[index][0] < at < spans[index][1]
