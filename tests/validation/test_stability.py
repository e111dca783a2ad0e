"""Instability of a validation's risks over bootstrap heads."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from prime.predict.model_folder import load_model
from prime.predict.prognosis import HeadDraws
from prime.validation.labelled import from_landmark, read_labelled
from prime.validation.stability import bootstrap_chances, stability_figure, stability_rows, stability_table
from tests.validation.conftest import Work

CPU = torch.device("cpu")
DRAWS = 50  # of prime fit


@pytest.mark.parametrize("binary", [False, True])
def test_draws_that_are_the_head_itself_change_nothing(work: Work, binary: bool) -> None:
    model = load_model(work.binary_dir if binary else work.model_dir)
    days = 400.0
    head = model.prognosis.head
    same = HeadDraws(np.stack([head.shared] * 2), {n: np.stack([w] * 2) for n, w in head.own.items()})
    model = replace(model, prognosis=replace(model.prognosis, draws=same))
    labelled = read_labelled(model, work.store)
    drawn = bootstrap_chances(labelled, work.store, days, CPU)
    np.testing.assert_allclose(drawn, np.stack([labelled.chance(days)] * 2), atol=1e-9)
    rows = stability_rows(labelled.chance(days), drawn, days)
    assert rows["change"].max() < 1e-9
    if not binary:
        late = from_landmark(labelled, 100.0)
        drawn = bootstrap_chances(late, work.store, days, CPU)
        np.testing.assert_allclose(drawn[0], late.chance(days), atol=1e-9)


def test_the_table_and_figure_say_what_the_draws_do(work: Work) -> None:
    labelled = read_labelled(work.model, work.store)
    drawn = bootstrap_chances(labelled, work.store, 365.25, CPU)
    assert drawn.shape == (DRAWS, 140)
    rows = stability_rows(labelled.chance(365.25), drawn, 365.25)
    first = np.abs(drawn[:, 0] - labelled.chance(365.25)[0]).mean()
    assert rows["change"].iloc[0] == pytest.approx(first)
    crossed = ((drawn >= 0.3) != (labelled.chance(365.25) >= 0.3)).mean()
    assert rows["changed_0.3"].mean() == pytest.approx(crossed)
    display = stability_table(rows).display["1 year"]
    assert display["patients"] == "140"
    assert display["decisions that change at 30 %"] == f"{100 * crossed:.1f} %"
    assert (rows["low"] <= rows["high"]).all()
    many = pd.concat([rows, rows], ignore_index=True)
    (panel,) = stability_figure(many).panels
    assert len(panel.series[0].x) == 150  # type: ignore[union-attr]
