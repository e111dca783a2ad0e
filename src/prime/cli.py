"""The command line: the arguments of every command. What they do is in `prime.commands`."""

import argparse
import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from prime import __version__
from prime.commands import (
    Arguments,
    run_check,
    run_config,
    run_demo,
    run_evaluate,
    run_fit,
    run_methods,
    run_pack,
    run_predict,
    run_pretrain,
    run_report,
    run_simulate,
    run_study,
    say,
)
from prime.encode.gdc import command as gdc_command
from prime.encode.reports import command as reports_command
from prime.encode.rna import command as rna_command
from prime.encode.slides import command as slides_command
from prime.errors import InputError
from prime.libraries import quiet_libraries

ENCODERS = {"slides": slides_command, "rna": rna_command, "reports": reports_command}
FILE_TROUBLE = (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)


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
    command.add_argument(
        "--protocol",
        choices=("transductive", "inductive", "leave_cohort_out"),
        default="transductive",
        help="whom pretraining sees without labels: everyone, not the test fold, not the tested cohort",
    )
    command.add_argument("--cluster", choices=("ray",), help="run the fits on a Ray cluster")
    command.add_argument("--reference", type=Path, metavar="FILE.csv", help="others' results to print beside")
    command.add_argument(
        "--setting", nargs="+", action="extend", default=[], metavar="KEY=A,B", help="what study sweep varies"
    )
    command.add_argument(
        "--also", nargs="+", action="extend", default=[], metavar="NAME=CONFIG.yaml",
        help="another experiment whose PRIME stands beside this one's, for example with one more modality",
    )  # fmt: skip
    command.add_argument(
        "--threads", type=positive, default=1, metavar="N", help="processor threads of each fit (1)"
    )
    command = add("methods", run_methods, "list the methods that PRIME is compared with")
    command.add_argument("--config", type=Path, metavar="CONFIG.yaml", help="count parameters for this one")
    command.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="change a setting of it"
    )
    command.add_argument(
        "--markdown", type=Path, metavar="PAGE.md", help="write the page of the docs instead"
    )
    command = add("report", run_report, "one HTML page of everything that prime study made")
    command.add_argument("folder", type=Path, metavar="DIR", help="the --out of prime study")
    command.add_argument("--out", type=Path, metavar="PAGE.html", help="(DIR/report.html)")
    command.add_argument(
        "--markdown", type=Path, metavar="DIR", help="also README.md and the files, into DIR"
    )


def _add_encode_commands(add: "Adder") -> None:
    """The parts of `prime.encode` bring their own arguments."""
    encode = add("encode", _encode_part, "slides, RNA-seq or reports to feature files")
    parts = encode.add_subparsers(dest="part", required=True, metavar="PART")
    for name, part in ENCODERS.items():
        about = part.ABOUT
        command = parts.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        part.add_arguments(command)
    gdc = add("gdc", gdc_command.run, gdc_command.ABOUT)
    gdc_command.add_arguments(gdc)


def _encode_part(arguments: Arguments) -> int:
    return ENCODERS[arguments.part].run(arguments)


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
    _add_encode_commands(add)
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
