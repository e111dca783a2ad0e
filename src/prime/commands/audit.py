"""The command that looks for what could be wrong with results."""

from pathlib import Path
from typing import Annotated

from prime.arguments import Count, Folder, Root, Whole, Words, about, whole
from prime.commands.shared import open_cohort_store, open_experiment_store
from prime.errors import InputError


def audit(
    predictions: Annotated[Path, about("A csv (patient_id, fold, time, event, risk), or a folder of PRIME.")],
    /,
    *,
    column: Annotated[Words, about("Which column stands for what, such as time=months.", "NAME=COLUMN")] = (),
    splits: Annotated[tuple[Path, ...], about("Who trains and tests (json).", "FILE")] = (),
    cohort: Annotated[Path | None, about("Also compare what patients have.", "COHORT.yaml")] = None,
    root: Root = None,
    store: Annotated[Folder | None, about("Where the cohort is packed.")] = None,
    replicates: Annotated[Count, about("Permutations of the labels.")] = 200,
    refits: Annotated[int, whole(0), about("Also fits of ridge methods on permuted labels.", "N")] = 0,
    seed: Annotated[Whole, about("Of the permutations.")] = 0,
    out: Annotated[Folder | None, about("Also audit.csv, .md and .tex.")] = None,
) -> int:
    """Look for leaks and illusions in held-out predictions; the status is 1 where something is wrong."""
    from rich.console import Console
    from rich.markup import escape

    from prime.audit.audit import audit as look
    from prime.audit.audit import splits_beside, write_audit
    from prime.audit.findings import ORDER
    from prime.audit.predictions import read_predictions
    from prime.cohort.config import load_cohort

    named: dict[str, str] = {}
    for text in column:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"--column {text}: write it as NAME=COLUMN, for example time=months")
        named[name] = value
    found = read_predictions(predictions, named)
    packed = None if cohort is None else open_cohort_store(load_cohort(cohort, root), store)
    findings = look(found, [*splits, *splits_beside(predictions)], packed, replicates, seed)
    if refits:
        from prime.audit.refits import experiment_of
        from prime.audit.refits import refits as fit_again

        experiment = experiment_of(predictions)
        findings += fit_again(open_experiment_store(experiment), experiment, refits, seed)
    console = Console()
    colours = {"wrong": "red", "look": "yellow", "fine": "green", "not checked": "dim"}
    for each in sorted(findings, key=lambda finding: ORDER[finding.verdict]):
        style = colours[each.verdict]
        about_it = f"{each.check} ({each.setting})" if each.setting else each.check
        console.print(
            f"[{style}]{each.verdict}[/{style}]  {escape(about_it)}: {escape(each.text)}", soft_wrap=True
        )
    if out is not None:
        write_audit(findings, str(predictions), out)
    return 1 if any(each.verdict == "wrong" for each in findings) else 0
