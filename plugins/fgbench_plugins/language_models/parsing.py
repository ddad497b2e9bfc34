"""From a model's reply to texts: what is one, what it claims, and why the rest is none.

Models number, bullet and quote; they answer in JSON, in halves of it, with a preamble, a remark at
the end and percentages behind each text; some think aloud first. What is asked for is a numbered
list of JSON strings, and where a reply holds such strings they are read as such: whatever stands
in one, be it a list, a quote or an instruction, is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fgbench_plugins.language_models.json_replies import json_items
from fgbench_plugins.language_models.list_replies import list_items
from fgbench_plugins.language_models.replies import Item, unwrapped
from fgbench_plugins.language_models.stated_probabilities import (
    claimed_probabilities,
    is_claim,
    split_claim,
)

EMPTY = "empty"
REFUSAL = "refusal"
NO_TEXT = "no text"
CUT_OFF = "cut off"
TOO_LONG = "too long"
REPEATS_SOURCE = "repeats the source"
ECHOES_PROMPT = "echoes the prompt"
REPEATS_SIBLING = "repeats another text of the reply"
SURPLUS = "more than asked for"
REASONS = (
    EMPTY, REFUSAL, NO_TEXT, CUT_OFF, TOO_LONG, REPEATS_SOURCE, ECHOES_PROMPT, REPEATS_SIBLING,
    SURPLUS,
)  # fmt: skip
"""Why what a model said is not used; further reasons are those of an answer that failed."""

_SHORTEST_ECHO = 25


@dataclass(frozen=True)
class ParsedText:
    """A text of a reply, or what was no text and the reason, one of `REASONS`.

    `claimed` is the probability of each class (K,) that the reply states for the text.
    """

    text: str | None
    claimed: tuple[float, ...] | None = None
    rejection: str | None = None


def parse_texts(
    reply: str,
    *,
    wanted: int,
    names: Sequence[str] = (),
    source: str = "",
    prompt: Sequence[str] = (),
    cut: bool = False,
    longest: int = 4000,
) -> list[ParsedText]:
    """Return what a reply holds, in its order; never nothing.

    `wanted` texts were asked for, like `source`, by the messages of `prompt`, of a task with the
    classes `names`; `cut` says that the reply ended at its limit of tokens, and texts with more
    than `longest` characters are refused.
    """
    body = unwrapped(reply)
    if not body.strip():
        return [ParsedText(None, rejection=CUT_OFF if cut and reply.strip() else EMPTY)]
    if is_refusal(reply):
        return [ParsedText(None, rejection=REFUSAL)]
    items = json_items(body, names)
    if items is None:
        items = list_items(body, names)
    if not items:
        return [ParsedText(None, rejection=CUT_OFF if cut else NO_TEXT)]
    found = []
    last = len(items) - 1
    for at, item in enumerate(items):
        unfinished = item.unfinished or (cut and at == last and item.open_ended)
        found.append(_judge(item, names, unfinished=unfinished, longest=longest))
    return list(_compare(found, wanted, source, prompt))


def is_refusal(reply: str) -> bool:
    """Return whether a reply declines to answer, instead of answering.

    A reply that begins with a list, a quotation mark or JSON does not, whatever its texts say.
    """
    body = unwrapped(reply).strip()
    if not body or body[0] in "\"'“”„«»‘`[{1(#*-•":
        return False
    start = body[:400]
    if _REFUSAL_ELSEWHERE.match(start):
        return True
    if not _REFUSAL.search(_first_sentences(start)):
        return False
    return not re.search(r"^\W{0,4}1[.):]", body, re.MULTILINE)


_DOING = (
    r"(?:fulfil+|comply|assist|help you|help with|provide|generat|creat|write|produce|complete"
    r"|satisfy|engage|do that|do this|continue|answer|classify|label|categori[sz]e|process|support"
    r"|act as|participate|respond|give you|offer)"
)
_REFUSAL = re.compile(
    rf"\b(?:i|we)(?:\s+am|['’]m|\s+are)?\s*(?:simply\s+|just\s+|afraid\s+(?:that\s+)?i\s+)?"
    rf"(?:can\s?not|can['’]?t|won['’]?t|will not|unable to|not able to|must decline to"
    rf"|not going to|cannot and will not|do not feel comfortable|not comfortable)\s+"
    rf"(?:in good conscience\s+|really\s+)?{_DOING}"
    rf"|\bas an? (?:ai|artificial|large language|language model)\b"
    rf"|\bi(?:['’]m| am) (?:just|only) an ai\b"
    rf"|\b(?:it|this) (?:is|would be) not (?:appropriate|ethical|within my)\b"
    rf"|\b(?:against|violates?) (?:my|our|the) (?:\w+ )?(?:guidelines|polic\w+|programming)\b"
    rf"|\bi must (?:respectfully )?decline\b",
    re.IGNORECASE,
)
_REFUSAL_ELSEWHERE = re.compile(
    r"(?:lo siento|desculpe|mi dispiace|désolé|je suis désolée?|es tut mir leid|entschuldigung"
    r"|к сожалению|извините)\b.{0,60}\b(?:no puedo|não posso|non posso|ne peux pas|kann ich"
    r"|ich kann|nicht|не могу)|(?:对不起|抱歉|很抱歉|申し訳|죄송)",
    re.IGNORECASE | re.DOTALL,
)


def _first_sentences(text: str) -> str:
    """Return about the first two sentences: what comes later may be a text."""
    ends = [match.end() for match in re.finditer(r"[.!?:](?:\s|$)", text)]
    return text[: ends[1]] if len(ends) > 1 else text


def _judge(item: Item, names: Sequence[str], *, unfinished: bool, longest: int) -> ParsedText:
    """Separate a text from what it claims, and refuse what is plainly none."""
    text, claim = split_claim(item.text, names, named_only=item.exact)
    claimed = item.claimed or claimed_probabilities(item.tail or claim, names)
    text = _encodable(text.strip())
    if unfinished:
        return ParsedText(None, rejection=CUT_OFF)
    if not re.search(r"\w", text) and not re.search(r"[^\s\W]|[^\x00-\x7f]", text):
        return ParsedText(None, rejection=EMPTY)
    if not item.exact and is_claim(text, names):
        return ParsedText(None, rejection=EMPTY)
    if len(text) > longest:
        return ParsedText(None, rejection=TOO_LONG)
    return ParsedText(text, claimed)


def _compare(
    found: Sequence[ParsedText], wanted: int, source: str, prompt: Sequence[str]
) -> Iterator[ParsedText]:
    """Refuse what only repeats the source, the prompt or another text, and what is too many."""
    even_source = _even(source)
    even_prompt = _even("\n".join(prompt))
    shown = {_even(line) for message in prompt for line in _quotations(message)}
    seen: set[str] = set()
    used = 0
    for item in found:
        if item.text is None:
            yield item
            continue
        even = _even(item.text)
        rejection = None
        if even == even_source and even:
            rejection = REPEATS_SOURCE
        elif even in shown or (len(even) >= _SHORTEST_ECHO and even in even_prompt):
            rejection = ECHOES_PROMPT
        elif even in seen and even:
            rejection = REPEATS_SIBLING
        elif used >= wanted:
            rejection = SURPLUS
        if rejection is None:
            seen.add(even)
            used += 1
            yield item
        else:
            yield replace(item, text=None, rejection=rejection)


def _quotations(message: str) -> Iterator[str]:
    """Return what stands in quotation marks in a message, a line each."""
    for match in re.finditer(r'"((?:[^"\\\n]|\\.)*)"', message):
        yield match[1]


def _even(text: str) -> str:
    """Return the words of a text alone, so that marks, case and escapes make no difference."""
    return re.sub(r"[\W_]+", " ", text.replace("\\n", " ").casefold()).strip()


def _encodable(text: str) -> str:
    """Replace lone surrogates, which JSON can spell and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
