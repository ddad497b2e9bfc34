"""The pages: a run's report, and any board, each one HTML file that needs no network."""

from fgbench.report.write import write_board_page, write_report

__all__ = ["write_board_page", "write_report"]
