"""The base of everything that boards and diagnostics hold as JSON."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict


def _finite(value: Any) -> Any:
    """Refuse NaN and infinity in values of any JSON type, where no field's own type does."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not a number of JSON")
        return value
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list | float):
            _finite(item)
    return value


JsonObject = Annotated[dict[str, Any], AfterValidator(_finite)]
"""A JSON object of any content without NaN and infinity."""

Interval = tuple[float, float]


class Record(BaseModel):
    """Base of all records: no unknown field, no NaN, no change after construction."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, ser_json_inf_nan="constants"
    )
