"""Extract texts from lists: numbered, bulleted, quoted, or plain lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from fgbench_plugins.language_models.json_replies import DECODER
from fgbench_plugins.language_models.replies import MAX_ITEMS, Item
from fgbench_plugins.language_models.stated_probabilities import is_claim

_MAX_MARKS = 2000
"""Maximum number of lines or list marks that are read."""
_NOUN = (
    r"(?:new\s+|generated\s+)?(?:text|utterance|example|sentence|tweet|message|title|review|option"
    r"|version|sample|output|response|item|variation|query|question)"
)
_EMPHASIS = r"(?:\*{1,3}|_{2,3}|`|>|#{1,6}[ \t])?[ \t]*"
_NUMBERED = re.compile(
    rf"^[ \t]*{_EMPHASIS}(?:"
    rf"{_NOUN}\s*\#?\s*(?P<a>\d{{1,2}})(?!\d)\s*(?P<claim>\([^()\n]{{1,120}}\))?"
    rf"\s*(?:\*{{1,3}}|__)?\s*(?:[.:：)\]]|[-–—]\s)\s*"
    rf"|(?:\#\s*(?P<b>\d{{1,2}})(?![\w%])|[\[(（]\s*(?P<d>\d{{1,2}})\s*[\])）])\s*[.:：)]?\s*"
    rf"|(?P<c>\d{{1,2}})\s*(?:[.):\]、．）：]|\s[-–—]\s)(?!\d)\s*"
    rf")(?:\*{{1,3}}(?=\s|$|[\"“«„])|__)?[ \t]*",
    re.MULTILINE | re.IGNORECASE,
)
_INLINE = re.compile(r"[ \t]*[,;]?[ \t]+\(?(?P<a>\d{1,2})(?P<b>)(?P<c>)(?P<d>)[.):][ \t]*(?=\")")
_BULLET = re.compile(r"^[ \t]*(?:[-*•‣▪◦●·–—+⁃]|->|=>)[ \t]+", re.MULTILINE)
_PAIRS = {'"': '"', "“": "”", "”": "”", "„": "“”", "«": "»", "»": "«", "‹": "›", "「": "」",
          "『": "』", "`": "`", "'": "'’", "‘": "’", "＂": "＂", "‚": "‘’"}  # fmt: skip
_REMARK = re.compile(
    r"(?:\*{0,3}|\()(?:note|explanation|reason(?:ing)?|rationale|remark|comment|disclaimer|p\.?s\.?)\b"
    r"\W{0,3}:|(?:please )?(?:note|let me know|feel free)\b|i hope\b|hope (?:this|these)\b"
    r"|(?:these|the above|each of these|all of these|the(?:se)? (?:three|new) )"
    r"\s*(?:three |new |generated )?(?:texts?|utterances?|examples?|sentences?)\b"
    r"|in (?:these|each of these|all)\b|(?:is there|would you like|do you (?:want|need))\b.*\?$",
    re.IGNORECASE,
)
_PREAMBLE = re.compile(
    r"(?:sure|certainly|of course|absolutely|okay|ok|alright|got it|understood|great|happy to"
    r"|gladly|here(?:'s|’s| are| is| you go)|below (?:are|is)|the following|following (?:are|is)"
    r"|as (?:the|a|that) classifier|based on (?:the|this|that)|i(?:'ve|’ve| have)? (?:generated"
    r"|written|created|will|would|can)|let me|let's|voici|hier sind|aquí|ecco|aqui estão"
    r"|natürlich|claro|bien sûr|以下|当然)(?!\w)",
    re.IGNORECASE,
)


def list_items(body: str, names: Sequence[str]) -> list[Item]:
    """Return the entries of a numbered or bulleted list, otherwise the lines of a reply."""
    for marks in (_NUMBERED, _BULLET):
        items = list(islice(_marked(body, marks, names), MAX_ITEMS))
        if items:
            return items
    return list(islice(_unmarked(body, names), MAX_ITEMS))


def _marked(body: str, marks: re.Pattern[str], names: Sequence[str]) -> Iterator[Item]:
    """Yield the entries that start with a list mark; numbers must count up, from 1 if any is 1."""
    expected: int | None = None
    if marks is _NUMBERED:
        numbers = [_number(match) for match in islice(marks.finditer(body), _MAX_MARKS)]
        if not numbers:
            return
        expected = 1 if 1 in numbers else numbers[0]
    at = 0
    while (match := _next_mark(body, marks, at, expected)) is not None:
        start = match.end()
        if expected is not None:
            expected += 1
        follower = _next_mark(body, marks, start, expected)
        item, at = _entry(body, start, follower.start() if follower else len(body), names)
        claim = match.groupdict().get("claim")
        if claim and not item.tail:
            item = Item(item.text, item.exact, item.open_ended, item.unfinished, claim)
        yield item


def _next_mark(
    body: str, marks: re.Pattern[str], at: int, expected: int | None
) -> re.Match[str] | None:
    if expected is not None and (inline := _INLINE.match(body, at)):
        return inline if _number(inline) == expected else None
    for match in marks.finditer(body, at):
        if expected is None or _number(match) == expected:
            return match
    return None


def _number(match: re.Match[str]) -> int:
    return int(next(filter(None, match.group("a", "b", "c", "d"))))


def _entry(body: str, start: int, stop: int, names: Sequence[str]) -> tuple[Item, int]:
    """Return the entry that starts at `start`, and where to search for the next one.

    A quoted string ends at its closing quotation mark, even beyond `stop`, if only probabilities or
    a remark follow on its line: list marks inside of it are text.
    """
    start = _skip_space(body, start, stop)
    start = _skip_label(body, start, stop, names)
    string = _json_string(body, start, names)
    if string is not None:
        return string
    block = body[start:stop]
    paragraphs = re.split(r"\n[ \t]*\n", block, maxsplit=1)
    text = paragraphs[0]
    lines = text.split("\n")
    text_lines = [lines[0]]
    tail = ""
    for line in lines[1:]:
        bare = line.strip().strip("*_ ")
        if is_claim(bare, names):
            tail = bare
            break
        if _REMARK.match(bare) or re.match(r"```", bare):
            break
        text_lines.append(line)
    joined = "\n".join(line.strip() for line in text_lines).strip()
    text, exact, rest = _unquoted(joined, names)
    is_last = start + len(block) >= len(body)
    is_whole = len(paragraphs) == 1 and len(text_lines) == len(lines)
    open_ended = is_last and is_whole and not exact and not body.endswith("\n")
    return Item(text, exact, open_ended, tail=tail or rest), max(stop, start)


def _skip_space(body: str, at: int, stop: int) -> int:
    while at < stop and body[at].isspace():
        at += 1
    return at


def _skip_label(body: str, at: int, stop: int, names: Sequence[str]) -> int:
    """Skip probabilities or a class name in front of a quoted text."""
    window = body[at : min(stop, at + 200)]
    head = re.match(r"[^\"“«\n]{1,130}(?=[\"“«])", window)
    if head is None:
        return at
    label = head[0].strip(" \t()[]:*-–—")
    class_names = {" ".join(name.split()).casefold() for name in names}
    if (
        label.casefold() in class_names
        or re.fullmatch(rf"{_NOUN}", label, re.I)
        or is_claim(label, names)
    ):
        return at + head.end()
    return at


def _json_string(body: str, at: int, names: Sequence[str]) -> tuple[Item, int] | None:
    if not body.startswith('"', at):
        return None
    try:
        text, end = DECODER.raw_decode(body, at)
    except ValueError:
        return None
    line_end = body.find("\n", end)
    line_end = len(body) if line_end < 0 else line_end
    tail = body[end:line_end].strip()
    bare = tail.strip(" .,;:*_-–—`|")
    if _INLINE.match(body, end):  # 1. "…" 2. "…": the next entry starts on this line
        return Item(text, exact=True), end
    if bare and not is_claim(bare, names) and not re.fullmatch(r"\([^()]*\)|\[[^\[\]]*\]", bare):
        return None
    if not bare and (below := re.compile(r"\s*\n[ \t]*(\S[^\n]*)").match(body, line_end)):
        line = below[1].strip("*_ \t")
        if is_claim(line, names) and not _NUMBERED.match(body, below.start(1)):
            return Item(text, exact=True, tail=line), below.end()
    return Item(text, exact=True, tail=bare if is_claim(bare, names) else ""), line_end


def _unquoted(text: str, names: Sequence[str]) -> tuple[str, bool, str]:
    """Return a text without its quotation marks, whether it had any, and what follows them."""
    text = _stripped_emphasis(text)
    if text and text[0] in _PAIRS:
        closers = _PAIRS[text[0]]
        for end in range(len(text) - 1, 0, -1):
            if text[end] in closers and (text[0] not in "'‘`" or end == len(text) - 1
                                         or not text[end + 1].isalnum()):  # fmt: skip
                suffix = text[end + 1 :].strip(" .,;:*_-–—`|")
                if not suffix or is_claim(suffix, names):
                    return text[1:end].strip(), True, suffix
                break
    return text, False, ""


def _stripped_emphasis(text: str) -> str:
    for mark in ("***", "**", "__", "*"):
        size = len(mark)
        if text.startswith(mark) and text.endswith(mark) and len(text) > 2 * size:
            return text[size:-size].strip()
    return text


def _unmarked(body: str, names: Sequence[str]) -> Iterator[Item]:
    """Yield the lines of a reply without list marks; only the quoted ones if there are any."""
    lines = [line.strip() for line in body.split("\n")]
    lines = [line for line in lines if line and not line.startswith("```")]
    n_preamble = 0
    while n_preamble < len(lines) and (
        lines[n_preamble].endswith((":", "："))
        or (len(lines) - n_preamble > 1 and _PREAMBLE.match(lines[n_preamble]))
    ):
        n_preamble += 1
    lines = lines[n_preamble : n_preamble + _MAX_MARKS]
    for index, line in enumerate(lines):
        if index and _REMARK.match(line):
            lines = lines[:index]
            break
    entries = [_line(line, names) for line in lines]
    if any(item.exact for item in entries):
        entries = [item for item in entries if item.exact]
    elif len(entries) == 1 and _PREAMBLE.match(lines[0]) and len(lines[0]) < 80:
        return
    for index, item in enumerate(entries):
        final = index == len(entries) - 1 and not item.exact and not body.endswith("\n")
        yield Item(item.text, item.exact, final, tail=item.tail)


def _line(line: str, names: Sequence[str]) -> Item:
    string = _json_string(line, 0, names)
    if string is not None and string[1] == len(line):
        return string[0]
    text, exact, rest = _unquoted(line, names)
    return Item(text, exact, tail=rest)
