"""Commands that train on a whole cohort: pretrain, evaluate."""

from pathlib import Path
from typing import Annotated

from prime.arguments import (
    Accelerator,
    ConfigFile,
    Count,
    File,
    FitPrecision,
    Folder,
    Settings,
    Threads,
    Track,
    about,
    whole,
)
from prime.commands.shared import open_experiment_store, read_experiment, set_threads
from prime.devices import device_of
from prime.errors import InputError, first_line
from prime.precision import Precision
from prime.tracking.options import read_tracking


def pretrain(
    config: ConfigFile,
    /,
    *,
    settings: Settings = (),
    threads: Threads = None,
    out: Annotated[Folder, about("Folder of the run; taken up again.")],
    exclude: Annotated[
        File | None, about("Patients to keep out: one id a line, or a csv with a column patient_id.")
    ] = None,
    devices: Annotated[Count, about("Processes a node.")] = 1,
    nodes: Annotated[Count, about("Machines.")] = 1,
    accelerator: Accelerator = "auto",
    precision: Annotated[Precision | None, about("Instead of pretrain.precision.")] = None,
    loader_workers: Annotated[int, whole(0), about("Threads that make batches ahead; 0 for none.")] = 1,
    track: Track = (),
) -> None:
    """Pretrain on everyone who has anything, without labels."""
    tracking = read_tracking(track, out)
    experiment = read_experiment(config, settings)
    set_threads(threads)
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from prime.cohort.patient_list import read_exclusions
    from prime.pretraining.devices import Devices
    from prime.pretraining.loop import pretrain as train

    store = open_experiment_store(experiment)
    excluded: frozenset[str] = frozenset()
    if exclude is not None:
        excluded = read_exclusions(exclude, [str(p) for p in store.patients["patient_id"]])
    where = Devices(devices, nodes, accelerator, precision, loader_workers)
    try:
        train(store, experiment, out, excluded, where, tracking=tracking)
    except MisconfigurationException as error:
        raise InputError(f"--accelerator, --devices or --nodes: {first_line(error)}") from None
    print(f"{out}: pretrained; the losses are in {out / 'curves.svg'}")


def evaluate(
    config: ConfigFile,
    /,
    *,
    settings: Settings = (),
    threads: Threads = None,
    checkpoint: Annotated[
        Path | None, about("A pretraining run; not needed for scratch alone.", "RUN")
    ] = None,
    out: Annotated[Folder, about("Folder of the tables; taken up again.")],
    folds: Annotated[File | None, about("Folds (csv) or splits (json).")] = None,
    accelerator: Accelerator = "auto",
    precision: FitPrecision = None,
    track: Track = (),
) -> None:
    """Cross-validate survival heads under every missing pattern."""
    tracking = read_tracking(track, out)
    given = () if folds is None else (f"evaluate.folds={folds.resolve()}",)
    experiment = read_experiment(config, (*settings, *given), precision)
    set_threads(threads)
    from rich.console import Console

    from prime.commands.evaluation_screen import print_evaluation
    from prime.downstream.grid import evaluate as cross_validate

    device = device_of(accelerator)
    cross_validate(open_experiment_store(experiment), experiment, checkpoint, out, device, tracking)
    print_evaluation(out, Console())
