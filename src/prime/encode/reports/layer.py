"""What a PDF's page holds as text: its text layer, filled form fields, and notes."""

import ctypes
import io
import math
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pypdfium2 as pdfium
import pypdfium2.raw as raw

LOOKED_AT = 500  # characters of a page by which the direction of its text is found
UNSEEN = raw.FPDF_ANNOT_FLAG_HIDDEN | raw.FPDF_ANNOT_FLAG_NOVIEW
PASSWORD = 1 << 13  # flag of a text field (PDF 32000, table 228)
VALUES = (raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX)
BOXES = (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON)
NO_NOTES = (raw.FPDF_ANNOT_POPUP, raw.FPDF_ANNOT_LINK)  # a popup repeats the note that it belongs to


def text_layer(document: Any, number: int, page: Any) -> str:
    """The text layer of page `number`, read in the direction of most of its characters, however it is shown.

    PDFium mixes up lines that do not run from left to right on the page, so these pages are turned first.
    """
    shown = page.get_rotation()
    page.set_rotation(0)
    try:
        angle = _angle_of_text(page)
        if not angle:
            return _text_of(page)
    finally:
        page.set_rotation(shown)
    with pdfium.PdfDocument.new() as copy:
        copy.import_pages(document, [number])
        _turn(copy[0], angle)
        buffer = io.BytesIO()
        copy.save(buffer)
    with pdfium.PdfDocument(buffer.getvalue()) as turned:
        return _text_of(turned[0])


def _angle_of_text(page: Any) -> int:
    """How far (0, 90, 180 or 270 degrees, counterclockwise) most characters of the page are turned."""
    with _text_page(page) as text:
        count = text.count_chars()
        angles = Counter(
            round(raw.FPDFText_GetCharAngle(text.raw, place) / (math.pi / 2)) % 4
            for place in range(0, count, max(1, count // LOOKED_AT))
            if chr(raw.FPDFText_GetUnicode(text.raw, place)).isalnum()
        )
    return -90 * angles.most_common(1)[0][0] % 360 if angles else 0  # PDFium counts clockwise


def _turn(page: Any, angle: int) -> None:
    """Turn what is on a page by so many degrees clockwise, and the page with it."""
    a, b, c, d = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}[angle]
    left, bottom, right, top = page.get_mediabox()
    x = sorted(a * u + c * v for u in (left, right) for v in (bottom, top))
    y = sorted(b * u + d * v for u in (left, right) for v in (bottom, top))
    page.set_rotation(0)
    raw.FPDFPage_TransFormWithClip(page.raw, raw.FS_MATRIX(a, b, c, d, -x[0], -y[0]), None)
    for place in (page.set_mediabox, page.set_cropbox):
        place(0, 0, x[-1] - x[0], y[-1] - y[0])


def _text_of(page: Any) -> str:
    with _text_page(page) as text:
        return str(text.get_text_bounded())


@contextmanager
def _text_page(page: Any) -> Generator[Any]:
    text = page.get_textpage()
    try:
        yield text
    finally:
        text.close()


def fields_and_notes(page: Any, form: Any) -> list[str]:
    """Lines of the fields that are filled in (`name: value`, a ticked box `[x] name`) and of the notes.

    In the order of the page's annotations, each line once. What is hidden and passwords are left out.

    Args:
        page: a page of pypdfium2.
        form: the document's form environment, None where it has no form.
    """
    lines: list[str] = []
    for place in range(raw.FPDFPage_GetAnnotCount(page.raw)):
        annotation = raw.FPDFPage_GetAnnot(page.raw, place)
        if not annotation:
            continue
        try:
            lines.append(_line(annotation, form))
        finally:
            raw.FPDFPage_CloseAnnot(annotation)
    return list(dict.fromkeys(line for line in lines if line))


def _line(annotation: Any, form: Any) -> str:
    kind = raw.FPDFAnnot_GetSubtype(annotation)
    if raw.FPDFAnnot_GetFlags(annotation) & UNSEEN or kind in NO_NOTES:
        return ""
    if kind != raw.FPDF_ANNOT_WIDGET:
        return _string(raw.FPDFAnnot_GetStringValue, annotation, b"Contents")
    return "" if form is None else _field(annotation, form)


def _field(annotation: Any, form: Any) -> str:
    """A field that is filled in, empty for others."""
    kind = raw.FPDFAnnot_GetFormFieldType(form.raw, annotation)
    name = _string(raw.FPDFAnnot_GetFormFieldAlternateName, form.raw, annotation)
    name = name or _string(raw.FPDFAnnot_GetFormFieldName, form.raw, annotation)
    if kind in BOXES:
        if not raw.FPDFAnnot_IsChecked(form.raw, annotation):
            return ""
        value = _string(raw.FPDFAnnot_GetFormFieldExportValue, form.raw, annotation)
        said = "" if value.casefold() in ("", "on", "yes", "1") else f": {value}"
        return f"[x] {name}{said}"
    if kind not in VALUES:
        return ""
    if (
        kind == raw.FPDF_FORMFIELD_TEXTFIELD
        and raw.FPDFAnnot_GetFormFieldFlags(form.raw, annotation) & PASSWORD
    ):
        return ""
    value = _string(raw.FPDFAnnot_GetFormFieldValue, form.raw, annotation)
    return f"{name}: {value}" if name and value else value


def _string(get: Callable[..., int], *arguments: Any) -> str:
    """A text that PDFium writes as UTF-16 into a buffer, the size of which it says; without outer blanks."""
    size = int(get(*arguments, None, 0))
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(size)
    get(*arguments, ctypes.cast(buffer, ctypes.POINTER(raw.FPDF_WCHAR)), size)
    text = buffer.raw[: size - 2].decode("utf-16-le", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()
