"""Does the worth of a missing test hold? Tests that patients had, hidden and then shown.

Everything is read from the predictions of held-out patients under every pattern: a patient who has a modality
was scored with it and without it. What a test adds is learned from the other folds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from prime.arrays import Flags, Floats
from prime.downstream.scoring import ENTRY, entry_of
from prime.evaluation.metrics import concordance_within
from prime.evaluation.next_test import Shift, best_first, chance_of_crossing, fit_shift, most_uncertain
from prime.render.tables import Table, cell
from prime.settings.evaluation import TaskConfig
from prime.study.context import Context, Output, Results, Study
from prime.study.intervals import arms

BUDGET, DRAWS = 0.2, 20
HIGH_RISK = 2 / 3
CAPTION = (
    "LP shared, patients who have the test. `spread`: what the test really adds to the risk over what was"
    " predicted, as standard deviations; `80 % interval`: how often the risk with the test is in it. Then the"
    f" C-index within folds and cohorts when nobody, {BUDGET:.0%} or everybody of them is tested: chosen at"
    " random, by entropy, by the predicted chance of crossing the line of high risk, and by the largest"
    " change that will really come (`largest`, which nobody can know before)."
)
WAYS = ("nobody", "random", "entropy", "crossing", "largest", "everybody")


def log_hazards(predictions: pd.DataFrame) -> Floats:
    """The risk (n,) on the scale on which a head is linear: log(-log S) at the end of the first bin."""
    survival = np.clip(predictions["survival_1"].to_numpy(dtype=np.float64), 1e-12, 1 - 1e-12)
    return np.log(-np.log(survival))


@dataclass(frozen=True)
class Pair:
    """Patients who have a test, scored without it and with it.

    Attributes:
        without, having: names of patterns; the second has one modality more.
        table: patient_id, cohort, fold, seed, time_days, event, with delayed entry entry_days, and the risks
            `now` and `then`.
    """

    without: str
    having: str
    table: pd.DataFrame


def pairs(predictions: pd.DataFrame, patterns: dict[str, tuple[bool, ...]]) -> Iterator[Pair]:
    """Every pattern with one test more, on those who have all of the larger one."""
    keys = ["patient_id", "cohort", "fold", "seed"]
    outcome = ["time_days", "event", *([] if entry_of(predictions) is None else [ENTRY])]
    risk = predictions.assign(value=log_hazards(predictions)).pivot(
        index=[*keys, *outcome], columns="pattern", values="value"
    )
    single = {flags.index(True): name for name, flags in patterns.items() if sum(flags) == 1}
    for small, few in patterns.items():
        for large, more in patterns.items():
            if sum(more) - sum(few) != 1 or any(f and not m for f, m in zip(few, more, strict=True)):
                continue
            needed = [single[i] for i, flag in enumerate(more) if flag]
            own = risk[risk[needed].notna().all(axis=1)]
            yield Pair(small, large, own[[small, large]].set_axis(["now", "then"], axis=1).reset_index())


def shifts(pair: Pair) -> Iterator[tuple[pd.DataFrame, Shift, Floats]]:
    """Each fold's patients, what the other folds say the test adds, and the thresholds of high risk (n,)."""
    table = pair.table
    for _, own in table.groupby(["seed", "fold"]):
        seed, fold = own["seed"].iloc[0], own["fold"].iloc[0]
        rest = table[(table["seed"] == seed) & (table["fold"] != fold)]
        level = rest.groupby(["cohort", "fold"])[["now", "then"]].transform("mean")
        shift = fit_shift(*(rest[["now", "then"]] - level).to_numpy().T)
        if shift is not None:
            means = own.groupby("cohort")[["now", "then"]].transform("mean")
            centred = own.assign(now=own["now"] - means["now"], then=own["then"] - means["then"])
            high = (rest["then"] - level["then"]).groupby(rest["cohort"]).quantile(HIGH_RISK)
            yield centred, shift, centred["cohort"].map(high).to_numpy(dtype=np.float64)


def worth(pair: Pair, seed: int = 0) -> dict[str, object] | None:
    """Predicted against realised spread of a test, and the C-index that testing a fifth of the patients buys.

    `spread`: the realised standard deviation of what the test adds over the predicted one; `inside`: how
    often the risk with the test falls in its 80 % interval; then C with nobody tested, with a fifth chosen by
    the probability of crossing the line of high risk, at random, by entropy, by the largest change that
    really comes, and with all tested. None where the other folds are too small to tell.
    """
    own: list[pd.DataFrame] = []
    predicted: list[Floats] = []
    residual: list[Floats] = []
    inside: list[Flags] = []
    for table, shift, high in shifts(pair):
        draws = shift.draws(table["now"].to_numpy(dtype=np.float64))
        low, top = np.quantile(draws, [0.1, 0.9], axis=1)
        then = table["then"].to_numpy(dtype=np.float64)
        inside.append((then >= low) & (then <= top))
        residual.append(then - draws.mean(axis=1))
        predicted.append(np.full(len(table), shift.spread))
        now = table["now"].to_numpy(dtype=np.float64)
        entropy = most_uncertain(expit(now - high))
        crossing = chance_of_crossing(draws, now, high)
        own.append(table.assign(crossing=crossing, entropy=entropy, change=np.abs(then - now)))
    if not own:
        return None
    whole = pd.concat(own)
    ratio = float(np.concatenate(residual).std() / np.sqrt((np.concatenate(predicted) ** 2).mean()))
    generator = np.random.default_rng(seed)
    chance = [_concordance(whole, best_first(generator.random(len(whole)), BUDGET)) for _ in range(DRAWS)]
    nobody = np.zeros(len(whole), dtype=bool)
    return {
        "without": pair.without, "having": pair.having, "n": len(whole), "spread": ratio,
        "inside": float(np.concatenate(inside).mean()), "nobody": _concordance(whole, nobody),
        "crossing": _concordance(whole, best_first(whole["crossing"].to_numpy(), BUDGET)),
        "random": float(np.mean(chance)),
        "entropy": _concordance(whole, best_first(whole["entropy"].to_numpy(), BUDGET)),
        "largest": _concordance(whole, best_first(whole["change"].to_numpy(), BUDGET)),
        "everybody": _concordance(whole, ~nobody),
    }  # fmt: skip


def _concordance(table: pd.DataFrame, tested: Flags) -> float:
    """Within folds and cohorts, of risks that are those with the test for the tested."""
    risk = np.where(tested, table["then"], table["now"])
    strata = table.groupby(["cohort", "fold", "seed"]).ngroup().to_numpy()
    time, event = table["time_days"].to_numpy(dtype=np.float64), table["event"].to_numpy(dtype=bool)
    return concordance_within(time, event, risk, strata, entry=entry_of(table)).value


# The tables -------------------------------------------------------------------------------------------------


def _table(results: Results, task: TaskConfig) -> Table | None:
    patterns = results.evaluations[0].data.patterns
    predictions = pd.concat(
        [results.predictions(task.name, pattern, curves=True) for pattern in patterns], ignore_index=True
    )
    found = [row for pair in pairs(predictions, patterns) if (row := worth(pair)) is not None]
    if not found:
        return None
    scores = pd.DataFrame(found)
    index = pd.MultiIndex.from_frame(scores[["without", "having"]], names=["Known", "Then"])
    shown = pd.DataFrame({"n": scores["n"].astype(str), "spread": scores["spread"].map(cell)})
    shown["80 % interval"] = scores["inside"].map(cell)
    for way in WAYS:
        shown[way] = scores[way].map(cell)
    shown.index = index
    return Table(
        f"next_test_{task.name}",
        f"A test more, of {task.name}: predicted and real",
        CAPTION,
        scores,
        shown,
    )


def build(context: Context, results: Results) -> Output:
    """A table for each task on time to event."""
    tasks = [task for task in context.config.evaluate.tasks if task.horizon_days is None]
    made = [_table(results, task) for task in tasks]
    notes = [] if any(made) else ["too few patients have a modality more than others to tell what it adds"]
    return Output([table for table in made if table is not None], notes=notes)


STUDY = Study("next_test", "What a missing test is worth", arms, build)
