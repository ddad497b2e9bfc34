"""Parse a reply into texts, the probabilities stated for them, and rejections.

Models number, bullet and quote; they answer in JSON, sometimes truncated, with a preamble, a
closing remark or percentages after each text; some print their reasoning first. Prompts ask for a
numbered list of JSON strings, and such strings are read as JSON: anything inside of one, such as a
list, a quotation or an instruction, is text.
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
from fgbench_plugins.language_models.thoughts import has_mark, is_thinking

EMPTY = "empty"
REFUSAL = "refusal"
NO_TEXT = "no text"
CUT_OFF = "cut off"
TOO_LONG = "too long"
REPEATS_SOURCE = "repeats the source"
ECHOES_PROMPT = "echoes the prompt"
REPEATS_SIBLING = "repeats another text of the reply"
SURPLUS = "more than asked for"
THOUGHTS = "thoughts"
REASONS = (
    EMPTY, REFUSAL, NO_TEXT, CUT_OFF, TOO_LONG, REPEATS_SOURCE, ECHOES_PROMPT, REPEATS_SIBLING,
    SURPLUS, THOUGHTS,
)  # fmt: skip
"""Why a text of a reply is rejected; an answer that failed has the reason of its failure."""

_MIN_ECHO_LENGTH = 25


@dataclass(frozen=True)
class ParsedText:
    """A text of a reply, or None with the reason for its rejection, one of `REASONS`.

    `claimed` is the probability of each class (K,) that the reply states for the text.
    """

    text: str | None
    claimed: tuple[float, ...] | None = None
    rejection: str | None = None


def parse_texts(
    reply: str,
    *,
    n_requested: int,
    names: Sequence[str] = (),
    source: str = "",
    prompt: Sequence[str] = (),
    cut: bool = False,
    longest: int = 4000,
) -> list[ParsedText]:
    """Return the texts and rejections of a reply in order; at least one.

    `n_requested` is the number of requested texts, `names` are the classes of the task, `source` is
    the source text and `prompt` the messages of the request. `cut` means that the reply ended at
    its token limit. Texts with more than `longest` characters are rejected.
    """
    body = unwrapped(reply)
    if not body.strip():
        is_cut = (cut and reply.strip()) or is_thinking(reply)
        return [ParsedText(None, rejection=CUT_OFF if is_cut else EMPTY)]
    if is_refusal(reply):
        return [ParsedText(None, rejection=REFUSAL)]
    items = json_items(body, names)
    if items is None:
        items = list_items(body, names)
    if not items:
        return [ParsedText(None, rejection=CUT_OFF if cut else NO_TEXT)]
    texts = []
    last = len(items) - 1
    for index, item in enumerate(items):
        unfinished = item.unfinished or (cut and index == last and item.open_ended)
        texts.append(_parsed(item, names, unfinished=unfinished, longest=longest))
    return list(_without_repeats(texts, n_requested, source, prompt))


def is_refusal(reply: str) -> bool:
    """Return whether a reply declines to answer.

    A reply that starts with a list, a quotation mark or JSON does not, whatever its texts say.
    """
    body = unwrapped(reply).strip()
    if not body or body[0] in "\"'“”„«»‘`[{1(#*-•":
        return False
    start = body[:400]
    if _REFUSAL_IN_OTHER_LANGUAGES.match(start):
        return True
    if not _REFUSAL.search(_first_sentences(start)):
        return False
    return not re.search(r"^\W{0,4}1[.):]", body, re.MULTILINE)


_REFUSED_ACTION = (
    r"(?:fulfil+|comply|assist|help you|help with|provide|generat|creat|write|produce|complete"
    r"|satisfy|engage|do that|do this|continue|answer|classify|label|categori[sz]e|process|support"
    r"|act as|participate|respond|give you|offer)"
)
_REFUSAL = re.compile(
    rf"\b(?:i|we)(?:\s+am|['’]m|\s+are)?\s*(?:simply\s+|just\s+|afraid\s+(?:that\s+)?i\s+)?"
    rf"(?:can\s?not|can['’]?t|won['’]?t|will not|unable to|not able to|must decline to"
    rf"|not going to|cannot and will not|do not feel comfortable|not comfortable)\s+"
    rf"(?:in good conscience\s+|really\s+)?{_REFUSED_ACTION}"
    rf"|\bas an? (?:ai|artificial|large language|language model)\b"
    rf"|\bi(?:['’]m| am) (?:just|only) an ai\b"
    rf"|\b(?:it|this) (?:is|would be) not (?:appropriate|ethical|within my)\b"
    rf"|\b(?:against|violates?) (?:my|our|the) (?:\w+ )?(?:guidelines|polic\w+|programming)\b"
    rf"|\bi must (?:respectfully )?decline\b",
    re.IGNORECASE,
)
_REFUSAL_IN_OTHER_LANGUAGES = re.compile(
    r"(?:lo siento|desculpe|mi dispiace|désolé|je suis désolée?|es tut mir leid|entschuldigung"
    r"|к сожалению|извините)\b.{0,60}\b(?:no puedo|não posso|non posso|ne peux pas|kann ich"
    r"|ich kann|nicht|не могу)|(?:对不起|抱歉|很抱歉|申し訳|죄송)",
    re.IGNORECASE | re.DOTALL,
)


def _first_sentences(text: str) -> str:
    """Return approximately the first two sentences; what follows may be a text."""
    ends = [match.end() for match in re.finditer(r"[.!?:](?:\s|$)", text)]
    return text[: ends[1]] if len(ends) > 1 else text


def _parsed(item: Item, names: Sequence[str], *, unfinished: bool, longest: int) -> ParsedText:
    """Separate a text from its stated probabilities, and reject what is not a text."""
    text, claim = split_claim(item.text, names, named_only=item.exact)
    claimed = item.claimed or claimed_probabilities(item.tail or claim, names)
    text = _encodable(text.strip())
    if unfinished:
        return ParsedText(None, rejection=CUT_OFF)
    if not re.search(r"\w", text) and not re.search(r"[^\s\W]|[^\x00-\x7f]", text):
        return ParsedText(None, rejection=EMPTY)
    if not item.exact and is_claim(text, names):
        return ParsedText(None, rejection=EMPTY)
    if not item.exact and has_mark(text):
        return ParsedText(None, rejection=THOUGHTS)
    if len(text) > longest:
        return ParsedText(None, rejection=TOO_LONG)
    return ParsedText(text, claimed)


def _without_repeats(
    texts: Sequence[ParsedText], n_requested: int, source: str, prompt: Sequence[str]
) -> Iterator[ParsedText]:
    """Reject texts that repeat the source, the prompt or another text, and surplus texts."""
    normalized_source = _normalized(source)
    normalized_prompt = _normalized("\n".join(prompt))
    quotations = {_normalized(line) for message in prompt for line in _quotations(message)}
    accepted: set[str] = set()
    n_accepted = 0
    for item in texts:
        if item.text is None:
            yield item
            continue
        text = _normalized(item.text)
        rejection = None
        if text == normalized_source and text:
            rejection = REPEATS_SOURCE
        elif text in quotations or (len(text) >= _MIN_ECHO_LENGTH and text in normalized_prompt):
            rejection = ECHOES_PROMPT
        elif text in accepted and text:
            rejection = REPEATS_SIBLING
        elif n_accepted >= n_requested:
            rejection = SURPLUS
        if rejection is None:
            accepted.add(text)
            n_accepted += 1
            yield item
        else:
            yield replace(item, text=None, rejection=rejection)


def _quotations(message: str) -> Iterator[str]:
    """Yield the quoted strings of a message that are within one line."""
    for match in re.finditer(r'"((?:[^"\\\n]|\\.)*)"', message):
        yield match[1]


def _normalized(text: str) -> str:
    """Return the words of a text, ignoring punctuation, case and escaped line breaks."""
    return re.sub(r"[\W_]+", " ", text.replace("\\n", " ").casefold()).strip()


def _encodable(text: str) -> str:
    """Replace unpaired surrogates, which JSON can express and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
