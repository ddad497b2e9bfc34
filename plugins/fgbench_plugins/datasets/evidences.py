"""The evidences of DDXPlus as questions and answers in English.

`release_evidences.json` maps each code to its question, its type (B: binary, C: one value, M:
several values) and the meanings of its values. A patient has a list of codes such as
`['E_91', 'E_55_@_V_89', 'E_56_@_4']`.
"""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgbench import DataError, parse_json

if TYPE_CHECKING:
    from fgbench_plugins.datasets.text_files import TextFile

_SEXES = {"M": "male", "F": "female"}
_SPELLED_OUT = {"N": "no", "Y": "yes", "NA": "none of these"}
_VALUE = "_@_"


@dataclass(frozen=True)
class _Evidence:
    question: str
    binary: bool
    answers: dict[str, str]


class Evidences:
    """The questions and answers by code."""

    def __init__(self, evidences: dict[str, _Evidence]) -> None:
        self._evidences = evidences

    @classmethod
    def read(cls, file: TextFile) -> Evidences:
        """Read `release_evidences.json`; raise `DataError` for an invalid entry."""
        with file.text(newline="\n") as stream:
            try:
                table = parse_json(stream.read())
            except json.JSONDecodeError as error:
                raise file.error(error.lineno, f"not valid JSON ({error.msg}).") from None
            except ValueError as error:
                raise DataError(f"{file.where}: not valid JSON ({error}).") from None
        if not isinstance(table, dict):
            raise DataError(f"{file.where}: not a JSON object of evidences.")
        evidences = {}
        for code, entry in table.items():
            try:
                evidences[code] = _evidence(entry)
            except (KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{file.where}: evidence {code!r} is not in the official format ({error})."
                ) from None
        return cls(evidences)

    def patient_as_text(self, age: str, sex: str, codes: str) -> str:
        """Return age, sex, and all questions with answers; `ValueError` for malformed input."""
        if not (age.isascii() and age.isdigit()):
            raise ValueError(f"age {age!r} is not an integer")
        if sex not in _SEXES:
            raise ValueError(f"sex {sex!r} is not M or F")
        answers: dict[str, list[str]] = {}
        for code in _literal_list(codes):
            name, _, value = code.partition(_VALUE)
            evidence = self._evidences.get(name)
            if evidence is None:
                raise ValueError(f"evidence {name!r} is not in release_evidences.json")
            if evidence.binary == bool(value) or (value and value not in evidence.answers):
                raise ValueError(f"{code!r} is not a valid value of evidence {name!r}")
            answers.setdefault(name, []).append(evidence.answers[value] if value else "yes")
        sentences = [f"Age: {int(age)}.", f"Sex: {_SEXES[sex]}."]
        for name, values in answers.items():
            sentences.append(f"{self._evidences[name].question} {', '.join(values)}.")
        return " ".join(sentences)


def _evidence(entry: dict[str, Any]) -> _Evidence:
    kind = entry["data_type"]
    if kind not in ("B", "C", "M"):
        raise TypeError(f"data_type {kind!r} is not B, C or M")
    values = entry["possible-values"]
    numbers = [value for value in values if isinstance(value, int)]
    answers = {}
    for value in values:
        if isinstance(value, int):
            answers[str(value)] = f"{value} out of {max(numbers)}"
        else:
            meaning = entry["value_meaning"][value]["en"]
            answers[value] = _SPELLED_OUT.get(meaning, meaning)
    return _Evidence(" ".join(entry["question_en"].split()), kind == "B", answers)


def _literal_list(text: str) -> list[str]:
    """Parse a Python list literal of strings."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        excerpt = text if len(text) <= 40 else f"{text[:40]}…"
        raise ValueError(f"evidences {excerpt!r} are not a list of codes")
    return value
