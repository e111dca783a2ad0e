"""The pages of a report. Those of a PDF are kept on disk by content and settings, so that OCR runs once."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prime.cohort.plain_text import refuse_markup
from prime.encode.reports.ocr import PageReader
from prime.encode.reports.pdf import Page, Pages, ReadSettings, read_pdf
from prime.encode.reports.sources import Report
from prime.encode.work import settings_hash
from prime.errors import InputError
from prime.files import read_text, sha256_file, write_json
from prime.parsing import read_json

PAGES = "pages"  # folder in the output folder
VERSION = 2  # raise it when the same page gives another text, so that every page is read again


def read_report(report: Report, out: Path, settings: ReadSettings, ocr: PageReader) -> Pages:
    """The pages of a report; those of a PDF are kept in `out`/pages and read from there the next time.

    Raises InputError where the file cannot be read (see read_pdf), is not UTF-8, is RTF or HTML, or holds no
    text.
    """
    if report.kind == "pdf":
        pages = _kept_pdf(report.path, out, settings, ocr)
    else:
        whole = read_text(report.path)
        refuse_markup(whole, report.path.name)
        pages = Pages(tuple(Page(report.kind, text) for text in whole.split("\f")))
    if not any(page.text.strip() for page in pages.pages):
        hint = " (text layer only: --ocr never)" if settings.ocr == "never" and report.kind == "pdf" else ""
        raise InputError(f"{report.path.name}: no text on its {len(pages.pages)} page(s){hint}")
    return pages


def _kept_pdf(path: Path, out: Path, settings: ReadSettings, ocr: PageReader) -> Pages:
    kept = out / PAGES / f"{sha256_file(path)[:32]}-{settings_hash([VERSION, asdict(settings)])[:16]}.json"
    if kept.is_file():
        try:
            return _of_json(read_json(kept))
        except (InputError, KeyError, TypeError):
            kept.unlink()  # damaged: read the PDF again
    pages = read_pdf(path, settings, ocr)
    write_json(kept, asdict(pages))
    return pages


def _of_json(value: dict[str, Any]) -> Pages:
    return Pages(tuple(Page(**page) for page in value["pages"]), int(value["left_out"]))
