"""The JSON Schema of the format, as text: `python -m fgbench.leaderboard.schema > FILE`."""

from __future__ import annotations

import json
import sys

from fgbench.leaderboard.models import json_schema


def schema_text() -> str:
    """Return the schema as it is committed beside the boards."""
    return json.dumps(json_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
