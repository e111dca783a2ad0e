"""How reports are read and encoded: the options of `prime encode reports`, each in one place.

The fields of these classes are what finished patients are compared with, under these names.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from cyclopts import Parameter

from prime.arguments import Count, about, whole


@Parameter("*")
@dataclass(frozen=True)
class OcrSettings:
    """How pages that are images are read."""

    engine: Annotated[
        Literal["tesseract", "textract"],
        about("tesseract runs here; textract SENDS THE PAGES to Amazon Web Services."),
    ] = "tesseract"
    language: Annotated[str, about("Tesseract's language, such as deu or deu+eng.", "LANG")] = "eng"
    psm: Annotated[int, whole(0, 13), about("Tesseract's mode of page segmentation.")] = 3
    dpi: Annotated[int, whole(72, 1200), about("Dots per inch at which pages are drawn.")] = 300
    region: Annotated[str | None, about("AWS region (that of its configuration).", "NAME")] = None
    endpoint_url: Annotated[
        str | None, about("A server other than Amazon's with Textract's interface.", "URL")
    ] = None


@Parameter("*")
@dataclass(frozen=True)
class ReadSettings:
    """How reports are read."""

    ocr: Annotated[
        Literal["auto", "always", "never"],
        about("OCR of pages whose text layer does not suffice, of all, or of none."),
    ] = "auto"
    min_characters: Annotated[
        Count, about("Least characters of a usable text layer; eight times as many on a scan.")
    ] = 50
    max_pages: Annotated[Count, about("Most pages read of a PDF.")] = 100
    engine: OcrSettings = OcrSettings()


@Parameter("*")
@dataclass(frozen=True)
class TokenSettings:
    """How a report that is longer than the encoder's window is encoded.

    `head` encodes the first window only; `pooled` makes one token of every window, the mean over its word
    pieces; `joined` keeps every word piece of all windows.
    """

    max_tokens: Annotated[int, whole(3), about("Word pieces per window.")] = 200
    long: Annotated[
        Literal["head", "pooled", "joined"],
        about("Long reports: first window; mean of each window; all word pieces."),
    ] = "head"
    overlap: Annotated[int, whole(0), about("Word pieces that neighbouring windows share.")] = 50
    limit: Annotated[Count, about("Most tokens per patient, with pooled or joined.")] = 1000
    precision: Annotated[
        Literal["float32", "bfloat16"],
        about("float32 repeats exactly; bfloat16 is faster on processors that have it."),
    ] = "float32"
