"""The model that a server reports with an answer, compared with the one that was asked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fgbench.llm.chat import ChatAnswer, ChatModel

SERVED = "served: "
"""What the note on the model that answered begins with; reports put these notes into one."""

_OTHER = ", not "
_SUFFIX = re.compile(r"[-@:](?:\d{3,8}|\d{4}-\d\d-\d\d|\d\d-\d\d|latest|free|preview[-\d]*)$")
_ALIAS = re.compile(r"[-:]latest$")


def served_notes(model: ChatModel, answer: ChatAnswer) -> Iterator[str]:
    """Yield the note on the model that answered, if the server reports one."""
    if answer.served_model:
        asked = model.identity.get("model")
        yield SERVED + served_name(answer.served_model, str(asked or ""))


def served_name(served: str, asked: str) -> str:
    """Return the reported model, with a remark if it is not the one that was asked for."""
    name = " ".join(served.split())[:200]
    return name if is_same_model(name, asked) else f"{name}{_OTHER}{asked}"


def is_same_model(served: str, asked: str) -> bool:
    """Return whether a reported name means the model asked for.

    A fingerprint, a date or version at the end, the path and the file ending of local servers, and
    the provider's prefix do not matter.
    """
    return not asked or not _forms(served).isdisjoint(_forms(asked))


def _forms(name: str) -> set[str]:
    whole = re.sub(r" \([^()]*\)$", "", name).strip().casefold()
    names = {whole, re.split(r"[/\\\\]", whole)[-1]}
    for form in [*names]:
        names.add(re.sub(r"\.gguf$", "", form))
    for form in [*names]:
        while (shorter := _SUFFIX.sub("", form)) != form:
            names.add(shorter)
            form = shorter
    return names - {""}


def joined_notes(notes: Mapping[str, int]) -> tuple[dict[str, int], str | None]:
    """Return counted notes without those on models, and one note on all models; None without any.

    "served: model-a (40), model-b (12)": a change of the model during a run shows.
    """
    served = Counter(
        {note.removeprefix(SERVED): n for note, n in notes.items() if note.startswith(SERVED)}
    )
    others = {note: count for note, count in notes.items() if not note.startswith(SERVED)}
    if not served:
        return others, None
    models = ", ".join(f"{name} ({count:,})" for name, count in served.most_common())
    return others, f"{SERVED}{models}"


def is_notable(note: str) -> bool:
    """Return whether a note of `joined_notes` names several models, or one not asked for."""
    return SERVED in note and (_OTHER in note or note.count("), ") > 0)
