"""The command line: one function a command, each importing what it needs only when it runs."""

import argparse
import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from prime import __version__
from prime.errors import InputError
from prime.libraries import quiet_libraries

if TYPE_CHECKING:
    from prime.cohort.config import CohortConfig
    from prime.cohort.store import Store
    from prime.training.config import ExperimentConfig

Arguments = argparse.Namespace
FILE_TROUBLE = (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)


def say(line: str) -> None:
    """A remark for the user, kept apart from results on standard output."""
    print(line, file=sys.stderr)


# What the commands share ------------------------------------------------------------------------------------


def read_experiment(arguments: Arguments, more: tuple[str, ...] = ()) -> "ExperimentConfig":
    """The experiment file with the command's `--set` overrides."""
    from prime.training.config import load_experiment

    return load_experiment(arguments.config, (*arguments.set, *more))


def open_experiment_store(config: "ExperimentConfig") -> "Store":
    """The packed cohort of an experiment."""
    from prime.cohort.config import load_cohort

    return open_cohort_store(load_cohort(Path(config.cohort), config.root), config.store)


def open_cohort_store(cohort: "CohortConfig", folder: str | Path | None) -> "Store":
    """A cohort's store in `folder`, or where it goes by default."""
    from prime.cohort.opening import default_store, open_or_pack

    return open_or_pack(cohort, default_store(cohort) if folder is None else Path(folder), say)


def set_threads(arguments: Arguments) -> None:
    if arguments.threads is not None:
        import torch

        torch.set_num_threads(arguments.threads)


# The commands -----------------------------------------------------------------------------------------------


def run_check(arguments: Arguments) -> int:
    from rich.console import Console

    from prime.cohort.check import check, exit_status, render
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
    from prime.cohort.store import Store, pack

    store = Store.open(pack(load_cohort(arguments.cohort, arguments.root), arguments.out))
    rows = ", ".join(f"{name} {source.patients:,}" for name, source in store.sources.items())
    print(f"{arguments.out}: {len(store.patients):,} patients; with each source: {rows}")
    return 0


def run_simulate(arguments: Arguments) -> int:
    from prime.cohort.simulate import simulate

    print(f"{simulate(arguments.folder, arguments.patients, arguments.seed)}: {arguments.patients} patients")
    return 0


def run_pretrain(arguments: Arguments) -> int:
    config = read_experiment(arguments)
    set_threads(arguments)
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from prime.cohort.exclusions import read_exclusions
    from prime.training.pretrain import Machine, pretrain

    store = open_experiment_store(config)
    excluded: frozenset[str] = frozenset()
    if arguments.exclude is not None:
        excluded = read_exclusions(arguments.exclude, [str(p) for p in store.patients["patient_id"]])
    machine = Machine(arguments.devices, arguments.nodes, arguments.accelerator, arguments.precision)
    try:
        pretrain(store, config, arguments.out, excluded, machine)
    except MisconfigurationException as error:
        raise InputError(f"--accelerator, --devices or --nodes: {str(error).splitlines()[0]}") from None
    print(f"{arguments.out}: pretrained; the losses are in {arguments.out / 'curves.png'}")
    return 0


def run_evaluate(arguments: Arguments) -> int:
    folds = () if arguments.folds is None else (f"evaluate.folds={arguments.folds.resolve()}",)
    config = read_experiment(arguments, folds)
    set_threads(arguments)
    from prime.training.evaluate import evaluate

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

    from prime.study.context import Context
    from prime.study.jobs import Machines
    from prime.study.registry import choose
    from prime.study.run import read_reference, run_studies
    from prime.study.sweeps import read_setting

    studies = choose(arguments.name)
    reference = None if arguments.reference is None else read_reference(arguments.reference)
    settings = tuple(read_setting(text) for text in arguments.setting)
    if (arguments.name == "sweep") != bool(settings):
        raise InputError("--setting key=a,b and study sweep go together: --setting model.queries=2,4,8")
    context = Context(open_experiment_store(config), config, arguments.preset, reference, settings)
    machines = Machines(arguments.jobs, arguments.threads or 1, arguments.cluster)
    run_studies(studies, context, arguments.out, machines, " ".join(["prime", *sys.argv[1:]]), Console())
    return 0


def run_report(arguments: Arguments) -> int:
    from prime.study.report import write_markdown, write_report

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
    from prime.training.template import experiment_template

    print(experiment_template(), end="")
    return 0


# Their arguments --------------------------------------------------------------------------------------------


def positive(text: str) -> int:
    """A whole number from 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


positive.__name__ = "whole number from 1"


class Parser(argparse.ArgumentParser):
    """argparse, with errors that look like ours and end in status 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n{self.format_usage()}")


def _add_cohort_commands(add: "Adder") -> None:
    command = add("check", run_check, "look through a cohort: what is there, what would spoil results")
    _cohort(command)
    command.add_argument("--json", action="store_true", help="print the report as JSON")

    command = add("pack", run_pack, "pack a cohort into a memory-mapped store")
    _cohort(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the store")

    command = add("simulate", run_simulate, "write a small made-up cohort with known truth")
    command.add_argument("folder", type=Path, metavar="DIR", help="a new folder, or one simulated before")
    command.add_argument("--patients", type=int, default=300, metavar="N", help="how many (300)")
    command.add_argument("--seed", type=int, default=0, metavar="S", help="draws the patients (0)")


def _add_training_commands(add: "Adder") -> None:
    command = add("pretrain", run_pretrain, "pretrain on everyone who has anything, without labels")
    _experiment(command)
    command.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run; resumed")
    command.add_argument(
        "--exclude", type=Path, metavar="FILE",
        help="patients to keep out: one id a line, or a csv with a column patient_id",
    )  # fmt: skip
    command.add_argument("--devices", type=positive, default=1, metavar="N", help="processes a node (1)")
    command.add_argument("--nodes", type=positive, default=1, metavar="N", help="machines (1)")
    accelerators = ("auto", "cpu", "gpu", "cuda", "mps")
    command.add_argument("--accelerator", default="auto", choices=accelerators, help="where to run (auto)")
    command.add_argument(
        "--precision", choices=("bf16-mixed", "32-true"), help="instead of pretrain.precision"
    )

    command = add("evaluate", run_evaluate, "cross-validate survival heads under every missing pattern")
    _experiment(command)
    command.add_argument(
        "--checkpoint", type=Path, metavar="RUN", help="a pretraining run; not needed for scratch alone"
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the tables; resumed"
    )
    command.add_argument("--folds", type=Path, metavar="FILE", help="folds (csv) or splits (json)")


def _add_prediction_commands(add: "Adder") -> None:
    command = add("fit", run_fit, "fit a survival head on a whole cohort and save a model folder")
    _experiment(command)
    command.add_argument("--checkpoint", type=Path, required=True, metavar="RUN", help="a pretraining run")
    command.add_argument(
        "--cohort-name", nargs="+", required=True, metavar="NAME", help="cancer types to fit on, or all"
    )
    command.add_argument("--task", metavar="NAME", help="a task of the experiment (its first)")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model folder")

    command = add("predict", run_predict, "score new patients with whatever they have")
    command.add_argument("--model", type=Path, required=True, metavar="DIR", help="folder of prime fit")
    command.add_argument("--cohort", type=Path, required=True, metavar="COHORT.yaml", help="the patients")
    command.add_argument("--out", type=Path, required=True, metavar="PREDS.csv", help="the table to write")
    command.add_argument("--root", metavar="DIR", help="instead of the cohort file's root")
    command.add_argument("--store", type=Path, metavar="DIR", help="where the cohort is packed")
    _threads(command)

    command = add("demo", run_demo, "the whole way on a simulated cohort, in minutes")
    command.add_argument("--out", type=Path, default=Path("runs/demo"), metavar="DIR", help="(runs/demo)")
    command.add_argument(
        "--threads", type=positive, default=1, metavar="N",
        help="processor threads (1: the model is small, and the table is then the same everywhere)",
    )  # fmt: skip
    add("config", run_config, "print an experiment file with every setting and its default")


def _add_study_commands(add: "Adder") -> None:
    command = add("study", run_study, "make a table or figure of the paper, or all of them")
    command.add_argument("name", metavar="NAME", help="table1 .. table5, figure2 .. figure4, all; see docs")
    command.add_argument(
        "--config", type=Path, required=True, metavar="CONFIG.yaml", help="experiment file; see prime config"
    )
    command.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change a setting"
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="results; taken up again")
    command.add_argument(
        "--preset", choices=("quick", "full"), default="full", help="size of the grid (full)"
    )
    command.add_argument(
        "--jobs", type=positive, metavar="N", help="fits at once (1; on a cluster all processors)"
    )
    command.add_argument("--cluster", choices=("ray",), help="run the fits on a Ray cluster")
    command.add_argument("--reference", type=Path, metavar="FILE.csv", help="others' results to print beside")
    command.add_argument(
        "--setting", nargs="+", action="extend", default=[], metavar="KEY=A,B", help="what study sweep varies"
    )
    _threads(command)
    command = add("report", run_report, "one HTML page of everything that prime study made")
    command.add_argument("folder", type=Path, metavar="DIR", help="the --out of prime study")
    command.add_argument("--out", type=Path, metavar="PAGE.html", help="(DIR/report.html)")
    command.add_argument(
        "--markdown", type=Path, metavar="DIR", help="also README.md and the files, into DIR"
    )


def _cohort(command: argparse.ArgumentParser) -> None:
    command.add_argument("cohort", type=Path, metavar="COHORT.yaml", help="the cohort file")
    command.add_argument("--root", metavar="DIR", help="instead of the file's root")


def _experiment(command: argparse.ArgumentParser) -> None:
    command.add_argument("config", type=Path, metavar="CONFIG.yaml", help="experiment file; see prime config")
    command.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE",
        help="override settings, for example pretrain.epochs=10",
    )  # fmt: skip
    _threads(command)


def _threads(command: argparse.ArgumentParser) -> None:
    command.add_argument("--threads", type=positive, metavar="N", help="processor threads (all cores)")


Adder = Callable[[str, Callable[[Arguments], int], str], argparse.ArgumentParser]


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = Parser(
        prog="prime", description="Multimodal pretraining and prognosis for cohorts with missing modalities."
    )
    parser.add_argument("--version", action="version", version=f"prime {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Arguments], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        command.set_defaults(run=run)
        return command

    _add_cohort_commands(add)
    _add_training_commands(add)
    _add_prediction_commands(add)
    _add_study_commands(add)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 1 (check found errors), 2 (bad input), 130 (Ctrl-C)."""
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    quiet_libraries()
    try:
        return arguments.run(arguments)
    except InputError as error:
        say(f"error: {error}")
        return 2
    except OSError as error:
        if not isinstance(error, FILE_TROUBLE) and error.errno != errno.ENOSPC:
            raise
        say(f"error: {error.filename}: {error.strerror}")
        return 2
    except KeyboardInterrupt:
        say("stopped; the same command goes on where it can")
        return 130
