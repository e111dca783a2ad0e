"""The demo's figures."""

from pathlib import Path

import pandas as pd

from prime.evaluation.summary import MACRO, primary_macro
from prime.files import write_text
from prime.render.draw import svg
from prime.render.figure import Figure, Panel, Reference, Series

METHODS = {
    ("pretrained", "lp_missing"): ("pretrained, linear probe", "#0b5394"),
    ("pretrained", "ft_missing"): ("pretrained, fine-tuned", "#6fa8dc"),
    ("scratch", "lp_missing"): ("from scratch, linear probe", "#b45f06"),
    ("scratch", "ft_missing"): ("from scratch, fine-tuned", "#f6b26b"),
}


def plot_patterns(summary: pd.DataFrame, oracle: pd.DataFrame, path: Path) -> None:
    """Mean C-index by the modalities that the model sees, with 95% intervals over folds, and the oracle's."""
    macro = primary_macro(summary)
    rows_of = {key: part.set_index("pattern") for key, part in macro.groupby(["init", "mode"])}
    ceiling = oracle[oracle["cohort"] == MACRO].set_index("pattern")["mean"]
    names = list(ceiling.index)
    places = range(len(names))
    series: list[Series] = []
    for key, (label, colour) in METHODS.items():
        if key in rows_of:
            mean, low, high = rows_of[key].reindex(names)[["mean", "low", "high"]].to_numpy().T
            series.append(Series(label, places, mean, low, high, kind="points", colour=colour))
    truth = "oracle: the true hazard that these modalities show"
    series.append(Series(truth, places, ceiling.to_numpy(), kind="points", colour="#000000"))
    panel = Panel(
        "",
        "what the model may see of a test patient",
        "C-index, mean over cancer types",
        tuple(series),
        categories=tuple(_pattern_label(name) for name in names),
        references=(Reference(0.5, "chance"),),
    )
    title = "Prognosis under missing modalities (95% intervals over folds)"
    write_text(path, svg(Figure("patterns", title, "", (panel,))))


def _pattern_label(name: str) -> str:
    if name == "all":
        return "everything"
    return f"no {name[1:]}" if name.startswith("-") else f"{name} only"


def plot_survival(predictions: pd.DataFrame, chosen: list[str], path: Path) -> None:
    """Predicted survival of a few patients, labelled with the modalities that were used and imputed."""
    known = [c for c in map(str, predictions) if c.startswith("survival_") and c.endswith("m")]
    at = [0.0, *(float(column.removeprefix("survival_").removesuffix("m")) for column in known)]
    records = predictions.set_index("patient_id").to_dict("index")
    series: list[Series] = []
    for patient in chosen:
        row = records[patient]
        imputed = str(row["imputed"]).replace("+", ", ")
        label = f"{patient}: {str(row['pattern']).replace('+', ' + ')}"
        label += f" ({imputed} imputed)" if imputed else ""
        label += f", risk percentile {float(row['percentile']):.0f}"
        series.append(Series(label, at, [1.0, *(float(row[column]) for column in known)]))
    panel = Panel(
        "",
        "months",
        "predicted probability of being alive",
        tuple(series),
        y_range=(0.0, 1.03),
        references=(Reference(0.5),),
    )
    title = "Unseen patients, scored with whatever they have"
    write_text(path, svg(Figure("survival_curves", title, "", (panel,))))
