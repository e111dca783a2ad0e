"""Commands for a model in use, and for a first look: fit, predict, embed, demo, config."""

from pathlib import Path
from typing import Annotated, Literal

from prime.arguments import (
    Accelerator,
    ConfigFile,
    Count,
    FitPrecision,
    Folder,
    ModelPlace,
    Root,
    Settings,
    Threads,
    Words,
    about,
    whole,
)
from prime.commands.shared import open_cohort_store, open_experiment_store, read_experiment, say, set_threads
from prime.devices import device_of

Stage = Literal["tokens", "refined", "fused", "pooled"]
Mode = Literal["lp_shared", "lp_shared_annotated", "lp_shared_clinical"]


def fit(
    config: ConfigFile,
    /,
    *,
    settings: Settings = (),
    threads: Threads = None,
    checkpoint: Annotated[Path, about("A pretraining run.", "RUN")],
    cohort_name: Annotated[Words, about("Cancer types to fit on, or all.", "NAME")],
    task: Annotated[str | None, about("A task of the experiment (its first).", "NAME")] = None,
    mode: Annotated[Mode, about("What the head reads beside tokens and sources.")] = "lp_shared",
    with_patients: Annotated[bool, about("Keep the patients, to name similar ones.")] = False,
    other_seeds: Annotated[
        tuple[Path, ...], about("Pretraining runs of other seeds, for wider intervals.", "RUN")
    ] = (),
    out: Annotated[Folder, about("The model folder.")],
    accelerator: Accelerator = "auto",
    precision: FitPrecision = None,
) -> None:
    """Fit a head over whole cohorts and save a model folder."""
    experiment = read_experiment(config, settings, precision)
    set_threads(threads)
    from prime.predict.fit import fit as fit_head

    device = device_of(accelerator)
    fit_head(
        open_experiment_store(experiment), experiment, checkpoint, cohort_name, out, task, device, mode,
        with_patients, other_seeds,
    )  # fmt: skip
    print(f"{out}: fitted; score new patients with prime predict --model {out}")


def predict(
    *,
    model: ModelPlace,
    cohort: Annotated[Path, about("The patients.", "COHORT.yaml")],
    out: Annotated[Path, about("The table to write; .csv or .parquet.", "PREDS.csv")],
    horizons: Annotated[tuple[float, ...], about("Months at which survival is given.", "MONTHS")] = (
        12,
        36,
        60,
    ),
    level: Annotated[float, about("Of intervals, and of the months outlived.", "P")] = 0.9,
    threshold: Annotated[float | None, about("Where a decision turns (the type's average).", "P")] = None,
    reasons: Annotated[int, about("Features a patient to explain the risk by.", "N")] = 0,
    by_source: Annotated[bool, about("Share the risk among sources, too, not modalities alone.")] = False,
    similar: Annotated[int, whole(0), about("Fitted patients to name beside each.", "N")] = 0,
    figures: Annotated[Folder | None, about("A figure for each patient (SVG).")] = None,
    root: Root = None,
    store: Annotated[Folder | None, about("Where the cohort is packed.")] = None,
    threads: Threads = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Score new patients with whatever they have, and say why and what a missing test could change."""
    set_threads(threads)
    from prime.cohort.config import load_cohort
    from prime.files import require_place
    from prime.predict.asked import Asked
    from prime.predict.model_folder import load_model
    from prime.predict.predict import predict as score
    from prime.share.finding import find_model
    from prime.store.origin import require_same_makers

    require_place(out)
    asked, device = Asked(horizons, level, threshold), device_of(accelerator)
    folder = find_model(model)
    loaded = load_model(folder)  # before any packing
    counted = load_cohort(cohort, root).with_vocabularies(loaded.description.feature_names)
    packed = open_cohort_store(counted, store)
    found = score(folder, packed, out, device, asked, reasons, similar, figures, by_source)
    for line in require_same_makers(loaded.description.attributes, packed, str(packed.path)):
        say(f"not known: {line}")
    task = loaded.description.task
    if task.landmark_days is not None:
        say(f"time is counted from {task.landmark_days:g} days on, of patients who are at risk then")
    scored = int((found.patients["status"] == "scored").sum())
    left = len(found.patients) - scored
    print(f"{out}: {scored:,} patients scored, {left:,} listed without a score")
    print(f"{out.with_suffix(f'.tests{out.suffix}')}: what {len(found.tests):,} missing tests could change")
    if found.similar is not None:
        print(f"{out.with_suffix(f'.similar{out.suffix}')}: fitted patients who resemble them")
    if figures is not None:
        print(f"{figures}: a figure for each patient with a score")


def embed(
    what: Annotated[
        str, about("Folder of prime pretrain or of prime fit, or a model on the hub.", "RUN|MODEL")
    ],
    /,
    *,
    cohort: Annotated[Path, about("The patients.", "COHORT.yaml")],
    out: Annotated[Path, about("The file to write; .parquet, .csv, .h5, .h5ad or .h5mu.", "FILE")],
    pattern: Annotated[
        str, about("What may be seen: all, image+rna, ... (--pattern=-image).", "NAME")
    ] = "all",
    stages: Annotated[tuple[Stage, ...], about("What is read of the network.")] = ("pooled",),
    root: Root = None,
    store: Annotated[Folder | None, about("Where the cohort is packed.")] = None,
    threads: Threads = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Write patients' embeddings, under any pattern of missing modalities."""
    set_threads(threads)
    from prime.cohort.config import load_cohort
    from prime.files import require_place
    from prime.model.checkpoint import load_checkpoint
    from prime.predict.embedding import embed_cohort
    from prime.predict.embedding_files import described, require_format, write_embeddings
    from prime.share.finding import find_model

    require_format(out, stages)
    require_place(out)
    device, checkpoint = device_of(accelerator), load_checkpoint(find_model(what))  # before any packing
    packed = open_cohort_store(load_cohort(cohort, root), store)
    found = embed_cohort(checkpoint, packed, pattern, stages, device)
    write_embeddings(out, described(found, checkpoint, packed, pattern, stages))
    print(f"{out}: {len(found):,} of {len(packed.patients):,} patients, {found.shape[1]:,} numbers each")


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
