"""Boards with given contrasts, for verdicts: no predictions, no run."""

from fgbench.coordinates import DatasetRecord, PartRecord, entry_id
from fgbench.inference import STATISTICS_VERSION, MetricSummary
from fgbench.leaderboard.build import assemble
from fgbench.leaderboard.contrasts import Controls, judged
from fgbench.leaderboard.models import (
    ContrastRecord,
    Contrasts,
    Entry,
    Provenance,
    StatisticsRecord,
    SyntheticRecord,
)
from fgbench.primary import Primary
from support.boards import coordinates

FOUR = ("real", "resample", "other-bins", "no-shift")
BETTER = dict.fromkeys(FOUR, (-0.05, 0.004))
"""By control: the difference and its standard error."""

MEANS = {"baseline": 0.186, "real": 0.137, "synthesis+": 0.101, "post-hoc": 0.018}


def plain_entry(where, *, mean=0.1, margin=0.01, synthetic=None, higher=()):
    return Entry(
        **{name: getattr(where, name) for name in type(where).model_fields},
        id=entry_id(where),
        metrics={"ece": MetricSummary(mean=mean, per_seed=[mean] * len(where.seeds))},
        metric_versions={"ece": "1"},
        higher_is_better=list(higher),
        neutral=["loss", "calibrator"] if where.calibrator.name == "none" else ["loss"],
        margins={"ece": margin},
        statistics=StatisticsRecord(version=STATISTICS_VERSION),
        synthetic=synthetic,
        provenance=Provenance(),
    )


def record(difference, error, seeds):
    if error is None:
        return ContrastRecord(difference=difference)
    return ContrastRecord(
        difference=difference,
        standard_error=error,
        degrees_of_freedom=max(2.0, 40.0 * (seeds > 1)),
    )


def entries_of(
    differences,
    *,
    dataset="demo",
    seeds=(0, 1, 2),
    post_hoc=(0.084, 0.008),
    texts=(1416, 1415, 3346),
    classifier="tfidf-logreg",
    calibrators=("none",),
    n_test=1000,
    margin=0.01,
    higher=(),
):
    """Return the entries of one comparison; without a control in `differences`, it is missing."""
    asked, used, rejected = texts
    synthetic = SyntheticRecord(
        requested=asked, accepted=used, shortage=asked - used, rejected_by={"near copy": rejected}
    )
    made = []

    def add(arm, calibrator="none", mean=0.1):
        where = coordinates(
            arm,
            calibrator,
            seeds=seeds,
            dataset=dataset,
            classifier=PartRecord(name=classifier),
        )
        size = {"n_test": n_test, "digest": f"{dataset:d<64}"[:64].replace("-", "0")}
        where = where.model_copy(update={"dataset": where.dataset.model_copy(update=size)})
        entry = plain_entry(
            where,
            mean=mean,
            margin=margin,
            synthetic=synthetic if where.generator else None,
            higher=higher,
        )
        made.append(entry)
        return entry

    ids = {"baseline": add("baseline", mean=MEANS["baseline"]).id}
    if post_hoc is not None:
        ids["post-hoc"] = add("baseline", "temperature", MEANS["post-hoc"]).id
    for calibrator in calibrators:
        for kind in FOUR:
            if kind in differences:
                ids[kind] = add(kind, calibrator, MEANS.get(kind, 0.1)).id
        arm = add("synthesis+", calibrator, MEANS["synthesis+"])
        contrasts = {"baseline": Contrasts(entry=ids["baseline"], metrics={})}
        for kind, (difference, error) in differences.items():
            contrasts[kind] = Contrasts(
                entry=ids[kind],
                metrics={"ece": record(difference, error, len(seeds))},
                reasons={"ece": "no variation"} if error is None else {},
            )
        if post_hoc is not None:
            contrasts["post-hoc"] = Contrasts(
                entry=ids["post-hoc"], metrics={"ece": record(*post_hoc, len(seeds))}
            )
        made[-1] = arm.model_copy(update={"contrasts": judged(arm, contrasts)})
    return made


def board_of(*comparisons, name="demo", **primary):
    """Return the board of several lists of entries."""
    declared = Primary(**{"calibrator": "temperature", **primary})
    return assemble(
        name,
        "2026-01-02",
        [entry for each in comparisons for entry in each],
        lambda _: None,
        declared,
    )


__all__ = ["BETTER", "FOUR", "Controls", "DatasetRecord", "board_of", "entries_of", "plain_entry"]
