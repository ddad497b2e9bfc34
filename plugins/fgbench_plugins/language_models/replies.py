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
    """Return a reply without the reasoning of a model and trailing chat template tokens."""
    body = reply.replace("\r\n", "\n").replace("\r", "\n")
    reasoning = re.match(r"\s*<(think|thinking|reasoning|thought)>", body)
    if reasoning:
        end = body.rfind(f"</{reasoning[1]}>")
        body = body[end + len(reasoning[1]) + 3 :] if end >= 0 else ""
    elif (match := re.match(r"\s*</think>", body)) is not None:  # opened by the template
        body = body[match.end() :]
    while (token := _TRAILING_TOKEN.search(body.rstrip())) is not None:
        body = body[: token.start()]
    return body


_TRAILING_TOKEN = re.compile(r"(?:</s>|<\|[a-z_]{2,20}\|>|\[/?INST\])$")
