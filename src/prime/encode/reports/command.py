"""`prime encode reports`: its arguments, and what it prints."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prime.errors import InputError
from prime.machines import Machines

if TYPE_CHECKING:
    from rich.console import Console

    from prime.encode.reports.run import ReportJob

ABOUT = "pathology reports (PDF, scans, text, TCGA-Reports) to clean text and word-piece features"


def _from(least: int, most: int | None = None) -> Callable[[str], int]:
    """An argparse type: a whole number from `least`, to `most` where there is one."""

    def parse(text: str) -> int:
        number = int(text)
        if number < least or (most is not None and number > most):
            raise ValueError
        return number

    parse.__name__ = f"whole number from {least}" + ("" if most is None else f" to {most}")
    return parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `prime encode reports`."""
    parser.add_argument(
        "inputs", type=Path, nargs="+", metavar="REPORTS",
        help="folders of .pdf and .txt files, such files, or a table of TCGA-Reports (csv)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the outputs; taken up again")
    _add_reading(parser)
    _add_encoding(parser)
    parser.add_argument("--jobs", type=_from(1), metavar="N", help="patients at once (1)")
    parser.add_argument("--threads", type=_from(1), default=1, metavar="N", help="of each encoder (1)")
    parser.add_argument("--cluster", choices=("ray",), help="run on a Ray cluster")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("reading").add_argument
    add(
        "--patient-from",
        metavar="REGEX",
        help="finds the patient in a file's name (TCGA barcode, else up to the first dot)",
    )
    add("--name-column", default="patient_filename", metavar="NAME", help="of a table (patient_filename)")
    add("--text-column", default="text", metavar="NAME", help="of a table (text)")
    add(
        "--ocr", choices=("auto", "always", "never"), default="auto",
        help="for pages whose text layer does not suffice (auto), for all, for none",
    )  # fmt: skip
    add(
        "--engine", choices=("tesseract", "textract"), default="tesseract",
        help="tesseract runs here; textract SENDS THE PAGES to Amazon Web Services",
    )  # fmt: skip
    add("--language", default="eng", metavar="LANG", help="of Tesseract, such as deu or deu+eng (eng)")
    add("--psm", type=_from(0, 13), default=3, metavar="N", help="Tesseract's page segmentation (3)")
    add("--dpi", type=_from(72, 1200), default=300, metavar="N", help="at which pages are drawn (300)")
    add("--region", metavar="NAME", help="of AWS")
    add("--endpoint-url", metavar="URL", help="another address that speaks Textract")
    add(
        "--min-characters", type=_from(1), default=50, metavar="N",
        help="that a page's text layer needs; eight times as many on a scan (50)",
    )  # fmt: skip
    add("--max-pages", type=_from(1), default=100, metavar="N", help="read of a PDF (100)")
    add(
        "--outcome", choices=("flag", "remove"), default="flag",
        help="sentences that state the outcome: list them, or also take them out (flag)",
    )  # fmt: skip


def _add_encoding(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("encoding").add_argument
    add(
        "--encoder", metavar="NAME",
        help="minilm, a folder, or a name on the model hub; without one only texts are written",
    )  # fmt: skip
    add("--max-tokens", type=_from(3), default=200, metavar="N", help="word pieces of a window (200)")
    add(
        "--long", choices=("head", "pooled", "joined"), default="head",
        help="long reports: first window; each window's mean; all windows' word pieces (head)",
    )  # fmt: skip
    add("--overlap", type=_from(0), default=50, metavar="N", help="word pieces that windows share (50)")
    add("--limit", type=_from(1), default=1000, metavar="N", help="tokens kept with pooled or joined (1000)")
    add(
        "--precision", choices=("float32", "bfloat16"), default="float32",
        help="bfloat16 is faster on processors that have it (float32)",
    )  # fmt: skip
    add("--licence", metavar="TEXT", help="of the weights, for the record")
    add("--trained-on", metavar="A,B", help="data the encoder was trained on, for the record, such as TCGA")


def run(arguments: argparse.Namespace) -> int:
    """Encode the reports. Returns 0, or 1 where a patient failed."""
    from rich.console import Console

    from prime.cohort.patient_names import PATIENT_FROM
    from prime.encode.reports.run import encode_reports
    from prime.encode.reports.sources import Columns, find_reports
    from prime.encode.work import report

    job = _job(arguments)
    columns = Columns(arguments.name_column, arguments.text_column, arguments.patient_from or PATIENT_FROM)
    reports = find_reports(arguments.inputs, arguments.out, columns)
    machines = Machines(arguments.jobs, arguments.threads, arguments.cluster)
    console = Console()
    failures, patients = encode_reports(reports, job, machines, console)
    _say_what_to_read(job, console)
    return report(failures, patients, job.out, console)


def _job(arguments: argparse.Namespace) -> "ReportJob":
    from prime.encode.reports.encoder import TokenSettings, open_encoder
    from prime.encode.reports.ocr import OcrSettings
    from prime.encode.reports.pdf import ReadSettings
    from prime.encode.reports.run import ReportJob

    if arguments.long != "head" and arguments.overlap >= arguments.max_tokens - 2:
        raise InputError(
            f"--overlap {arguments.overlap}: must be below --max-tokens {arguments.max_tokens} - 2"
        )
    tokens = TokenSettings(
        arguments.max_tokens, arguments.long, arguments.overlap, arguments.limit, arguments.precision
    )
    engine = OcrSettings(
        arguments.engine, arguments.language, arguments.psm, arguments.dpi, arguments.region,
        arguments.endpoint_url,
    )  # fmt: skip
    reading = ReadSettings(arguments.ocr, arguments.min_characters, arguments.max_pages, engine)
    encoder = None
    if arguments.encoder is not None:
        encoder = open_encoder(arguments.encoder, tokens, arguments.licence, arguments.trained_on)
    return ReportJob(arguments.out, reading, arguments.outcome, encoder, tokens, arguments.threads)


def _say_what_to_read(job: "ReportJob", console: "Console") -> None:
    """What was changed and found, and what to write into the cohort file."""
    import pandas as pd

    from prime.files import read_json

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
