"""Commands on a cohort: init, check, pack, simulate."""

import sys
from typing import Annotated

from prime.arguments import CohortFile, Folder, Root, Whole, about
from prime.commands.shared import say


def init(folder: Annotated[Folder, about("Where the cohort's files are.")], /) -> None:
    """Look at a folder's files, and write a cohort.yaml and an experiment.yaml with every guess marked."""
    from prime.cohort.survey.write import EXPERIMENT
    from prime.cohort.survey.write import init as look_at

    print(f"{look_at(folder, print)} and {EXPERIMENT}: written; look them through, then prime check them")


def check(
    cohort: CohortFile,
    /,
    *,
    root: Root = None,
    json: Annotated[bool, about("Print the report as JSON.")] = False,
) -> int:
    """Look through a cohort: what is there, what would spoil results."""
    from rich.console import Console

    from prime.cohort.check.check import check as look_through
    from prime.cohort.check.check import exit_status, render
    from prime.cohort.config import load_cohort

    found = look_through(load_cohort(cohort, root), progress=sys.stderr.isatty())
    if json:
        from json import dumps

        print(dumps(found.to_json(), indent=2))
    else:
        render(found, Console())
    return exit_status(found)


def pack(
    cohort: CohortFile,
    /,
    *,
    root: Root = None,
    out: Annotated[Folder, about("Folder of the store.")],
) -> None:
    """Pack a cohort into a memory-mapped store."""
    from prime.cohort.config import load_cohort
    from prime.store.packing import pack as write_store
    from prime.store.store import Store

    store = Store.open(write_store(load_cohort(cohort, root), out))
    for warning in store.manifest["clinical"]["warnings"]:
        say(f"warning: {warning}")
    for name, source in store.sources.items():
        for note in source.notes:
            say(f"source {name}: {note}")
    rows = ", ".join(f"{name} {source.patients:,}" for name, source in store.sources.items())
    print(f"{out}: {len(store.patients):,} patients; with each source: {rows}")


def simulate(
    folder: Annotated[Folder, about("A new folder, or one simulated before.")],
    /,
    *,
    patients: Annotated[Whole, about("How many.")] = 300,
    seed: Annotated[Whole, about("Draws the patients.")] = 0,
) -> None:
    """Write a small made-up cohort with known truth."""
    from prime.demo.simulate import simulate as write_cohort

    print(f"{write_cohort(folder, patients, seed)}: {patients} patients")
