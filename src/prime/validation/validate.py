"""The external validation of a fitted model on a labelled cohort: tables, figures, a page."""

import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from prime import __version__
from prime.errors import InputError
from prime.files import sha256_file, write_csv, write_json
from prime.model.checkpoint import MANIFEST
from prime.predict.model_folder import FittedModel, load_model
from prime.render.figure import Figure
from prime.render.results import write_results
from prime.render.tables import Table
from prime.report import write_report
from prime.store.store import Store
from prime.validation.calibration_figure import calibration_figure
from prime.validation.checklist import checklist
from prime.validation.clinical import clinical_table
from prime.validation.competing import (
    Competing,
    competing_decision_figure,
    competing_rows,
    competing_table,
    incidence_figure,
    read_competing,
)
from prime.validation.decisions import decision_figure, decision_rows, decision_table
from prime.validation.groups import patient_groups
from prime.validation.labelled import Labelled, from_landmark, read_labelled
from prime.validation.performance import (
    YEAR,
    Draws,
    group_rows,
    groups_table,
    horizon_name,
    overall_rows,
    performance_table,
)
from prime.validation.stability import (
    bootstrap_chances,
    stability_figure,
    stability_rows,
    stability_table,
)
from prime.validation.tripod import tripod_table

CPU = torch.device("cpu")
HORIZON_YEARS = (1.0, 3.0, 5.0)
ENOUGH_KNOWN = 0.5  # share of patients for whom the model must predict a horizon


@dataclass(frozen=True)
class Section:
    """A part of the page: its folder, title, tables, figures and remarks."""

    name: str
    title: str
    tables: list[Table]
    figures: list[Figure] = field(default_factory=list[Figure])
    notes: list[str] = field(default_factory=list[str])


def validate(
    model_dir: Path,
    store: Store,
    out: Path,
    years: Sequence[float] = HORIZON_YEARS,
    cohort_names: Sequence[str] = (),
    draws: Draws | None = None,
    competing: str | None = None,
    landmark_years: float | None = None,
    device: torch.device = CPU,
) -> Path:
    """Validate a model folder on the labelled patients of a store; write everything into `out`.

    `competing` names an endpoint of the cohort whose event can come first; with `landmark_years`, only those
    followed for longer are judged, and their risks from then on. Returns the page.

    Raises InputError for a damaged model folder, a cohort that cannot be scored, has no
    outcome or no event, a competing endpoint that is none or together with a landmark, and
    horizons of which none can be judged.
    """
    started, draws = time.perf_counter(), draws or Draws()
    model = load_model(model_dir)
    _refuse_both(model_dir, model, competing, landmark_years)
    labelled = read_labelled(model, store, cohort_names, device)
    if landmark_years is not None:
        labelled = from_landmark(labelled, landmark_years * YEAR)
    horizons, notes = usable_horizons(labelled, years)
    notes += _warnings(model, labelled)
    first = None if competing is None else read_competing(labelled, store, competing)
    if model.prognosis.competing is not None:
        first = labelled, Competing.of_model(labelled)
        notes.append("these sections take competing events for censorings, as Competing events does not")
    sections = _sections(model, store, labelled, horizons, draws, notes)
    if stable := _stability_section(labelled, store, horizons, device):
        sections.insert(2, stable)
    if first is not None:
        sections.insert(2, _competing_section(*first, horizons, draws))
    write_json(out / "flow.json", _flow(store, labelled))
    entry = {} if labelled.entry is None else {"entry_days": labelled.entry}
    outcome = pd.DataFrame({"time_days": labelled.time, "event": labelled.event, **entry})
    write_csv(out / "predictions.csv", pd.concat([labelled.table, outcome], axis=1), float_format="%.6g")
    facts = _facts(model_dir, model, store, draws) | {"wall_seconds": time.perf_counter() - started}
    for place, section in enumerate(sections):  # what was made at once counts once
        seconds = facts["wall_seconds"] if not place else 0.0
        _write_section(section, out, place, {**facts, "wall_seconds": seconds})
    return write_report(out)


def _refuse_both(model_dir: Path, model: FittedModel, competing: str | None, landmark: float | None) -> None:
    """Raise InputError where a landmark and competing events would meet."""
    if competing is not None and landmark is not None:
        raise InputError("--competing and --landmark: give one of the two")
    causes = model.prognosis.competing
    if causes is not None and (competing is not None or landmark is not None):
        raise InputError(
            f"{model_dir}: a model of competing events ({', '.join(causes.names)}); leave --competing and"
            " --landmark out"
        )


def _facts(model_dir: Path, model: FittedModel, store: Store, draws: Draws) -> dict[str, Any]:
    """What the tables rest on, for their manifests."""
    return {
        "command": " ".join(["prime", *sys.argv[1:]]),
        "seeds": [draws.seed],
        "versions": {"prime": __version__, "python": platform.python_version(), "torch": torch.__version__},
        "hashes": {
            "model": sha256_file(model_dir / MANIFEST),
            "store": {name: source.sha256 for name, source in store.sources.items()},
        },
        "config": {"model": model.description.model_dump(mode="json", include={"task", "cohorts"})},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _warnings(model: FittedModel, labelled: Labelled) -> list[str]:
    """What the judged patients served before."""
    found: list[str] = []
    if not model.knows_patients:
        found.append(
            "whether any of these patients served the fit is not known: the model travels without its"
            " patients; ask who fitted it whether it saw this cohort"
        )
    if labelled.landmark:
        found.append(
            f"patients followed beyond {horizon_name(labelled.landmark)}, risks and time from then on"
        )
    if labelled.entry is not None:
        late = labelled.entry > 0
        found.append(
            f"{int(late.sum())} of {len(late)} patients came under observation late, the first of all at"
            f" {labelled.entry.min():g} days: each is at risk from the entry on; nothing is known of events"
            " before the first entry, and what is weighted for censoring has no value"
        )
    fitted = set(model.checkpoint.manifest.get("recalibration", {}).get("patient_ids", ()))
    recalibrated = int(labelled.table["patient_id"].astype(str).isin(fitted).sum())
    if recalibrated:
        found.append(f"the model was recalibrated on {recalibrated} of these patients: too good to be true")
    seen = int((labelled.table["seen_in"] == "pretraining").sum())
    if seen:
        found.append(f"pretraining saw {seen} of these patients, without their outcomes")
    return found


def usable_horizons(labelled: Labelled, years: Sequence[float]) -> tuple[list[float], list[str]]:
    """The days that can be judged, and why others cannot. Raises InputError where none can."""
    own = labelled.task.horizon_days
    asked = [own] if own is not None else [float(year) * YEAR for year in years]
    found: list[float] = []
    notes: list[str] = []
    for days in asked:
        cases, known = labelled.cases(days)
        if known.mean() < ENOUGH_KNOWN:
            notes.append(f"{horizon_name(days)}: the model predicts it for {int(known.sum())} patients only")
        elif not cases.events or cases.time.max() <= days:
            notes.append(f"{horizon_name(days)}: no event by then, or nobody is followed beyond")
        else:
            found.append(days)
            if not known.all():
                notes.append(
                    f"{horizon_name(days)}: {int((~known).sum())} patients without a prediction so late"
                )
    if not found:
        raise InputError(f"no horizon can be judged: {'; '.join(notes)}; name others with --horizons")
    return found, notes


def _sections(
    model: FittedModel,
    store: Store,
    labelled: Labelled,
    horizons: list[float],
    draws: Draws,
    notes: list[str],
) -> list[Section]:
    groups = patient_groups(store, labelled)
    patterns = labelled.table["pattern"].to_numpy(dtype=str)
    days = horizons[len(horizons) // 2]
    rows, late = overall_rows(labelled, horizons, draws), labelled.entry is not None
    overall = performance_table(rows, labelled.task.name, late)
    clinical = clinical_table(store, labelled, draws)
    decisions = decision_rows(labelled, patterns, horizons, draws)
    sections = [
        Section(
            "performance",
            "Performance",
            [overall, *([clinical] if clinical else [])],
            [calibration_figure(labelled, horizons)],
            notes,
        ),
        Section(
            "decisions",
            "Clinical usefulness",
            [decision_table(decisions, late)],
            [decision_figure(decisions)],
        ),
    ]
    by_pattern = {"pattern": groups.pop("pattern")} if "pattern" in groups else {}
    for name, title, chosen in (
        ("patterns", "By what was observed", by_pattern),
        ("subgroups", "Within groups of patients", groups),
    ):
        if chosen:
            sections.append(_group_section(name, title, group_rows(labelled, chosen, days, draws)))
    known = checklist(model, store, labelled, horizons, [*by_pattern, *groups])
    return [*sections, Section("reporting", "Reporting", [tripod_table(known)])]


def _competing_section(labelled: Labelled, other: Competing, horizons: list[float], draws: Draws) -> Section:
    rows = competing_rows(labelled, other, horizons, draws)
    table = competing_table(rows, labelled.task.name, other.endpoint, labelled.causes is not None)
    figures = [incidence_figure(labelled, other), competing_decision_figure(labelled, other, horizons)]
    return Section("competing", "Competing events", [table], figures)


def _stability_section(
    labelled: Labelled, store: Store, horizons: list[float], device: torch.device
) -> Section | None:
    """At the middle horizon; None for a model without bootstrap heads."""
    days = horizons[len(horizons) // 2]
    drawn, chance = bootstrap_chances(labelled, store, days, device), labelled.chance(days)
    known = ~np.isnan(chance)
    if not len(drawn):
        return None
    rows = stability_rows(chance[known], drawn[:, known], days)
    return Section("stability", "Instability", [stability_table(rows)], [stability_figure(rows)])


def _group_section(name: str, title: str, rows: pd.DataFrame) -> Section:
    return Section(name, title, [groups_table(name, title, rows)])


def _flow(store: Store, labelled: Labelled) -> dict[str, Any]:
    """From everybody in the cohort to those who are judged."""
    left = len(store.patients)
    steps: list[Mapping[str, Any]] = [
        {"name": "in the cohort", "patients": left, "left_out": 0, "reason": ""}
    ]
    for place, (reason, count) in enumerate(labelled.left_out.items(), start=1):
        left -= count
        name = "are judged" if place == len(labelled.left_out) else "remain"
        steps.append({"name": name, "patients": left, "left_out": count, "reason": reason})
    title = f"validation on {store.manifest['name']}"
    return {"cohort": {"title": title}, "tasks": {labelled.task.name: steps}}


def _write_section(section: Section, out: Path, place: int, facts: Mapping[str, Any]) -> None:
    write_results(section.tables, section.figures, out / section.name)
    manifest = {
        "study": section.name,
        "title": section.title,
        "order": place,
        "preset": "",
        "protocol": "",
        "arms": [],
        "compute_seconds": facts["wall_seconds"],
        **facts,
        "notes": section.notes,
        "not_fitted": {},
        "tables": [table.name for table in section.tables],
        "figures": [figure.name for figure in section.figures],
    }
    write_json(out / section.name / MANIFEST, manifest)
