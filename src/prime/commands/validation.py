"""Commands for a fitted model in another place: validate, recalibrate."""

from pathlib import Path
from typing import Annotated, Literal

from prime.arguments import Above, Accelerator, Folder, ModelPlace, Root, Threads, Whole, Words, about, whole
from prime.commands.shared import open_cohort_store, set_threads
from prime.devices import device_of

Cohort = Annotated[Path, about("The labelled patients.", "COHORT.yaml")]
Types = Annotated[Words, about("Cancer types to use (all).", "NAME")]
Packed = Annotated[Folder | None, about("Where the cohort is packed.")]


def validate(
    *,
    model: ModelPlace,
    cohort: Cohort,
    out: Annotated[Folder, about("Tables, figures and report.html.")],
    cohort_name: Types = (),
    horizons: Annotated[tuple[Above, ...], about("In years.", "YEARS")] = (1.0, 3.0, 5.0),
    competing: Annotated[
        str | None, about("An endpoint whose event can come first, such as death.", "ENDPOINT")
    ] = None,
    landmark: Annotated[Above | None, about("Judge who is followed beyond, from then on.", "YEARS")] = None,
    bootstrap: Annotated[int, whole(0), about("Draws of the intervals; 0 for none.")] = 200,
    seed: Annotated[Whole, about("Of the draws.")] = 0,
    root: Root = None,
    store: Packed = None,
    threads: Threads = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Validate a fitted model on a labelled cohort that it has not seen."""
    set_threads(threads)
    from prime.cohort.config import load_cohort
    from prime.predict.model_folder import load_model
    from prime.share.finding import find_model
    from prime.validation.performance import Draws
    from prime.validation.validate import validate as judge

    device = device_of(accelerator)
    folder = find_model(model)
    names = load_model(folder).description.feature_names  # before any packing
    packed = open_cohort_store(load_cohort(cohort, root).with_vocabularies(names), store)
    draws = Draws(bootstrap, seed)
    print(judge(folder, packed, out, horizons, cohort_name, draws, competing, landmark, device))


def recalibrate(
    *,
    model: ModelPlace,
    cohort: Cohort,
    out: Annotated[Folder, about("The recalibrated model folder.")],
    method: Annotated[
        Literal["intercept", "slope", "isotonic"], about("What is fitted; each needs more events.")
    ] = "slope",
    cohort_name: Types = (),
    root: Root = None,
    store: Packed = None,
    threads: Threads = None,
    accelerator: Accelerator = "auto",
) -> None:
    """Fit a model's predicted survival to local patients; the ranking stays."""
    set_threads(threads)
    from prime.cohort.config import load_cohort
    from prime.predict.model_folder import load_model
    from prime.share.finding import find_model
    from prime.validation.recalibrate import recalibrate as bend
    from prime.validation.recalibrate import summary_line

    device = device_of(accelerator)
    folder = find_model(model)
    names = load_model(folder).description.feature_names
    packed = open_cohort_store(load_cohort(cohort, root).with_vocabularies(names), store)
    found = bend(folder, packed, out, method, cohort_name, device)
    print(f"{out}: {summary_line(found)}, from {found.patients:,} patients with {found.events:,} events")
