"""The report: one HTML page of everything that the studies left in a folder, readable without a network."""

from prime.report.markdown import write_markdown
from prime.report.page import write_report

__all__ = ["write_markdown", "write_report"]
