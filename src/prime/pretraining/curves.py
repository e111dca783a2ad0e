"""The figure of a pretraining run."""

import math
from pathlib import Path
from typing import Any

from prime.files import write_text
from prime.render.draw import svg
from prime.render.figure import Figure, Panel, Reference, Series

Log = list[dict[str, Any]]


def plot_curves(log: Log, path: Path) -> None:
    """Draw the losses, the retrieval and the health of a run by epoch as SVG; `log` has a row an epoch."""
    write_text(path, svg(curves(log)))


def curves(log: Log) -> Figure:
    """A panel a loss, one of the retrieval between modalities where it is logged, one of the embeddings."""
    parts = [name.removeprefix("train/") for name in log[0] if name.startswith("train/")]
    losses = [
        _panel(
            log,
            f"{part} loss",
            {split: [row[f"{split}/{part}"] for row in log] for split in ("train", "validation")},
        )
        for part in parts
    ]
    health = _panel(
        log,
        "embeddings",
        {
            "cancer type, 5-NN accuracy": [row["cancer_type_knn"] for row in log],
            "spread": [row["spread"] for row in log],
        },
        y_range=(0.0, 1.05),
    )
    panels = (*losses, *_retrieval(log), health)
    return Figure("curves", "", "", panels, columns=min(4, len(panels)), share_y=False)


def _retrieval(log: Log) -> list[Panel]:
    """None without the alignment loss, or where no two modalities meet in a patient."""
    last = log[-1].get("retrieval", {})
    pairs = [pair for pair in last if not pair.endswith("/chance")]
    if not pairs:
        return []
    chances = dict.fromkeys(last[f"{pair}/chance"] for pair in pairs)
    return [
        _panel(
            log,
            "retrieval, top-1",
            {pair: [row["retrieval"].get(pair) for row in log] for pair in pairs},
            notes=("dotted: chance of each pair",),
            references=tuple(Reference(chance) for chance in chances),
        )
    ]


def _panel(log: Log, title: str, values: dict[str, list[float | None]], **look: Any) -> Panel:
    """The values of each label by epoch, counted from 1; None is a gap."""
    epochs = [row["epoch"] + 1 for row in log]
    series = tuple(
        Series(label, epochs, [math.nan if value is None else value for value in found])
        for label, found in values.items()
    )
    return Panel(title, "epoch", "", series, **look)
