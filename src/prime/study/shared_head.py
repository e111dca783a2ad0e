"""What the head that cohorts share is made of: each part of mode `lp_shared` taken away, or added."""

from typing import Any

from prime.downstream.fit import SHARED_MODES
from prime.settings.experiment import merge
from prime.study.ablations import Texts, compare_variants
from prime.study.arms import Arm
from prime.study.context import MODES, Context, Output, Results, Study

FULL_MODE = SHARED_MODES[0]
FULL = MODES[FULL_MODE]
NO_TOKENS = "No tokens of PRIME"
OFF, HEAVY = 1e-4, 1e4  # a scale that leaves nothing of a block; a factor that leaves nothing of weights
TEXTS = Texts("shared_head", "The shared head", "LP shared", "What the shared head is made of")


def variants(context: Context) -> dict[str, dict[str, Any]]:
    """What each variant changes of `evaluate.probe.shared`."""
    own = context.config.evaluate.probe.shared
    changes: dict[str, dict[str, Any]] = {
        "Tokens alone, no blocks of sources": {"read_sources": False},
        "Each cohort alone": {"shared_penalty": own.shared_penalty * HEAVY},
        "One head for all cohorts": {"deviation_penalty": own.deviation_penalty * HEAVY},
        "No other endpoints": {"endpoints": {}, "time_weight": 0.0},
        "Missing blocks stay zero": {"impute": False},
    }
    blocks = [name for names in context.store.modalities.values() for name in names]
    return changes | {f"No block of {name}": {"scales": {**own.scales, name: OFF}} for name in blocks}


def richer(context: Context) -> list[str]:
    """The modes with more than the full head, where the cohort has covariates."""
    known = any(str(column).startswith("x_") for column in context.store.patients.columns)
    return [mode for mode in SHARED_MODES if mode != FULL_MODE] if known else []


def arms(context: Context) -> list[Arm]:
    """The full head, each variant on the same networks, and the shared ridge without any network."""
    probe = context.config.evaluate.probe.model_dump(mode="json")

    def arm(name: str, change: dict[str, Any], mode: str = FULL_MODE) -> Arm:
        head = {**probe["shared"], **change}
        evaluate = {"inits": ["pretrained"], "modes": [mode], "probe": {**probe, "shared": head}}
        return context.arm(name, evaluate)

    tokens = {"read_sources", "token_components", "token_scale"}
    alike = context.config.evaluate.probe.shared.of_mode(FULL_MODE).model_dump(mode="json", exclude=tokens)
    comparison = context.config.comparison.model_dump(mode="json")
    settings = merge(comparison, {"settings": {**comparison["settings"], "shared_ridge": alike}})
    without = {"inits": [], "methods": ["shared_ridge"]}
    return [
        arm(FULL, {}),
        context.arm(NO_TOKENS, without, comparison=settings),
        *(arm(MODES[mode], {}, mode) for mode in richer(context)),
        *(arm(name, change) for name, change in variants(context).items()),
    ]


def build(context: Context, results: Results) -> Output:
    """The head beside its variants."""
    names = [NO_TOKENS, *(MODES[mode] for mode in richer(context)), *variants(context)]
    return compare_variants(results, context.config.evaluate.tasks, names, FULL, TEXTS, [])


STUDY = Study("shared_head", "What the shared head is made of", arms, build)
