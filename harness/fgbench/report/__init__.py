"""The report of a run: one HTML file, made from the run folder alone."""

from fgbench.report.write import write_report

__all__ = ["write_report"]
