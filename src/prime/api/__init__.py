"""PRIME from Python: what `import prime` offers. The commands use the same functions underneath."""

from prime.api.cohorts import Cohort, from_mudata, from_tables, load
from prime.api.estimator import PrimeSurvival, side_by_side
from prime.api.models import PrimeModel, Run, evaluate, fit, open_run, pretrain

__all__ = [
    "Cohort",
    "PrimeModel",
    "PrimeSurvival",
    "Run",
    "evaluate",
    "fit",
    "from_mudata",
    "from_tables",
    "load",
    "open_run",
    "pretrain",
    "side_by_side",
]
