"""The verdict of a board: does targeted synthesis help beyond its controls?

For each comparison (data set × classifier × generator …) the entry of the primary contrast's arm,
without calibrator, is compared with its four controls in the primary metric. The rules, in order:

    none          one seed, no bin was targeted, under half of the texts were produced, a control is
                  missing, or a contrast allows no inference
    no            worse than a control, or equal to one within the margin
    yes           better than each of the four controls
    cannot_tell   anything else

A control that got under half of its texts decides nothing: other controls can still show a `no`,
but there is no `yes` without it. That is common for `other-bins`, for which no rows are left where
nearly all bins are targeted.

The words of the contrasts are those of their family (`fgbench.leaderboard.contrasts`), in which the
margin comes first: a difference shown to be smaller than the margin is `within`, never `better`.
The post-hoc calibrator is shown as the alternative, and decides nothing. With several data sets,
the same rules hold for the mean effect over them (`over_datasets`).

Everything follows from the board alone. Other rooms only lay it out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from fgbench.coordinates import NAMED
from fgbench.inference import STATISTICS_VERSION, Contrast, Word, judge
from fgbench.inference.power import detectable, seeds_to_detect
from fgbench.leaderboard.contrasts import BASELINE, FAMILY, POST_HOC
from fgbench.numbers import count, in_words, margin_text, number, plural
from fgbench.primary import Primary
from fgbench.records import Interval, Record

if TYPE_CHECKING:
    from fgbench.inference import Judgment
    from fgbench.leaderboard.models import Entry, Leaderboard, SyntheticRecord

Code = Literal["yes", "no", "cannot_tell", "none"]

QUESTION = "Does targeted synthetic data improve {quality} beyond its controls?"
NAMES: Mapping[Code, str] = {
    "yes": "Yes",
    "no": "No",
    "cannot_tell": "Cannot tell",
    "none": "No verdict",
}
"""The words of a verdict, the same everywhere."""

_PHRASES = {
    "real": "the same data without synthetic texts",
    "resample": "duplicates of the targeted texts",
    "other-bins": "texts aimed at other bins",
    "no-shift": "texts asked for without a shift",
}
_FEWEST = 0.5
"""The share of the texts that a generator must fill."""


class Finding(Record):
    """A contrast of a verdict: the difference from a control, the interval that decides, its word.

    `label` is the control's name, for `post-hoc` the calibrator's. `reason` is set where there is
    no inference. A control is not `filled` if it got under half of its texts.
    """

    control: str
    label: str
    entry: str | None = None
    difference: float
    interval: Interval | None = None
    word: Word
    reason: str | None = None
    filled: bool = True


class Texts(Record):
    """What the generator was asked for, what of it training used, and what it wrote in all."""

    asked: int
    used: int
    written: int
    rejected_by: dict[str, int] = Field(default_factory=dict)
    notes: dict[str, int] = Field(default_factory=dict)


class Answer(Record):
    """The verdict on one comparison.

    `values` are the means of the primary metric, by `baseline`, `real`, the primary arm and
    `post-hoc`. `detects` is the smallest difference that this comparison finds with 80 % power.
    `next` says what would give an answer, where there is none.
    """

    title: str
    dataset: str
    facts: list[str]
    code: Code
    reason: str
    next: str | None = None
    entry: str | None = None
    values: dict[str, float] = Field(default_factory=dict)
    contrasts: list[Finding] = Field(default_factory=list)
    post_hoc: Finding | None = None
    detects: float | None = None
    texts: Texts | None = None


class Overall(Record):
    """The verdict on the mean effect over data sets, each of which counts once."""

    datasets: int
    code: Code
    reason: str
    contrasts: list[Finding]
    detects: float | None = None
    limit: str
    """What this number of data sets can show at most."""


class Verdict(Record):
    """The verdict of a board; `code` and `headline` are over all data sets where there are several.

    `arm`, `metric` and `margin` are those of the primary contrast.
    """

    question: str
    code: Code
    headline: str
    arm: str
    metric: str
    margin: float
    answers: list[Answer]
    overall: Overall | None = None


def verdict_of(board: Leaderboard) -> Verdict:
    """Return the verdict of a board."""
    primary = board.primary
    candidates = _candidates(board, primary)
    answers = _answers(board, candidates) if candidates else [_without_arm(board)]
    overall = over_datasets(answers, candidates, primary)
    is_default = primary.metric == Primary().metric
    return Verdict(
        question=QUESTION.format(quality="calibration" if is_default else primary.metric),
        code=_code(answers, overall),
        headline=_headline(answers, overall),
        arm=primary.contrast,
        metric=primary.metric,
        margin=primary.margin,
        answers=answers,
        overall=overall,
    )


def over_datasets(
    answers: Sequence[Answer], entries: Sequence[Entry], primary: Primary
) -> Overall | None:
    """Return the verdict on the mean effect over data sets; None for fewer than two.

    The data set is a random effect: with δ_d the mean difference on data set d of D, the mean of
    the δ_d has the standard error s(δ)/√D and D − 1 degrees of freedom. Comparisons without a
    verdict are left out.
    """
    effects: dict[str, dict[str, list[float]]] = {kind: {} for kind in FAMILY}
    higher_is_better = False
    judged = set()
    for answer, entry in zip(answers, entries, strict=False):
        if answer.code == "none":
            continue
        judged.add(answer.dataset)
        higher_is_better = primary.metric in entry.higher_is_better
        for finding in answer.contrasts:
            if finding.word != "none":
                effects[finding.control].setdefault(answer.dataset, []).append(finding.difference)
    n = len(judged)
    if n < 2:
        return None
    contrasts = [
        _mean_effect([float(np.mean(rows)) for rows in by_dataset.values()], primary.margin)
        for by_dataset in effects.values()
    ]
    findings = [
        _finding(kind, kind, None, judgment)
        for kind, judgment in zip(
            FAMILY, judge(contrasts, higher_is_better=higher_is_better), strict=True
        )
    ]
    detects = _detects(contrasts)
    code, reason = _decided(findings, primary.margin)
    untested = [finding for finding in findings if finding.word == "none"]
    if untested and code != "no":
        code, reason = "none", f"No inference against {untested[0].control}: {untested[0].reason}."
    elif code == "cannot_tell":
        reason = f"{in_words(n).capitalize()} data sets detect {number(detects)}."
    least = 0.5 ** (n - 1)
    limit = (
        f"{in_words(n).capitalize()} data sets cannot show p < {number(least)} in a sign test, "
        "whatever the results."
    )
    return Overall(
        datasets=n, code=code, reason=reason, contrasts=findings, detects=detects, limit=limit
    )


def _mean_effect(effects: Sequence[float], margin: float) -> Contrast:
    """Return the contrast of the mean over data sets, whose effects are a random sample."""
    n = len(effects)
    mean = float(np.mean(effects)) if n else 0.0
    error = float(np.std(effects, ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    if error > 0.0:
        return Contrast.of(
            difference=mean,
            standard_error=error,
            degrees_of_freedom=float(n - 1),
            margin=margin,
            seeds=n,
            rows=n,
        )
    reason = (
        "the difference is the same on all data sets"
        if n > 1
        else f"it got enough texts on {'only one' if n else 'none'} of the data sets"
    )
    return Contrast(difference=mean, margin=margin, reason=reason, rows=n, seeds=max(n, 1))


def _candidates(board: Leaderboard, primary: Primary) -> list[Entry]:
    """Return the entries that are judged: of the primary arm, and uncalibrated where possible."""
    entries = [
        entry
        for entry in board.entries
        if entry.arm == primary.contrast and entry.published is None
    ]
    plain = {entry.without("calibrator") for entry in entries if "calibrator" in entry.neutral}
    return [
        entry
        for entry in entries
        if "calibrator" in entry.neutral or entry.without("calibrator") not in plain
    ]


def _answers(board: Leaderboard, entries: Sequence[Entry]) -> list[Answer]:
    by_id = {entry.id: entry for entry in board.entries}
    titles = _titles(entries)
    return [
        _answer(entry, title, by_id, board.primary)
        for entry, title in zip(entries, titles, strict=True)
    ]


def _answer(entry: Entry, title: str, by_id: Mapping[str, Entry], primary: Primary) -> Answer:
    controls = {
        kind: by_id[against.entry]
        for kind, against in entry.contrasts.items()
        if against.entry in by_id
    }
    findings = [
        finding for kind in FAMILY if (finding := _stored(entry, kind, kind, primary)) is not None
    ]
    if unfilled := _unfilled(controls):
        findings = [
            finding.model_copy(
                update={
                    "word": "none",
                    "reason": unfilled[finding.control],
                    "interval": None,
                    "filled": False,
                }
            )
            if finding.control in unfilled
            else finding
            for finding in findings
        ]
    owners = {kind: controls[kind] for kind in (BASELINE, "real", POST_HOC) if kind in controls}
    owners[primary.contrast] = entry
    values = {
        kind: owner.metrics[primary.metric].mean
        for kind, owner in owners.items()
        if primary.metric in owner.metrics
    }
    post_hoc = None
    if POST_HOC in controls:
        post_hoc = _stored(entry, POST_HOC, controls[POST_HOC].calibrator.name, primary)
    margin = entry.margins.get(primary.metric, primary.margin)
    contrasts = [
        Contrast.of(
            difference=record.difference,
            standard_error=record.standard_error,
            degrees_of_freedom=record.degrees_of_freedom,
            margin=margin,
            seeds=len(entry.seeds),
            rows=entry.dataset.n_test or 0,
        )
        for kind in FAMILY
        if (record := entry.contrast(kind, primary.metric)) is not None
    ]
    detects = _detects(contrasts) if len(entry.seeds) > 1 else None
    tested = [finding for finding in findings if finding.control not in unfilled]
    problem = _problem(entry, controls, findings, tested, primary)
    if problem is None:
        code, reason = _decided(tested, margin)
        if code == "yes" and unfilled:
            control, share = next(iter(unfilled.items()))
            problem = f"The control {control} got {share}.", _wider(entry)
    if problem is None:
        further: str | None = None
        if code == "cannot_tell" and detects is not None:
            reason = f"{_size(entry)} detect {number(detects)}{_would_do(contrasts, margin)}."
    else:
        code, (reason, further) = "none", problem
    return Answer(
        title=title,
        dataset=entry.dataset.label,
        facts=_facts(entry),
        code=code,
        reason=reason,
        next=further,
        entry=entry.id,
        values=values,
        contrasts=findings,
        post_hoc=post_hoc,
        detects=detects,
        texts=_texts(entry.synthetic),
    )


def _stored(entry: Entry, kind: str, label: str, primary: Primary) -> Finding | None:
    record = entry.contrast(kind, primary.metric)
    if record is None:
        return None
    return Finding(
        control=kind,
        label=label,
        entry=entry.contrasts[kind].entry,
        difference=record.difference,
        interval=record.interval,
        word=record.word or "none",
        reason=entry.contrasts[kind].reasons.get(primary.metric),
    )


def _finding(kind: str, label: str, entry: str | None, judgment: Judgment) -> Finding:
    return Finding(
        control=kind,
        label=label,
        entry=entry,
        difference=judgment.contrast.difference,
        interval=judgment.interval,
        word=judgment.word,
        reason=judgment.contrast.reason,
    )


def _problem(
    entry: Entry,
    controls: Mapping[str, Entry],
    findings: Sequence[Finding],
    tested: Sequence[Finding],
    primary: Primary,
) -> tuple[str, str | None] | None:
    """Return why there is no verdict, and what would give one; None if there is one."""
    if problem := _generation_problem(entry):
        return problem
    if entry.statistics.version != STATISTICS_VERSION:
        return (
            "The board is of an earlier version, whose intervals support no verdict.",
            "run its suite again",
        )
    missing = [kind for kind in FAMILY if kind not in controls]
    if missing:
        arms = " ".join(f"--arm {arm}" for arm in (BASELINE, *FAMILY, primary.contrast))
        return (
            f"{_listed(missing)} {'is' if len(missing) == 1 else 'are'} missing.",
            f"fgbench run … {arms}",
        )
    if not tested:
        return "No control got half of its texts.", _wider(entry)
    if len(entry.seeds) == 1:
        seed = entry.seeds[0]
        seeds = " ".join(f"--seed {number}" for number in range(seed, seed + 3))
        return (
            "One seed describes these two trained models only.",
            f"fgbench run … {seeds}   (seed {seed} is reused)",
        )
    if primary.metric not in entry.metrics:
        why = entry.undefined.get(primary.metric, "the board does not have it")
        return f"No {primary.metric}: {why}.", None
    if len(findings) < len(FAMILY):
        return "The contrasts cannot be computed: there are no predictions.", None
    for finding in tested:
        if finding.word == "none":
            why = finding.reason or "the board's inference is of an earlier version"
            return f"No inference against {finding.control}: {why}.", None
    return None


def _unfilled(controls: Mapping[str, Entry]) -> dict[str, str]:
    """Return the controls that got under half of their texts, and how many they got."""
    texts = {kind: _texts(controls[kind].synthetic) for kind in FAMILY if kind in controls}
    return {
        kind: f"only {count(filled.used)} of {count(filled.asked)} texts"
        for kind, filled in texts.items()
        if filled is not None and filled.used < _FEWEST * filled.asked
    }


def _wider(entry: Entry) -> str:
    higher = margin_text(2 * (entry.threshold or 0.03))
    return f"fgbench run … --threshold {higher}   (leaves more bins untargeted)"


def _generation_problem(entry: Entry) -> tuple[str, str | None] | None:
    texts = _texts(entry.synthetic)
    if texts is None:
        return None
    if texts.asked == 0:
        smaller = margin_text((entry.threshold or 0.03) / 2)
        return (
            "No bin was targeted: the classifier's gaps are below the threshold.",
            f"fgbench run … --threshold {smaller}",
        )
    share = f"{count(texts.used)} of {count(texts.asked)} texts"
    if texts.used < 0.1 * texts.asked:
        return (
            f"The generator produced almost nothing usable: {share}."
            if texts.used
            else f"The generator produced nothing usable: {share}.",
            "read the rejected texts in the report, or choose another generator",
        )
    if texts.used < _FEWEST * texts.asked:
        return (
            f"The generator filled under half of the texts: {share}.",
            "read the rejected texts in the report, or choose another generator",
        )
    return None


def _decided(findings: Sequence[Finding], margin: float) -> tuple[Code, str]:
    """Apply the rules to the contrasts of a family."""
    for finding in findings:
        if finding.word == "worse":
            size = number(abs(finding.difference))
            return "no", f"{_capitalized(_PHRASES[finding.control])} do better, by {size}."
    for finding in findings:
        if finding.word == "within":
            phrase = _capitalized(_PHRASES[finding.control])
            return "no", f"{phrase} do as well, to within {margin_text(margin)}."
    if all(finding.word == "better" for finding in findings):
        least = number(min(abs(finding.difference) for finding in findings))
        return "yes", f"Better than all {in_words(len(findings))} controls, by {least} or more."
    return "cannot_tell", ""


def _detects(contrasts: Iterable[Contrast]) -> float | None:
    """Return the smallest difference that is found in the least precise contrast."""
    sizes = [
        detectable(item.standard_error, item.degrees_of_freedom)
        for item in contrasts
        if item.standard_error is not None and item.degrees_of_freedom is not None
    ]
    return max(sizes, default=None)


def _would_do(contrasts: Sequence[Contrast], margin: float) -> str:
    """Return how many seeds would detect the margin, or that no number would."""
    needed = [
        seeds_to_detect(margin, item.standard_error, item.degrees_of_freedom, item.seeds, item.rows)
        for item in contrasts
        if item.standard_error is not None and item.degrees_of_freedom is not None
    ]
    known = [n for n in needed if n is not None]
    if needed and len(known) == len(needed):
        return f", {in_words(max(known))} seeds {margin_text(margin)}"
    return f"; only more test texts detect {margin_text(margin)}"


def _code(answers: Sequence[Answer], overall: Overall | None) -> Code:
    if overall is not None:
        return overall.code
    decided = [answer.code for answer in answers if answer.code != "none"]
    return decided[0] if len(set(decided)) == 1 else "cannot_tell" if decided else "none"


def _headline(answers: Sequence[Answer], overall: Overall | None) -> str:
    """Return the answer as one line."""
    if overall is None and len({(answer.code, answer.reason) for answer in answers}) == 1:
        answer = answers[0]
        return f"{NAMES[answer.code]}: {answer.reason[0].lower()}{answer.reason[1:]}"
    start = "" if overall is None else f"On average, {NAMES[overall.code].lower()}. "
    return start + counted(answers, spelled=True)


def counted(answers: Sequence[Answer], *, spelled: bool = False) -> str:
    """Return on how many comparisons each verdict is: "Yes on one of six data sets, no on two."."""
    noun = "data set" if len({a.dataset for a in answers}) == len(answers) else "comparison"
    parts: list[str] = []
    for code in NAMES:
        n = sum(answer.code == code for answer in answers)
        if not n:
            continue
        if spelled:
            of = f" of {in_words(len(answers))} {noun}s"
            parts.append(f"{NAMES[code].lower()} on {in_words(n)}{'' if parts else of}")
        else:
            name = {"cannot_tell": "open", "none": "no verdict"}.get(code, code)
            parts.append(f"{name} on {count(n)}")
    return _capitalized(", ".join(parts)) + "."


def _without_arm(board: Leaderboard) -> Answer:
    """Return the answer of a board that has no entry of the primary arm."""
    arm = board.primary.contrast
    runs = [entry for entry in board.entries if entry.published is None]
    if runs:
        reason, further = f"The board has no result of the arm {arm}.", f"fgbench run … --arm {arm}"
    elif board.entries:
        reason = "Published figures have no predictions, so that no difference can be tested."
        further = None
    else:
        reason, further = "The board has no entries.", None
    return Answer(
        title=board.name, dataset="", facts=[board.name], code="none", reason=reason, next=further
    )


def _texts(synthetic: SyntheticRecord | None) -> Texts | None:
    """Return what an arm was to add and what it added, or on older boards what was accepted."""
    if synthetic is None:
        return None
    asked, used = synthetic.requested, synthetic.accepted
    if synthetic.added:
        asked = sum(record.n_asked for record in synthetic.added)
        used = sum(record.n_used for record in synthetic.added)
    return Texts(
        asked=asked,
        used=used,
        written=synthetic.accepted + sum(synthetic.rejected_by.values()),
        rejected_by=dict(sorted(synthetic.rejected_by.items(), key=lambda item: -item[1])),
        notes=dict(synthetic.notes),
    )


def _facts(entry: Entry) -> list[str]:
    """Return what a comparison is about, for its first line."""
    facts = [entry.dataset.name, entry.classifier.name]
    if entry.generator is not None:
        facts.append(entry.generator.name)
    facts.append(plural(len(entry.seeds), "seed"))
    if entry.dataset.n_test:
        facts.append(plural(entry.dataset.n_test, "test text"))
    return facts


def _size(entry: Entry) -> str:
    texts = plural(entry.dataset.n_test or 0, "test text")
    return f"{texts} and {plural(len(entry.seeds), 'seed')}"


def _titles(entries: Sequence[Entry]) -> list[str]:
    """Return the data set's name of each entry, and the axes in which entries of it differ."""
    titles = []
    for entry in entries:
        mine = _axis_texts(entry)
        alike = [other for other in entries if other.dataset.name == entry.dataset.name]
        differing = [
            name for name in NAMED if any(_axis_texts(other)[name] != mine[name] for other in alike)
        ]
        shown = [mine[name] for name in differing if name != "dataset"]
        if any(other.dataset != entry.dataset for other in alike):
            label = _distinct_label(entry, alike)
            same = [other for other in alike if other.dataset.label == entry.dataset.label]
            several = any(other.dataset.digest != entry.dataset.digest for other in same)
            first = f"{label}@{(entry.dataset.digest or '')[:8]}" if several else label
        else:
            first = entry.dataset.name
        titles.append(" · ".join([first, *shown]))
    return titles


def _distinct_label(entry: Entry, alike: Sequence[Entry]) -> str:
    """Return the data set's name with the parameters in which others of that name differ."""
    mine = entry.dataset.params
    differing = [
        f"{key}={mine.get(key)}"
        for key in sorted({key for other in alike for key in other.dataset.params})
        if any(other.dataset.params.get(key) != mine.get(key) for other in alike)
    ]
    return f"{entry.dataset.name}:{','.join(differing)}" if differing else entry.dataset.name


def _axis_texts(entry: Entry) -> dict[str, str]:
    labels = entry.labels()
    return {
        name: f"{labels[name]} bins" if name == "bins" else labels[name] or "none" for name in NAMED
    }


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    text = f"{', '.join(first)} and {last}" if first else last
    return f"The control{'s' if first else ''} {text}"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
