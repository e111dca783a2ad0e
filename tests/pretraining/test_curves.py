"""The figure of a pretraining run: every loss, retrieval against chance, gaps where nothing was measured."""

import math
from typing import Any

from prime.pretraining.curves import curves
from prime.render.figure import Panel


def row(epoch: int, retrieval: dict[str, float]) -> dict[str, Any]:
    losses = {f"{split}/{part}": 0.1 * epoch for split in ("train", "validation") for part in ("a", "total")}
    return {"epoch": epoch, **losses, "retrieval": retrieval, "cancer_type_knn": 0.4, "spread": 0.9}


def test_every_curve_is_there_and_a_pair_that_was_not_measured_is_a_gap() -> None:
    measured = {"image-rna": 0.5, "image-rna/chance": 0.02, "rna-report": 0.3, "rna-report/chance": 0.05}
    figure = curves([row(0, {"image-rna": 0.25, "image-rna/chance": 0.02}), row(1, measured)])
    panels = [panel for panel in figure.panels if isinstance(panel, Panel)]
    assert [panel.title for panel in panels] == ["a loss", "total loss", "retrieval, top-1", "embeddings"]
    assert [[s.label for s in panel.series] for panel in panels[:2]] == [["train", "validation"]] * 2
    assert all(series.x == (1, 2) for panel in panels for series in panel.series)
    image, report = panels[2].series
    assert (image.label, image.y) == ("image-rna", (0.25, 0.5))
    assert report.label == "rna-report"
    assert math.isnan(report.y[0])
    assert report.y[1] == 0.3
    assert [line.value for line in panels[2].references] == [0.02, 0.05]
