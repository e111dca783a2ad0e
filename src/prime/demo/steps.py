"""The steps of the demo: simulate, check, pack, pretrain, evaluate, fit, predict, unless they are done."""

import shlex
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from prime.cohort.check.check import check, render
from prime.cohort.config import load_cohort
from prime.demo.figures import plot_patterns, plot_survival
from prime.demo.oracle import oracle_summary, true_risk
from prime.demo.settings import EXPERIMENT
from prime.demo.simulate import simulate
from prime.downstream.grid import evaluate
from prime.errors import InputError
from prime.evaluation.metrics import Score, concordance
from prime.evaluation.summary import MACRO, primary_macro
from prime.files import replacing, write_csv, write_text
from prime.parsing import read_json
from prime.predict.asked import Asked
from prime.predict.fit import fit
from prime.predict.predict import predict
from prime.pretraining.loop import pretrain
from prime.settings.experiment import ExperimentConfig, load_experiment
from prime.store.opening import open_or_pack
from prime.store.store import Store

SEED, NEW_SEED = 0, 3
CURVE = (3.0, 6.0, 12.0, 18.0, 24.0, 36.0, 48.0, 60.0)  # months of the predicted curves
ROWS = {
    ("pretrained", "lp_missing"): "pretrained LP",
    ("pretrained", "ft_missing"): "pretrained FT",
    ("scratch", "lp_missing"): "scratch LP",
    ("scratch", "ft_missing"): "scratch FT",
}


def _simulated(folder: Path, patients: int, seed: int) -> Path:
    """The cohort file of a simulated cohort, made where it is not there yet."""
    if (folder / "cohort.yaml").is_file():
        facts = read_json(folder / "truth.json")
        if (facts.get("patients"), facts.get("seed")) != (patients, seed):
            raise InputError(f"{folder}: holds another simulated cohort; name another --out")
        return folder / "cohort.yaml"
    return simulate(folder, patients, seed)


def _checked(path: Path, console: Console) -> None:
    report = check(load_cohort(path), progress=False)
    render(report, console)
    if report.errors:
        raise InputError(f"{path}: the check found errors; see above")


def _store(cohort: Path, folder: Path, console: Console) -> Store:
    return open_or_pack(load_cohort(cohort), folder, lambda line: console.print(line, highlight=False))


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.3f}"


def result_table(summary: pd.DataFrame, oracle: pd.DataFrame) -> Table:
    """Mean C-index over cancer types: a row per way of training, one for the oracle, a column per pattern."""
    table = Table(
        title="C-index of held-out patients, mean over cancer types, by what may be seen",
        caption="LP: linear probe, FT: fine-tuning, trained with modalities left out; oracle: true hazard",
        title_justify="left",
        caption_justify="left",
    )
    macro = primary_macro(summary)
    means = {key: part.set_index("pattern")["mean"] for key, part in macro.groupby(["init", "mode"])}
    ceiling = oracle[oracle["cohort"] == MACRO].set_index("pattern")["mean"]
    table.add_column("")
    for name in ceiling.index:
        table.add_column(str(name), justify="right")
    for key, label in ROWS.items():
        if key in means:
            table.add_row(label, *(_cell(value) for value in means[key].reindex(ceiling.index)))
    table.add_section()
    table.add_row("oracle", *(_cell(value) for value in ceiling))
    return table


def _shown_patients(predictions: pd.DataFrame) -> list[str]:
    """The complete patients of lowest and highest risk, and one each with two modalities and with one."""
    scored = predictions[predictions["status"] == "scored"].sort_values("percentile", kind="stable")
    pieces = scored["pattern"].str.count(r"\+").to_numpy()
    ids = scored["patient_id"].to_numpy(dtype=object)
    whole, two, one = (ids[pieces == number].tolist() for number in (2, 1, 0))
    return list(dict.fromkeys([*whole[:1], *whole[-1:], *two[-1:], *one[:1]]))


def unseen_score(store: Store, predictions: pd.DataFrame, endpoint: str) -> Score:
    """Harrell's C of the predicted risks for the outcomes of the unseen patients."""
    time_days = store.patients[f"{endpoint}_time_days"].to_numpy(dtype=np.float64)
    event = store.patients[f"{endpoint}_event"].to_numpy(dtype=np.float64) == 1
    usable = (predictions["status"] == "scored").to_numpy() & ~np.isnan(time_days)
    usable &= ~store.patients["excluded"].to_numpy(dtype=bool)
    return concordance(time_days, event, predictions["risk"].to_numpy(dtype=np.float64), usable)


def _predict_unseen(out: Path, patients: int, endpoint: str, console: Console) -> None:
    cohort = _simulated(out / "unseen", patients, NEW_SEED)
    store = _store(cohort, out / "unseen_store", console)
    found = predict(out / "model", store, out / "predictions.csv", asked=Asked(CURVE), top=5)
    predictions = found.patients
    plot_survival(predictions, _shown_patients(predictions), out / "survival_curves.svg")
    score = unseen_score(store, predictions, endpoint)
    every = (True,) * len(store.modalities)
    truth = predictions.assign(risk=true_risk(store, cohort.parent, every))
    best = unseen_score(store, truth, endpoint)
    scored = int((predictions["status"] == "scored").sum())
    console.print(
        f"{len(predictions)} unseen patients: {scored} scored with whatever they have,"
        f" {len(predictions) - scored} with nothing, listed as such. C-index {score.value:.3f}"
        f" (true hazard {best.value:.3f}), {score.n} patients, {score.events} events.",
        highlight=False,
    )


def _evaluated(
    store: Store, config: ExperimentConfig, cohort: Path, out: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The summary of the evaluation and that of the oracle, which is saved too."""
    evaluate(store, config, out / "pretrained", out / "evaluation")
    summary = pd.read_csv(out / "evaluation" / "summary.csv")
    predictions = pd.read_csv(out / "evaluation" / "predictions.csv")
    oracle = oracle_summary(store, cohort.parent, predictions)
    write_csv(out / "evaluation" / "oracle.csv", oracle)
    plot_patterns(summary, oracle, out / "patterns.svg")
    return summary, oracle


def run(
    out: Path, patients: int = 300, unseen: int = 40, overrides: tuple[str, ...] = (),
    console: Console | None = None,
) -> None:  # fmt: skip
    """Run all steps in the folder `out` and print a table of results; a second run skips what is done.

    `overrides` are settings of the experiment as `key=value`. Raises InputError where `out` holds the demo
    with other settings.
    """
    screen = console or Console()
    started = time.perf_counter()

    def step(text: str) -> None:
        screen.print(f"\n[bold]{text}[/bold]  ({time.perf_counter() - started:.0f} s)", highlight=False)

    step(f"Simulating {patients} patients")
    cohort = _simulated(out / "cohort", patients, SEED)
    write_text(out / "experiment.yaml", EXPERIMENT)
    config = load_experiment(out / "experiment.yaml", overrides)
    step("Checking the cohort")
    _checked(cohort, screen)
    step("Packing")
    store = _store(cohort, out / "store", screen)
    step("Pretraining without labels on everyone who has anything")
    pretrain(store, config, out / "pretrained")
    step("Cross-validating: linear probes and fine-tuning, pretrained and from scratch, every pattern")
    summary, oracle = _evaluated(store, config, cohort, out)
    step("Fitting on the whole cohort, and predicting for unseen patients with pieces missing")
    fit(store, config, out / "pretrained", ("all",), out / "model")
    _predict_unseen(out, unseen, config.evaluate.tasks[0].endpoint, screen)
    with replacing(out / "curves.svg") as temporary:
        temporary.write_bytes((out / "pretrained" / "curves.svg").read_bytes())
    screen.print()
    screen.print(result_table(summary, oracle))
    files = ("predictions.csv", "curves.svg", "patterns.svg", "survival_curves.svg")
    screen.print(f"In {out}: {', '.join(files)}, evaluation/  ({time.perf_counter() - started:.0f} s)")
    look = f"prime explore {shlex.quote(str(out / 'model'))} --cohort {shlex.quote(str(cohort))}"
    screen.print("Look at these patients in a browser (pip install 'prime-prognosis[serve]'):", markup=False)
    screen.print(look, markup=False, highlight=False, soft_wrap=True)
