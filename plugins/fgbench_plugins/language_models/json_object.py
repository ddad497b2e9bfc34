"""A parameter that is a JSON object: a table in a suite, JSON in quotes on a command line."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator


def _read(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("""not valid JSON: write it like '{"name": 1}', in quotes""") from None


JsonObject = Annotated[dict[str, Any], BeforeValidator(_read)]
