"""The findings of a check of a cohort, and how they are printed."""

from dataclasses import asdict, dataclass, field
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from prime.cohort.check.sample_size import SampleSizeCheck


@dataclass
class SourceCheck:
    """The findings on one source.

    `rows` counts slides, samples, tokens or reports. `minimum`, `maximum` and `nan_share` are over all
    numbers (None for reports, which are not encoded here). `constant` names the features that have a single
    value. `unlisted` counts patients without a row in the clinical table.
    """

    modality: str
    source: str
    reader: str
    detected: str
    dim: int | None
    patients: int
    rows: int
    unlisted: int = 0
    minimum: float | None = None
    maximum: float | None = None
    nan_share: float | None = None
    constant: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    attributes: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class TypeCheck:
    """Counts of patients of a cancer type: with each modality, each source, all, some or no modalities."""

    cohort: str
    patients: int
    modalities: dict[str, int]
    sources: dict[str, int]
    complete: int
    partial: int
    nothing: int


@dataclass
class EndpointCheck:
    """Counts for an endpoint in one cancer type, or in `all`.

    `patients` have a time and an event and are not excluded; `events` of them were observed; `usable` of them
    have a modality; `excluded` have an outcome but never serve evaluation.
    """

    endpoint: str
    cohort: str
    patients: int
    events: int
    usable: int
    excluded: int


@dataclass
class CheckReport:
    """All findings of a check. `unlisted` counts patients with features but no row in the clinical table.

    `combinations` counts patients, listed or not, by the exact modalities they have ("image + rna").
    `any_modality` counts all patients with at least one, `listed_any_modality` those with a clinical row.
    """

    name: str
    clinical_file: str
    patients: int
    excluded: int
    clinical_notes: list[str]
    sources: list[SourceCheck]
    types: list[TypeCheck]
    combinations: dict[str, int]
    complete: int
    partial: int
    any_modality: int
    listed_any_modality: int
    unlisted: int
    nothing: int
    endpoints: list[EndpointCheck]
    errors: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    sample_sizes: list[SampleSizeCheck] = field(default_factory=list[SampleSizeCheck])

    def to_json(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)


def exit_status(report: CheckReport) -> int:
    """1 where the report has errors, else 0."""
    return 1 if report.errors else 0


def render(report: CheckReport, console: Console) -> None:
    """Print the report as plain tables, then its warnings and errors, one line each."""
    console.print(
        f"Cohort {escape(report.name)}: {report.patients:,} patients in {escape(report.clinical_file)}, "
        f"{report.excluded:,} never serve evaluation",
        soft_wrap=True,
    )
    _lines(console, report.clinical_notes)
    console.print(_sources_table(report))
    for source in report.sources:
        _lines(console, [f"{source.source}: {line}" for line in _about(source)])
    if report.types:
        console.print(_types_table(report, "modalities"))
        console.print(_types_table(report, "sources"))
    console.print(_combination_table(report))
    console.print(
        f"At least one modality: {report.any_modality:,} patients "
        f"({report.listed_any_modality:,} of them in the clinical table)\n"
        f"Complete: {report.complete:,}; partial: {report.partial:,}; "
        f"nothing: {report.nothing:,} of the clinical table",
        soft_wrap=True,
    )
    if report.endpoints:
        console.print(_endpoint_table(report))
    if report.sample_sizes:
        console.print(_sample_size_table(report.sample_sizes))
    for style, label, found in (("yellow", "warning", report.warnings), ("red", "error", report.errors)):
        for line in found:
            console.print(f"[{style}]{label}:[/{style}] {escape(line)}", soft_wrap=True)
    console.print(f"{len(report.errors)} errors, {len(report.warnings)} warnings")


def _lines(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(f"  {escape(line)}", soft_wrap=True)


def _about(source: SourceCheck) -> list[str]:
    facts = [f"{key} {value}" for key, value in source.attributes.items() if len(value) <= 60]
    return [source.detected, *source.notes, *facts]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if number == 0 else "right", overflow="fold")
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _sources_table(report: CheckReport) -> Table:
    table = _table(
        "Sources", "modality", "source", "patients", "rows", "d", "min", "max", "NaN %", "constant"
    )
    for item in report.sources:
        share = "" if item.nan_share is None else f"{100 * item.nan_share:.2f}"
        table.add_row(
            escape(item.modality), escape(item.source), f"{item.patients:,}", f"{item.rows:,}",
            "" if item.dim is None else str(item.dim), _number(item.minimum), _number(item.maximum), share,
            "" if item.dim is None else str(len(item.constant)),
        )  # fmt: skip
    return table


def _types_table(report: CheckReport, kind: str) -> Table:
    """Patients of each cancer type with each modality, or with each source."""
    names = list(report.types[0].modalities if kind == "modalities" else report.types[0].sources)
    more = ["complete", "partial", "nothing"] if kind == "modalities" else []
    table = _table(
        f"Patients per cancer type and {kind[:-1].replace('ie', 'y')}", "type", "patients", *names, *more
    )
    rows = [(item.cohort or "(none)", _counts(item, kind)) for item in report.types]
    for label, counts in [
        *rows,
        ("all", [sum(column) for column in zip(*(r[1] for r in rows), strict=True)]),
    ]:
        table.add_row(escape(label), *(f"{count:,}" for count in counts))
    return table


def _counts(item: TypeCheck, kind: str) -> list[int]:
    if kind == "sources":
        return [item.patients, *item.sources.values()]
    return [item.patients, *item.modalities.values(), item.complete, item.partial, item.nothing]


def _combination_table(report: CheckReport) -> Table:
    table = _table("Patients by exact combination of modalities", "modalities", "patients")
    for name, count in report.combinations.items():
        table.add_row(escape(name), f"{count:,}")
    return table


def _endpoint_table(report: CheckReport) -> Table:
    """Every endpoint over all types, and in each type that has an outcome."""
    table = _table("Outcomes", "endpoint", "type", "patients", "events", "with a modality", "excluded")
    for item in report.endpoints:
        if item.cohort == "all" or item.patients or item.excluded:
            numbers = (item.patients, item.events, item.usable, item.excluded)
            table.add_row(
                escape(item.endpoint), escape(item.cohort or "(none)"), *(f"{n:,}" for n in numbers)
            )
    return table


def _sample_size_table(found: list[SampleSizeCheck]) -> Table:
    """Patients there are and patients that a new model would need."""
    number = found[0].parameters
    table = _table(
        f"Sample size by Riley's criteria: needed for {number} parameters, and the most that serve",
        "endpoint", "type", "patients", "events", "needed", "with events", "most parameters",
    )  # fmt: skip
    for item in found:
        numbers = (item.patients, item.events, item.needed, item.needed_events, item.most)
        table.add_row(escape(item.endpoint), escape(item.cohort or "(none)"), *(f"{n:,}" for n in numbers))
    return table
