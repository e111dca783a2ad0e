"""The text of a PDF report, page by page: its text layer where that suffices, else OCR of its image; and
what is filled into its fields or noted on it.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw
from PIL.Image import Image

from prime.encode.reports.garbage import garbage_ratio
from prime.encode.reports.layer import fields_and_notes, text_layer
from prime.encode.reports.ocr import PageReader
from prime.encode.reports.options import ReadSettings
from prime.errors import InputError

POINTS_AN_INCH = 72
MOST_PIXELS = 60_000_000  # of a drawn page; larger pages are drawn with fewer dots per inch
SCAN_SHARE = 0.5  # a page of which images cover more counts as a scan
SCAN_FACTOR = 8  # a scan's text layer, which may be only a stamp, needs so many times the characters
LAYER_GARBAGE = 0.5  # a text layer with a larger share of tokens that are no words is not used


@dataclass(frozen=True)
class Page:
    """The text of a page and its origin: `text-layer`, `ocr`, `blank`, or for other files `text`, `csv`.

    `added`: the lines at its end that come from filled form fields and notes.
    """

    method: str
    text: str
    added: int = 0


@dataclass(frozen=True)
class Pages:
    """The pages of a report that were read, and the number of those that were not."""

    pages: tuple[Page, ...]
    left_out: int = 0


def read_pdf(path: Path, settings: ReadSettings, ocr: PageReader) -> Pages:
    """Read a PDF's pages, each by its text layer or by `ocr`.

    Raises:
        InputError: the file is empty, damaged, locked by a password, without pages or a form whose pages only
            Adobe's reader makes (XFA), or OCR fails.
    """
    with _opened(path) as document:
        count = len(document)
        if count == 0:
            raise InputError(f"{path.name}: the PDF has no pages; get the file again")
        if document.get_formtype() == raw.FORMTYPE_XFA_FULL:
            raise InputError(f"{path.name}: its pages are a dynamic form (XFA); print it to a PDF first")
        document.init_forms()
        wanted = range(min(count, settings.max_pages))
        pages = tuple(_read_page(document, number, path.name, settings, ocr) for number in wanted)
    return Pages(pages, count - len(pages))


@contextmanager
def _opened(path: Path) -> Generator[Any]:
    if path.stat().st_size == 0:
        raise InputError(f"{path.name}: the file is empty; get it again")
    try:
        document = pdfium.PdfDocument(path)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise InputError(
                f"{path.name}: the PDF is locked by a password; save a copy without one"
            ) from None
        raise InputError(f"{path.name}: not a whole PDF ({error}); get the file again") from None
    try:
        yield document
    finally:
        document.close()


def _read_page(document: Any, number: int, name: str, settings: ReadSettings, ocr: PageReader) -> Page:
    try:
        page = document[number]
        lines = fields_and_notes(page, document.formenv)
        layer = "" if settings.ocr == "always" else text_layer(document, number, page)
        scanned = _image_share(page)
        if settings.ocr == "never" or layer_suffices(layer, scanned, settings):
            return _with_lines("text-layer", layer, lines)
        if not layer.strip() and next(iter(page.get_objects(max_depth=1)), None) is None:
            return _with_lines("text-layer" if lines else "blank", "", lines)
        image = _drawn(page, settings.engine.dpi)
    except pdfium.PdfiumError as error:
        raise InputError(f"{name}: page {number + 1} is damaged ({error}); get the file again") from None
    try:
        return _with_lines("ocr", ocr(image), lines)
    except InputError as error:
        raise InputError(f"{name}: page {number + 1} needs OCR: {error}") from None


def _with_lines(method: str, text: str, lines: list[str]) -> Page:
    """A page with the lines of its fields and notes that its text does not have already."""
    squeezed = "".join(text.split()).casefold()
    more = [line for line in lines if "".join(line.split()).casefold() not in squeezed]
    return Page(method, "\n".join([text, *more] if text else more), len(more))


def layer_suffices(layer: str, image_share: float, settings: ReadSettings) -> bool:
    """Whether a page's text layer is used: it has `min_characters`, eight times as many where images cover
    more than half of the page (`image_share`, 0 to 1), and at least half of its tokens look like words.
    """
    least = settings.min_characters * (SCAN_FACTOR if image_share > SCAN_SHARE else 1)
    return len("".join(layer.split())) >= max(1, least) and garbage_ratio(layer) <= LAYER_GARBAGE


def _image_share(page: Any) -> float:
    """The share of the page that images cover, overlaps counted twice, at most 1."""
    width, height = page.get_size()
    covered = 0.0
    for item in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = item.get_bounds()
        covered += max(0.0, right - left) * max(0.0, top - bottom)
    return min(1.0, covered / max(1.0, width * height))


def _drawn(page: Any, dpi: int) -> Image:
    """The page as a grey image, with `dpi` dots per inch or as many as MOST_PIXELS allows."""
    width, height = page.get_size()
    scale = min(dpi / POINTS_AN_INCH, (MOST_PIXELS / max(1.0, width * height)) ** 0.5)
    return page.render(scale=scale, grayscale=True, may_draw_forms=False).to_pil()
