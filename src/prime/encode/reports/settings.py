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
    language: Annotated[str, about("Of Tesseract, such as deu or deu+eng.", "LANG")] = "eng"
    psm: Annotated[int, whole(0, 13), about("Tesseract's page segmentation.")] = 3
    dpi: Annotated[int, whole(72, 1200), about("At which pages are drawn.")] = 300
    region: Annotated[str | None, about("Of AWS (its configuration's).", "NAME")] = None
    endpoint_url: Annotated[str | None, about("Another address that speaks Textract.", "URL")] = None


@Parameter("*")
@dataclass(frozen=True)
class ReadSettings:
    """How reports are read."""

    ocr: Annotated[
        Literal["auto", "always", "never"],
        about("For pages whose text layer does not suffice, for all, for none."),
    ] = "auto"
    min_characters: Annotated[
        Count, about("That a page's text layer needs; eight times as many on a scan.")
    ] = 50
    max_pages: Annotated[Count, about("Read of a PDF.")] = 100
    engine: OcrSettings = OcrSettings()


@Parameter("*")
@dataclass(frozen=True)
class TokenSettings:
    """What becomes of a report that is longer than the encoder's window."""

    max_tokens: Annotated[int, whole(3), about("Word pieces of a window.")] = 200
    long: Annotated[
        Literal["head", "pooled", "joined"],
        about("First window; the mean of each; all windows' word pieces."),
    ] = "head"
    overlap: Annotated[int, whole(0), about("Word pieces that windows share.")] = 50
    limit: Annotated[Count, about("Tokens kept with pooled or joined.")] = 1000
    precision: Annotated[
        Literal["float32", "bfloat16"],
        about("float32 repeats exactly; bfloat16 is faster on processors that have it."),
    ] = "float32"
