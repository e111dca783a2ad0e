"""A cohort with what is said of it, as the explorer shows it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from prime.arrays import Flags, Floats
from prime.cohort.config import CohortConfig
from prime.explore.prepare import Findings, find, principal_map
from prime.model.checkpoint import Checkpoint
from prime.predict.asked import MONTH
from prime.predict.inputs import observed_modalities
from prime.predict.model_folder import FittedModel
from prime.store.store import Store

NOTHING = "nothing"


@dataclass(frozen=True)
class Explored:
    """A cohort, a network, a model where there is one, and what was found.

    Attributes:
        config: the cohort file.
        store: its P patients.
        checkpoint: the network.
        model: the fitted model, None for a run alone.
        findings: predictions and embeddings.
        endpoint: whose outcomes are shown; empty where the cohort has none.
    """

    config: CohortConfig
    store: Store
    checkpoint: Checkpoint
    model: FittedModel | None
    findings: Findings
    endpoint: str

    @property
    def modalities(self) -> tuple[str, ...]:
        """The network's modalities, in order."""
        return tuple(self.checkpoint.model.inputs.modalities)

    @property
    def is_survival(self) -> bool:
        """Whether the model predicts times, not a label at a horizon."""
        return self.model is not None and self.model.description.task.horizon_days is None

    @cached_property
    def ids(self) -> list[str]:
        """(P,) patient ids."""
        return [str(name) for name in self.store.patients["patient_id"]]

    @cached_property
    def types(self) -> list[str]:
        """(P,) cancer types."""
        return [str(name) for name in self.store.patients["cohort"]]

    @cached_property
    def sites(self) -> list[str]:
        """(P,) sites, empty where not known."""
        return [str(name) for name in self.store.patients["site"]]

    @cached_property
    def observed(self) -> Flags:
        """(P, M) which patient has which modality."""
        return observed_modalities(self.store, self.checkpoint.model.inputs)

    @cached_property
    def patterns(self) -> list[str]:
        """(P,) what each patient has, in words."""
        rows = self.observed.tolist()
        return [" + ".join(n for n, h in zip(self.modalities, r, strict=True) if h) or NOTHING for r in rows]

    @cached_property
    def outcome(self) -> tuple[Floats, Floats]:
        """(P,) months of follow-up and events (1 observed, 0 censored); NaN where not known or excluded."""
        table = self.store.patients
        if not self.endpoint:
            return np.full(len(table), np.nan), np.full(len(table), np.nan)
        time = table[f"{self.endpoint}_time_days"].to_numpy(dtype=np.float64) / MONTH
        event = table[f"{self.endpoint}_event"].to_numpy(dtype=np.float64)
        unknown = table["excluded"].to_numpy(dtype=bool) | np.isnan(time) | np.isnan(event)
        return np.where(unknown, np.nan, time), np.where(unknown, np.nan, event)

    @cached_property
    def map(self) -> tuple[Floats, Floats]:
        """(P, 2) places in [-1, 1] and the components' shares of variance; see `principal_map`."""
        return principal_map(self.findings.pooled)

    def column(self, name: str) -> Floats:
        """A number of the predictions of each patient (P,); NaN where there is none."""
        table = self.findings.predictions
        if table is None or name not in table:
            return np.full(len(self.ids), np.nan)
        return table[name].to_numpy(dtype=np.float64)

    def prediction(self, row: int) -> "pd.Series[Any] | None":
        """What the model says of a patient."""
        table = self.findings.predictions
        return None if table is None else table.iloc[row]


def columns(explored: Explored) -> dict[str, Any]:
    """What the page shows of everybody: columns of P values, texts as numbers of a list of levels."""
    place, shares = explored.map
    time, event = explored.outcome
    chance = "survival_36m" if explored.is_survival else "probability"
    found: dict[str, Any] = {
        "id": explored.ids,
        "type": _levels(explored.types),
        "site": _levels(explored.sites),
        "pattern": _levels(explored.patterns),
        "has": [sum(1 << i for i, h in enumerate(row) if h) for row in explored.observed.tolist()],
        "modalities": list(explored.modalities),
        "x": _rounded(place[:, 0], 4),
        "y": _rounded(place[:, 1], 4),
        "shares": _rounded(shares, 4),
        "time": _rounded(time, 1),
        "event": _rounded(event, 0),
        "risk": _rounded(explored.column("percentile"), 1),
        "chance": _rounded(explored.column(chance), 3),
        "median": _rounded(explored.column("median_months"), 1),
        "seen": _levels([""] * len(explored.ids)),
    }
    if explored.findings.umap is not None:
        across, up = explored.findings.umap.T
        found |= {"umap_x": _rounded(across, 4), "umap_y": _rounded(up, 4)}
    if explored.findings.predictions is not None:
        found["seen"] = _levels([str(name) for name in explored.findings.predictions["seen_in"]])
    return found


def _levels(texts: list[str]) -> dict[str, Any]:
    """Texts as codes of their levels, the most frequent first."""
    names, codes, counts = np.unique(np.array(texts, dtype=object), return_inverse=True, return_counts=True)
    order = np.lexsort((names.astype(str), -counts))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return {"levels": [str(n) for n in names[order]], "codes": place[codes].tolist()}


def _rounded(values: Floats, digits: int) -> list[float | None]:
    return [None if np.isnan(v) else round(float(v), digits) for v in values]


def explored(
    config: CohortConfig,
    store: Store,
    checkpoint: Checkpoint,
    model: FittedModel | None,
    device: torch.device,
    with_umap: bool = False,
) -> Explored:
    """A cohort with its findings, which take a while the first time; see `find`.

    The endpoint is that of the model's task where the cohort has it, else the cohort's first.
    """
    names = store.endpoints
    wanted = "" if model is None else model.description.task.endpoint
    endpoint = wanted if wanted in names else next(iter(names), "")
    return Explored(
        config, store, checkpoint, model, find(checkpoint, model, store, device, with_umap), endpoint
    )
