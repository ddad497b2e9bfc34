"""Cards of the data sets: one TOML file per data set, in `cards/`."""

from pathlib import Path

CARDS = Path(__file__).parent / "cards"
