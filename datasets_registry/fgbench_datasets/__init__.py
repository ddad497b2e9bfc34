"""The cards of the data sets: one TOML file each, in `cards/`."""

from pathlib import Path

CARDS = Path(__file__).parent / "cards"
