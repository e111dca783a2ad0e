"""Text from images of pages: by Tesseract on this machine, or by AWS Textract, which gets the image."""

import io
import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from PIL.Image import Image, Transpose

from prime.encode.reports.garbage import garbage_ratio, looks_like_a_word
from prime.encode.reports.options import OcrSettings
from prime.encode.reports.specks import without_specks
from prime.errors import InputError

PageReader = Callable[[Image], str]
PAGE_SECONDS = 600  # a page on which Tesseract takes longer fails
SIDES = (Transpose.ROTATE_90, Transpose.ROTATE_180, Transpose.ROTATE_270)
DOUBTFUL = 0.25  # garbage ratio; pages the right way up have below 0.1, turned ones above 0.4
TEXTRACT_BYTES = 10 * 1024 * 1024  # the largest image that DetectDocumentText takes
INSTALL = (
    "Tesseract is not installed; install it (Debian, Ubuntu: apt install tesseract-ocr; macOS: brew install "
    "tesseract; Windows: github.com/UB-Mannheim/tesseract/wiki; conda: conda install -c conda-forge "
    "tesseract) or use --engine textract"
)


def page_reader(settings: OcrSettings) -> PageReader:
    """The function that reads the image of a page. Nothing is started before it is called."""
    if settings.engine == "tesseract":
        return partial(tesseract_text, settings=settings)
    return lambda image: textract_text(image, textract_client(settings.region, settings.endpoint_url))


def tesseract_text(image: Image, settings: OcrSettings) -> str:
    """The text of a page's image by Tesseract, after a median filter where the page is full of specks.

    A page whose text looks like garbage is read once more from each other side, and the text with the most
    letters in words is taken: pages may be scanned sideways or upside down.

    Raises:
        InputError: Tesseract or the language is not installed, or Tesseract fails or takes too long.
    """
    os.environ.setdefault("OMP_THREAD_LIMIT", "1")  # patients run in parallel: its own threads slow it
    options = f"--psm {settings.psm} --dpi {settings.dpi}"
    _refuse_missing_language(settings.language)
    page = without_specks(image)
    text = _one_side(page, settings.language, options)
    if garbage_ratio(text) <= DOUBTFUL and text.strip():
        return text
    turned = (_one_side(page.transpose(side), settings.language, options) for side in SIDES)
    return max([text, *turned], key=letters_in_words)


def letters_in_words(text: str) -> int:
    """Letters in what looks like words of three letters or more."""
    return sum(len(token) for token in text.split() if len(token) > 2 and looks_like_a_word(token))


def _one_side(image: Image, language: str, options: str) -> str:
    import pytesseract

    try:
        text = pytesseract.image_to_string(image, language, options, timeout=PAGE_SECONDS)
    except pytesseract.TesseractError as error:
        raise InputError(f"Tesseract failed: {' '.join(str(error).split())}") from None
    except RuntimeError as error:  # pytesseract's timeout
        raise InputError(f"Tesseract: {error} (page of {image.width} x {image.height} px)") from None
    return str(text)


def _refuse_missing_language(wanted: str) -> None:
    """Tesseract itself would silently go on without a language that is missing, as long as it has another."""
    installed = _installed_languages()
    missing = [name for name in wanted.split("+") if name not in installed]
    if missing:
        raise InputError(
            f"--language {wanted}: Tesseract has no {', '.join(missing)}, only "
            f"{', '.join(installed) or 'none'}; install it (Debian, Ubuntu: apt install "
            f"tesseract-ocr-{missing[0]})"
        )


@cache
def _installed_languages() -> tuple[str, ...]:
    import pytesseract

    try:
        return tuple(str(name) for name in pytesseract.get_languages() if name != "osd")
    except pytesseract.TesseractNotFoundError:
        raise InputError(INSTALL) from None


@cache
def textract_client(region: str | None, endpoint_url: str | None) -> Any:
    """A Textract client with the credentials of the AWS configuration.

    Raises InputError where boto3 is not installed or no region is known.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise InputError(
            "--engine textract: boto3 is not installed; pip install 'prime-prognosis[textract]'"
        ) from None
    retries = Config(retries={"mode": "standard", "max_attempts": 8})
    try:
        return boto3.client("textract", region_name=region, endpoint_url=endpoint_url, config=retries)
    except BotoCoreError as error:
        raise InputError(f"--engine textract: {error}; give --region or set AWS_DEFAULT_REGION") from None


def textract_text(image: Image, client: Any) -> str:
    """The lines of a page's image by Textract's DetectDocumentText, in the order that it gives them.

    Raises InputError where the service refuses, cannot be reached, or gives an answer of another form.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = client.detect_document_text(Document={"Bytes": _encoded(image)})
        blocks = answer["Blocks"]
        lines = [str(block["Text"]) for block in blocks if block["BlockType"] == "LINE"]
    except (BotoCoreError, ClientError) as error:
        raise InputError(f"AWS Textract: {error}") from None
    except KeyError as error:
        raise InputError(f"AWS Textract: the answer has no {error}") from None
    return "\n".join(lines)


def _encoded(image: Image) -> bytes:
    """The image as PNG, or as JPEG where that is larger than Textract takes."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    if buffer.tell() > TEXTRACT_BYTES:
        buffer = io.BytesIO()
        image.convert("L").save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
