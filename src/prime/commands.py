"""What each command does; each imports what it needs only when it runs."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from prime.errors import InputError, first_line

if TYPE_CHECKING:
    from prime.cohort.config import CohortConfig
    from prime.settings.experiment import ExperimentConfig
    from prime.store.store import Store
    from prime.study.context import Other

Arguments = argparse.Namespace


def say(line: str) -> None:
    """A remark for the user, kept apart from results on standard output."""
    print(line, file=sys.stderr)


# What the commands share ------------------------------------------------------------------------------------


def read_experiment(arguments: Arguments, more: tuple[str, ...] = ()) -> "ExperimentConfig":
    """The experiment file with the command's `--set` overrides."""
    from prime.settings.experiment import load_experiment

    return load_experiment(arguments.config, (*arguments.set, *more))


def open_experiment_store(config: "ExperimentConfig") -> "Store":
    """The packed cohort of an experiment."""
    from prime.cohort.config import load_cohort

    return open_cohort_store(load_cohort(Path(config.cohort), config.root), config.store)


def open_cohort_store(cohort: "CohortConfig", folder: str | Path | None) -> "Store":
    """A cohort's store in `folder`, or where it goes by default."""
    from prime.store.opening import default_store, open_or_pack

    return open_or_pack(cohort, default_store(cohort) if folder is None else Path(folder), say)


def set_threads(arguments: Arguments) -> None:
    if arguments.threads is not None:
        import torch

        torch.set_num_threads(arguments.threads)


# The commands -----------------------------------------------------------------------------------------------


def run_check(arguments: Arguments) -> int:
    from rich.console import Console

    from prime.cohort.check.check import check, exit_status, render
    from prime.cohort.config import load_cohort

    report = check(load_cohort(arguments.cohort, arguments.root), progress=sys.stderr.isatty())
    if arguments.json:
        import json

        print(json.dumps(report.to_json(), indent=2))
    else:
        render(report, Console())
    return exit_status(report)


def run_pack(arguments: Arguments) -> int:
    from prime.cohort.config import load_cohort
    from prime.store.packing import pack
    from prime.store.store import Store

    store = Store.open(pack(load_cohort(arguments.cohort, arguments.root), arguments.out))
    rows = ", ".join(f"{name} {source.patients:,}" for name, source in store.sources.items())
    print(f"{arguments.out}: {len(store.patients):,} patients; with each source: {rows}")
    return 0


def run_simulate(arguments: Arguments) -> int:
    from prime.demo.simulate import simulate

    print(f"{simulate(arguments.folder, arguments.patients, arguments.seed)}: {arguments.patients} patients")
    return 0


def run_pretrain(arguments: Arguments) -> int:
    config = read_experiment(arguments)
    set_threads(arguments)
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from prime.cohort.exclusions import read_exclusions
    from prime.pretraining.devices import Devices
    from prime.pretraining.loop import pretrain

    store = open_experiment_store(config)
    excluded: frozenset[str] = frozenset()
    if arguments.exclude is not None:
        excluded = read_exclusions(arguments.exclude, [str(p) for p in store.patients["patient_id"]])
    devices = Devices(arguments.devices, arguments.nodes, arguments.accelerator, arguments.precision)
    try:
        pretrain(store, config, arguments.out, excluded, devices)
    except MisconfigurationException as error:
        raise InputError(f"--accelerator, --devices or --nodes: {first_line(error)}") from None
    print(f"{arguments.out}: pretrained; the losses are in {arguments.out / 'curves.svg'}")
    return 0


def run_evaluate(arguments: Arguments) -> int:
    folds = () if arguments.folds is None else (f"evaluate.folds={arguments.folds.resolve()}",)
    config = read_experiment(arguments, folds)
    set_threads(arguments)
    from prime.downstream.grid import evaluate

    evaluate(open_experiment_store(config), config, arguments.checkpoint, arguments.out)
    print_summary(arguments.out)
    return 0


def print_summary(out: Path) -> None:
    """The mean C-index or AUROC over cohorts, a row a method and a column a pattern."""
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from prime.evaluation.summary import macro_table

    table = macro_table(pd.read_csv(out / "summary.csv"))
    shown = Table(title=f"Mean over cohorts ({out / 'summary.csv'})", title_justify="left")
    for column in ("", *table.columns):
        shown.add_column(str(column), justify="right" if column else "left")
    for label, values in zip(table.index, table.to_numpy(dtype=float).tolist(), strict=True):
        shown.add_row(" ".join(map(str, label)), *(f"{value:.3f}" for value in values))
    Console().print(shown)


def run_fit(arguments: Arguments) -> int:
    config = read_experiment(arguments)
    set_threads(arguments)
    from prime.predict.fit import fit

    fit(
        open_experiment_store(config),
        config,
        arguments.checkpoint,
        tuple(arguments.cohort_name),
        arguments.out,
        arguments.task,
    )
    print(f"{arguments.out}: fitted; score new patients with prime predict --model {arguments.out}")
    return 0


def run_predict(arguments: Arguments) -> int:
    set_threads(arguments)
    from prime.cohort.config import load_cohort
    from prime.predict.model_folder import load_model
    from prime.predict.predict import predict

    load_model(arguments.model)  # before any packing
    store = open_cohort_store(load_cohort(arguments.cohort, arguments.root), arguments.store)
    table = predict(arguments.model, store, arguments.out)
    scored = int((table["status"] == "scored").sum())
    print(f"{arguments.out}: {scored:,} patients scored, {len(table) - scored:,} listed without a score")
    return 0


def run_study(arguments: Arguments) -> int:
    config = read_experiment(arguments)
    from rich.console import Console

    from prime.machines import Machines
    from prime.study.context import Context
    from prime.study.registry import choose
    from prime.study.run import read_reference, run_studies
    from prime.study.sweeps import read_setting

    studies = choose(arguments.name)
    reference = None if arguments.reference is None else read_reference(arguments.reference)
    settings = tuple(read_setting(text) for text in arguments.setting)
    if (arguments.name == "sweep") != bool(settings):
        raise InputError("--setting key=a,b and study sweep go together: --setting model.queries=2,4,8")
    store = open_experiment_store(config)
    also = tuple(_other(text) for text in arguments.also)
    context = Context(store, config, arguments.preset, reference, settings, arguments.protocol, also)
    machines = Machines(arguments.jobs, arguments.threads, arguments.cluster)
    command = " ".join(["prime", *sys.argv[1:]])
    return 1 if run_studies(studies, context, arguments.out, machines, command, Console()) else 0


def _other(text: str) -> "Other":
    """`--also NAME=CONFIG.yaml`: another experiment and its data."""
    from prime.settings.experiment import load_experiment
    from prime.study.context import Other

    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise InputError(f"--also {text}: write it as NAME=CONFIG.yaml, for example clinical=clinical.yaml")
    config = load_experiment(Path(path))
    return Other(name, open_experiment_store(config), config)


def run_methods(arguments: Arguments) -> int:
    from shutil import get_terminal_size

    from prime.catalogue.listing import methods_list

    if arguments.markdown is not None:
        from prime.files import write_text
        from prime.study.methods_page import methods_page

        write_text(arguments.markdown, methods_page())
        print(arguments.markdown)
        return 0
    counts: dict[str, str] = {}
    if arguments.config is not None:
        from prime.study.methods_page import parameter_counts

        config = read_experiment(arguments)
        counts = parameter_counts(config, open_experiment_store(config))
    print(methods_list(get_terminal_size().columns, counts))
    return 0


def run_report(arguments: Arguments) -> int:
    from prime.report import write_markdown, write_report

    print(write_report(arguments.folder, arguments.out))
    if arguments.markdown is not None:
        print(write_markdown(arguments.folder, arguments.markdown))
    return 0


def run_demo(arguments: Arguments) -> int:
    set_threads(arguments)
    from prime.demo import run

    run(arguments.out)
    return 0


def run_config(arguments: Arguments) -> int:
    from prime.settings.template import experiment_template

    print(experiment_template(), end="")
    return 0
