"""The entries of replies, whatever the format of a reply."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_ITEMS = 200
"""Maximum number of entries that are read from a reply."""


@dataclass(frozen=True)
class Item:
    """One entry of a reply.

    `exact`: quotation marks or JSON delimit it. `open_ended`: it extends to the end of the reply
    without a delimiter. `unfinished`: a delimiter was opened and not closed. `tail` is the rest of
    its line; `claimed` holds the probabilities that JSON states for it.
    """

    text: str
    exact: bool = False
    open_ended: bool = False
    unfinished: bool = False
    tail: str = ""
    claimed: tuple[float, ...] | None = None


def unwrapped(reply: str) -> str:
    """Return a reply without the reasoning of a model and trailing chat template tokens.

    Longer runs of white space are cut to 64 characters, so that no pattern takes more than linear
    time.
    """
    body = reply.replace("\r\n", "\n").replace("\r", "\n")
    body = _LONG_SPACE.sub(r"\1", body)
    reasoning = re.match(r"\s*<(think|thinking|reasoning|thought)>", body)
    if reasoning:
        end = body.rfind(f"</{reasoning[1]}>")
        body = body[end + len(reasoning[1]) + 3 :] if end >= 0 else ""
    elif (match := re.match(r"\s*</think>", body)) is not None:  # opened by the template
        body = body[match.end() :]
    end, text_end = len(body), len(body.rstrip())
    while token := _TRAILING_TOKEN.search(body, max(0, text_end - _LONGEST_TOKEN), text_end):
        end = text_end = token.start()
        while text_end and body[text_end - 1].isspace():
            text_end -= 1
    return body[:end]


_LONG_SPACE = re.compile(r"(?<!\s)(\s{64})\s+")
_TRAILING_TOKEN = re.compile(r"(?:</s>|<\|[a-z_]{2,20}\|>|\[/?INST\])$")
_LONGEST_TOKEN = 24
