"""The primary question of a suite: which contrast decides, in which metric, to within what."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fgbench.records import Name, Record


class Primary(Record):
    """What a suite declares before it runs: its verdict rests on this contrast alone.

    `contrast` is the arm that is compared with each of its controls, `metric` what decides, and
    `margin` the largest difference that does not matter. `calibrator` is the post-hoc calibrator
    that is shown as the alternative; null where none is declared.
    """

    metric: Name = "ece"
    contrast: Name = "synthesis+"
    margin: Annotated[float, Field(gt=0.0)] = 0.01
    calibrator: Name | None = None
