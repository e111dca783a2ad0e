"""The main job from end to end on a simulated cohort: `prime demo`."""

from prime.demo.steps import run

__all__ = ["run"]
