"""`prime encode reports`: its arguments, and what it prints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from prime.arguments import Folder, Licence, PatientFrom, TrainedOn, about
from prime.encode.reports.options import ReadSettings, TokenSettings
from prime.encode.tissue_options import TissueOptions
from prime.errors import InputError
from prime.extras import need
from prime.job_pool import JobPool

if TYPE_CHECKING:
    from rich.console import Console

    from prime.encode.reports.pipeline import ReportJob


def reports(
    inputs: Annotated[
        list[Path], about("Folders of .pdf and .txt files, such files, or a table of TCGA-Reports (csv).")
    ],
    /,
    *,
    out: Annotated[Folder, about("Folder of the outputs; finished patients are kept.")],
    patient_from: PatientFrom = None,
    tissue: TissueOptions = TissueOptions(),
    name_column: Annotated[str, about("Column of names in a table.", "NAME")] = "patient_filename",
    text_column: Annotated[str, about("Column of texts in a table.", "NAME")] = "text",
    reading: Annotated[ReadSettings, Parameter(group=Group("Reading", sort_key=1))] = ReadSettings(),
    outcome: Annotated[
        Literal["flag", "remove"],
        about("Sentences that state the outcome: list them, or also take them out."),
    ] = "flag",
    facts: Annotated[
        bool, about("Also write facts.parquet: stage, size, nodes and more, read by rules.")
    ] = False,
    encoder: Annotated[
        str | None, about("minilm, a folder, or a name on the model hub (none: only texts).", "NAME")
    ] = None,
    licence: Licence = None,
    trained_on: TrainedOn = None,
    tokens: Annotated[TokenSettings, Parameter(group=Group("Encoding", sort_key=2))] = TokenSettings(),
    pool: JobPool = JobPool(),
) -> int:
    """Pathology reports (PDF, scans, text, TCGA-Reports) to clean text and word-piece features."""
    need("prime encode reports", "encode", "pypdfium2", "PIL", "pytesseract")
    from rich.console import Console

    from prime.cohort.patient_names import PATIENT_FROM
    from prime.encode.reports.encoder import open_encoder
    from prime.encode.reports.pipeline import ReportJob, encode_reports
    from prime.encode.reports.sources import Columns, find_reports, of_wanted_tissue, unread_documents
    from prime.encode.work import report, say

    if tokens.long != "head" and tokens.overlap >= tokens.max_tokens - 2:
        raise InputError(f"--overlap {tokens.overlap}: must be below --max-tokens {tokens.max_tokens} - 2")
    opened = None if encoder is None else open_encoder(encoder, tokens, licence, trained_on)
    job = ReportJob(out, reading, outcome, opened, tokens, pool.threads, facts)
    columns = Columns(name_column, text_column, patient_from or PATIENT_FROM)
    console = Console()
    found, counts = of_wanted_tissue(find_reports(inputs, out, columns), tissue.rule())
    for line in [*counts, *unread_documents(inputs)]:
        say(console, line)
    failures, patients = encode_reports(found, job, pool)
    _say_what_to_read(job, console)
    return report(failures, patients, out, console)


def _say_what_to_read(job: "ReportJob", console: "Console") -> None:
    """What was changed and found, and what to write into the cohort file."""
    import pandas as pd

    from prime.parsing import read_json

    table = pd.read_csv(job.out / "cleaning.csv")
    if len(table):
        stated = int((table["outcome_sentences"] > 0).sum())
        ways = ", ".join(f"{count} by {name}" for name, count in table["method"].value_counts().items())
        treated = "removed" if job.outcome == "remove" else "flagged"
        console.print(
            f"{len(table)} reports read ({ways}); median garbage ratio {table['garbage_ratio'].median():.3f};"
            f" {stated} state the outcome ({treated}: outcomes.csv)",
            highlight=False,
        )
    if job.facts:
        console.print("facts, for the cohort file: {reader: vector, path: facts.parquet}", highlight=False)
    if job.encoder is None:
        console.print("for the cohort file: {reader: report, path: texts.csv, encoder: ...}", highlight=False)
        return
    longer = read_json(job.out / "settings.json")["longer_than_kept"]
    kept = job.tokens.max_tokens if job.tokens.long == "head" else job.tokens.limit
    console.print(
        f"{longer} patients have more than {job.tokens.max_tokens} word pieces ({job.tokens.long})\n"
        f"for the cohort file: {{reader: h5, path: features, max_tokens: {kept}}}",
        highlight=False,
    )
