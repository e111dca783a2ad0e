"""`prime demo`: all steps from raw tables to predictions, on a simulated cohort."""

from prime.demo.steps import run

__all__ = ["run"]
