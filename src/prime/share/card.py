"""The model card: what a model's manifest knows, and blanks for what only its authors know."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from prime.days import YEAR
from prime.predict.model_folder import FittedModel
from prime.serve.card import card as facts_of
from prime.share.development import development_items
from prime.validation.tripod import BLANK, ITEMS

UNRECORDED = "not recorded"


def card_page(model: FittedModel) -> str:
    """The card as Markdown with the front matter of the model hub.

    `model` is read from the folder that the card is for.
    """
    facts, manifest = facts_of(model), model.checkpoint.manifest
    return (
        _environment()
        .get_template("card.md.j2")
        .render(
            facts=facts,
            title=_title(facts),
            predicts=_predicts(facts["task"]),
            metric="AUROC" if facts["task"].get("horizon_days") else "C-index",
            manifest=manifest,
            pretrained_on=_pretrained_on(manifest),
            sources=[{"name": name, **source} for name, source in facts["sources"].items()],
            scores=[{"pattern": name, **_score(found)} for name, found in facts["cross_validation"].items()],
            patients_inside=model.knows_patients,
            tripod=[(item, what, development_items(model).get(item)) for item, what in ITEMS.items()],
            blank=BLANK,
            unrecorded=UNRECORDED,
        )
    )


def _title(facts: dict[str, Any]) -> str:
    return f"{_predicts(facts['task'])} in {', '.join(facts['cancer_types'])}"


def _predicts(task: dict[str, Any]) -> str:
    horizon, landmark = task.get("horizon_days"), task.get("landmark_days")
    text = f"Risk of {task['endpoint']}"
    text += f" within {horizon / YEAR:.3g} years" if horizon else ""
    text += f", of patients followed beyond {landmark / YEAR:.3g} years" if landmark else ""
    return text + (f", beside {', '.join(task['competing'])}" if task.get("competing") else "")


def _pretrained_on(manifest: dict[str, Any]) -> str:
    before = manifest.get("pretraining", {})
    if "patients" in before:
        return f"{before['patients']:,}"
    seen = [before[name] for name in ("train_patients", "validation_patients") if name in before]
    return f"{sum(map(len, seen)):,}" if seen else UNRECORDED


def _score(found: dict[str, Any]) -> dict[str, Any]:
    """A pattern's value with its interval, as texts."""
    value = found.get("c_index", found.get("auroc"))
    low, high = found.get("low"), found.get("high")
    interval = UNRECORDED if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return {**found, "value": f"{value:.3f}", "interval": interval}


def cell(value: object) -> str:
    """A text in a Markdown table or line: one line, no column of its own, no HTML."""
    text = " ".join(str(value).split())
    for sign in ("\\", "|", "*", "_", "`", "[", "]"):
        text = text.replace(sign, f"\\{sign}")
    return text.replace("&", "&amp;").replace("<", "&lt;")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("prime.share"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["cell"] = cell
    return made
