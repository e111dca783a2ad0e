"""Commands for a model in use, and for a first look: fit, predict, demo, config."""

from pathlib import Path
from typing import Annotated

from prime.arguments import Accelerator, ConfigFile, Count, Folder, Root, Settings, Threads, Words, about
from prime.commands.shared import open_cohort_store, open_experiment_store, read_experiment, say, set_threads
from prime.devices import device_of


def fit(
    config: ConfigFile,
    /,
    *,
    settings: Settings = (),
    threads: Threads = None,
    checkpoint: Annotated[Path, about("A pretraining run.", "RUN")],
    cohort_name: Annotated[Words, about("Cancer types to fit on, or all.", "NAME")],
    task: Annotated[str | None, about("A task of the experiment (its first).", "NAME")] = None,
    out: Annotated[Folder, about("The model folder.")],
    accelerator: Accelerator = "auto",
) -> None:
    """Fit a survival head on a whole cohort and save a model folder."""
    experiment = read_experiment(config, settings)
    set_threads(threads)
    from prime.predict.fit import fit as fit_head

    device = device_of(accelerator)
    fit_head(open_experiment_store(experiment), experiment, checkpoint, cohort_name, out, task, device)
    print(f"{out}: fitted; score new patients with prime predict --model {out}")


def predict(
    *,
    model: Annotated[Folder, about("Folder of prime fit.")],
    cohort: Annotated[Path, about("The patients.", "COHORT.yaml")],
    out: Annotated[Path, about("The table to write.", "PREDS.csv")],
    root: Root = None,
    store: Annotated[Folder | None, about("Where the cohort is packed.")] = None,
    threads: Threads = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Score new patients with whatever they have."""
    set_threads(threads)
    from prime.cohort.config import load_cohort
    from prime.predict.model_folder import load_model
    from prime.predict.predict import predict as score
    from prime.store.origin import require_same_makers

    device = device_of(accelerator)
    loaded = load_model(model)  # before any packing
    packed = open_cohort_store(load_cohort(cohort, root), store)
    table = score(model, packed, out, device)
    for line in require_same_makers(loaded.description.attributes, packed, str(packed.path)):
        say(f"not known: {line}")
    scored = int((table["status"] == "scored").sum())
    print(f"{out}: {scored:,} patients scored, {len(table) - scored:,} listed without a score")


def demo(
    *,
    out: Annotated[Folder, about("Everything that is made.")] = Path("runs/demo"),
    threads: Annotated[Count, about("Processor threads; with 1 the table is the same everywhere.")] = 1,
) -> None:
    """The whole way on a simulated cohort, in minutes."""
    set_threads(threads)
    from prime.demo import run

    run(out)


def config() -> None:
    """Print an experiment file with every setting and its default."""
    from prime.settings.template import experiment_template

    print(experiment_template(), end="")
