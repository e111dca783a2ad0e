"""All checks of an audit, and what they found as a table."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from prime.audit.findings import ORDER, Finding
from prime.audit.leaks import duplicated_rows, one_person_two_names, tested_twice, train_meets_test
from prime.audit.predictions import Predictions
from prime.audit.signal import best_epoch, permuted_labels, seeds, site, type_alone
from prime.progress import tracked
from prime.render.tables import Table, write_table
from prime.store.store import Store

REPLICATES = 200
SPLITS = "splits"


def audit(
    predictions: Sequence[Predictions],
    splits: Sequence[Path] = (),
    store: Store | None = None,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> list[Finding]:
    """The findings of all checks, setting by setting.

    What concerns the patients alone is checked on the first setting; `replicates` and `seed` are of the
    permuted labels. What could be checked on no setting is said once.

    Raises InputError for a file of `splits` that is none.
    """
    first = predictions[0]
    found = [tested_twice(first), one_person_two_names(first), train_meets_test(first, splits)]
    found += duplicated_rows(first, store)
    for each in tracked(list(predictions), "audit", len(predictions) > 1):
        found.append(permuted_labels(each, replicates, seed))
        found += [type_alone(each), site(each), best_epoch(each), seeds(each)]
    unchecked = [replace(each, setting="") for each in found if each.verdict == "not checked"]
    checked = {each.check for each in found if each.verdict != "not checked"}
    return [
        *(each for each in found if each.verdict != "not checked"),
        *({each.check: each for each in unchecked if each.check not in checked}.values()),
    ]


def splits_beside(path: Path) -> list[Path]:
    """The splits files that prime evaluate left beside its predictions."""
    return sorted((path / SPLITS).glob("*.json")) if path.is_dir() else []


def findings_table(findings: Sequence[Finding], title: str) -> Table:
    """A row a finding, the worst first."""
    ranked = sorted(findings, key=lambda finding: ORDER[finding.verdict])
    rows: list[dict[str, object]] = []
    for each in ranked:
        base = {"check": each.check, "setting": each.setting, "verdict": each.verdict, "text": each.text}
        numbers = {name: value for name, value in each.numbers.items() if not math.isnan(value)}
        for name, value in (numbers or {"": math.nan}).items():
            rows.append({**base, "number": name, "value": value})
    display = pd.DataFrame(
        {
            "Check": [each.check for each in ranked],
            "Setting": [each.setting for each in ranked],
            "What was found": [each.text for each in ranked],
        },
        index=pd.Index([each.verdict for each in ranked], name="Verdict"),
    )
    return Table(
        "audit",
        f"Audit of {title}",
        "wrong: the results cannot stand as they are. look: a person should judge. C-indices are over pairs"
        " of one test fold and cancer type unless it is said otherwise. An audit finds what it looks for;"
        " that everything is fine here proves nothing.",
        pd.DataFrame(rows),
        display,
    )


def write_audit(findings: Sequence[Finding], title: str, out: Path) -> None:
    """Write audit.csv, audit.md and audit.tex into a folder."""
    write_table(findings_table(findings, title), out / "audit")
