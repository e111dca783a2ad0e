"""Concordance over pairs of patients of one tissue source site."""

import numpy as np
import pandas as pd
import pytest

from prime.study.same_site import scores_of


def predictions(patients: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "label": "a way",
            "cohort": np.where(np.arange(patients) < patients // 2, "A", "B"),
            "fold": rng.integers(0, 2, patients),
            "seed": 0,
            "patient_id": [f"p{i}" for i in range(patients)],
            "risk": rng.normal(size=patients).round(1),
            "event": rng.integers(0, 2, patients),
            "time_days": rng.exponential(500, patients).round(-1) + 1,
        }
    )


def by_hand(frame: pd.DataFrame, sites: dict[str, str], binary: bool, same_site: bool) -> tuple[float, int]:
    """Pairs one by one."""
    risk, time, event = (frame[name].to_numpy(dtype=np.float64) for name in ("risk", "time_days", "event"))
    fold, site = frame["fold"].to_numpy(), [sites[str(p)] for p in frame["patient_id"]]
    agreed, pairs = 0.0, 0
    for a in range(len(frame)):
        for b in range(len(frame)):
            if fold[a] != fold[b] or not event[a]:
                continue
            if same_site and (site[a] != site[b] or not site[a]):
                continue
            tied = time[a] == time[b] and not event[b]
            if (not event[b]) if binary else (time[a] < time[b] or tied):
                pairs += 1
                agreed += 1.0 if risk[a] > risk[b] else 0.5 if risk[a] == risk[b] else 0.0
    return agreed / pairs, pairs


@pytest.mark.parametrize("binary", [False, True])
def test_it_equals_a_loop_over_pairs(binary: bool) -> None:
    frame = predictions()
    rng = np.random.default_rng(1)
    sites = {f"p{i}": str(rng.choice(["x", "y", "z", ""])) for i in range(len(frame))}
    found = scores_of(frame, sites, binary).set_index(["cohort", "pairs"])
    for cohort in ("A", "B"):
        mine = frame[frame["cohort"] == cohort]
        for kind in ("all", "site"):
            value, pairs = by_hand(mine, sites, binary, kind == "site")
            assert found.loc[(cohort, kind), "value"] == pytest.approx(value, abs=1e-12)
            assert found.loc[(cohort, kind), "n_pairs"] == pairs


def test_a_risk_that_knows_no_more_than_the_site_is_at_chance_within_it() -> None:
    frame = predictions(200)
    sites = {f"p{i}": str(i % 3) for i in range(200)}
    frame["risk"] = [float(int(sites[p])) for p in frame["patient_id"]]
    frame["time_days"] = 1000.0 - 300.0 * frame["risk"] + frame["time_days"] / 10
    found = scores_of(frame, sites, False).set_index(["cohort", "pairs"])["value"]
    for cohort in ("A", "B"):
        assert found[cohort, "all"] > 0.7
        assert found[cohort, "site"] == pytest.approx(0.5)
