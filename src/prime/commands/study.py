"""Commands of the paper's tables and figures: study, methods, report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from prime.arguments import Accelerator, ConfigFile, FitPrecision, Folder, Settings, Track, Words, about
from prime.commands.shared import open_experiment_store, read_experiment
from prime.devices import device_kind
from prime.errors import InputError
from prime.job_pool import JobPool
from prime.tracking.options import read_tracking

if TYPE_CHECKING:
    from prime.study.context import Other


def study(
    name: Annotated[str, about("table1 .. table5, figure2 .. figure4, all, and more; see docs.")],
    /,
    *,
    config: ConfigFile,
    settings: Settings = (),
    out: Annotated[Folder, about("Results; taken up again.")],
    preset: Annotated[Literal["quick", "full"], about("Size of the grid.")] = "full",
    protocol: Annotated[
        Literal["transductive", "inductive", "leave_cohort_out"],
        about("Whom pretraining sees: everyone, not the test folds, not the tested cohort."),
    ] = "inductive",
    reference: Annotated[Path | None, about("Others' results to print beside.", "FILE.csv")] = None,
    setting: Annotated[Words, about("What study sweep varies.", "KEY=A,B")] = (),
    also: Annotated[
        Words,
        about(
            "Another experiment whose PRIME stands beside, such as one with one more modality.",
            "NAME=CONFIG.yaml",
        ),
    ] = (),
    accelerator: Accelerator = "auto",
    precision: FitPrecision = None,
    track: Track = (),
    pool: JobPool = JobPool(),
) -> int:
    """Make a table or figure of the paper, or all of them."""
    tracking = read_tracking(track, out)
    experiment = read_experiment(config, settings, precision)
    from rich.console import Console

    from prime.study.context import Context
    from prime.study.registry import choose
    from prime.study.run import read_reference, run_studies
    from prime.study.sweeps import read_setting

    device_kind(accelerator)  # before any packing
    studies = choose(name)
    theirs = None if reference is None else read_reference(reference)
    varied = tuple(read_setting(text) for text in setting)
    if (name == "sweep") != bool(varied):
        raise InputError("--setting key=a,b and study sweep go together: --setting model.queries=2,4,8")
    store = open_experiment_store(experiment)
    others = tuple(_other(text) for text in also)
    context = Context(store, experiment, preset, theirs, varied, protocol, others)
    command = " ".join(["prime", *sys.argv[1:]])
    failed = run_studies(studies, context, out, pool, command, Console(), accelerator, tracking)
    return 1 if failed else 0


def _other(text: str) -> "Other":
    """`--also NAME=CONFIG.yaml`: another experiment and its data."""
    from prime.study.context import Other

    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise InputError(f"--also {text}: write it as NAME=CONFIG.yaml, for example clinical=clinical.yaml")
    experiment = read_experiment(Path(path))
    return Other(name, open_experiment_store(experiment), experiment)


def methods(
    *,
    config: Annotated[Path | None, about("Count parameters for this one.", "CONFIG.yaml")] = None,
    settings: Settings = (),
    markdown: Annotated[Path | None, about("Write the page of the docs instead.", "PAGE.md")] = None,
) -> None:
    """List the methods that PRIME is compared with."""
    from shutil import get_terminal_size

    from prime.catalogue.listing import methods_list

    if markdown is not None:
        from prime.files import write_text
        from prime.study.methods_page import methods_page

        write_text(markdown, methods_page())
        print(markdown)
        return
    counts: dict[str, str] = {}
    if config is not None:
        from prime.study.methods_page import parameter_counts

        experiment = read_experiment(config, settings)
        counts = parameter_counts(experiment, open_experiment_store(experiment))
    print(methods_list(get_terminal_size().columns, counts))


def report(
    folder: Annotated[Folder, about("The --out of prime study.")],
    /,
    *,
    out: Annotated[Path | None, about("(FOLDER/report.html)", "PAGE.html")] = None,
    markdown: Annotated[Folder | None, about("Also README.md and the files, into this folder.")] = None,
) -> None:
    """One HTML page of everything that prime study made."""
    from prime.report import write_markdown, write_report

    print(write_report(folder, out))
    if markdown is not None:
        print(write_markdown(folder, markdown))
