"""Render real reports to PDF, with a text layer and as noisy scans, read them back, and measure what is lost.

    python benchmarks/reports_ocr.py --reports FOLDER/reports.csv --out FOLDER [--count 20] [--seed 0]
                                     [--encoder minilm] [--psm 3] [--jobs 1]

Each report of a random sample is set in lines of 90 characters and written three ways: a PDF whose pages are
text, one whose pages are images like a good scan (300 dots an inch, turned by half a degree, light blur and
noise), and one like a poor scan (200 dots an inch, turned by one degree, more of both). All are read with the
defaults of `prime encode reports`, cleaned, and compared with the cleaned original:

- character and word error rate: Levenshtein distance over the original's length, white space as a blank;
- cosine similarity of the mean word-piece vector (200 word pieces), and for how many the original is the
  nearest of all originals. For scale: the same similarity between different reports.

Seconds are those of the processor, less disturbed by other work on the machine than those of the wall. Writes
rates.csv (a row a report and way) and summary.csv in --out, and prints the summary.
"""

import argparse
import io
import resource
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from prime.encode.reports.clean import clean
from prime.encode.reports.encoder import TokenSettings, encode_text, open_encoder
from prime.encode.reports.ocr import OcrSettings, page_reader
from prime.encode.reports.pdf import ReadSettings, read_pdf

WIDTH, HEIGHT, MARGIN, LEADING, POINTS = 612, 792, 54, 14, 10.5  # a letter page, in points
LINES = (HEIGHT - 2 * MARGIN) // LEADING
SCANS = {
    "good scan": {"dpi": 300, "degrees": 0.5, "blur": 0.7, "noise": 12.0},
    "poor scan": {"dpi": 200, "degrees": 1.0, "blur": 1.0, "noise": 25.0},
}
WAYS = ("text layer", *SCANS)


def page_lines(text: str, width: int = 90) -> list[list[str]]:
    """The text as pages of lines."""
    lines = [line for part in text.split("\n") for line in textwrap.wrap(part, width) or [""]]
    return [lines[start : start + LINES] for start in range(0, max(1, len(lines)), LINES)]


def write_text_pdf(pages: Sequence[Sequence[str]], path: Path) -> None:
    """A PDF with a text layer: Helvetica, one text object a page, as the format's reference has it."""
    count = len(pages)
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, lines in enumerate(pages):
        head = f"BT /F1 {POINTS} Tf {LEADING} TL {MARGIN} {HEIGHT - MARGIN} Td\n".encode()
        body = b"".join(b"(" + _escaped(line) + b") Tj T*\n" for line in lines)
        stream = head + body + b"ET"
        fonts = "/Resources << /Font << /F1 3 0 R >> >>"
        box = f"/MediaBox [0 0 {WIDTH} {HEIGHT}]"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R {box} /Contents {5 + 2 * number} 0 R {fonts} >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream")
    file = io.BytesIO()
    file.write(b"%PDF-1.4\n")
    offsets: list[int] = []
    for number, item in enumerate(objects, start=1):
        offsets.append(file.tell())
        file.write(b"%d 0 obj\n" % number + item + b"\nendobj\n")
    start = file.tell()
    file.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    file.write(b"".join(b"%010d 00000 n \n" % offset for offset in offsets))
    file.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start))
    path.write_bytes(file.getvalue())


def _escaped(line: str) -> bytes:
    return line.encode("cp1252", "replace").replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")


def scanned_page(
    lines: Sequence[str], rng: np.random.Generator, dpi: int, degrees: float, blur: float, noise: float
) -> Image.Image:
    """A page as a grey image: text in DejaVu Sans, turned, blurred, with Gaussian noise (of 255)."""
    scale = dpi / 72
    page = Image.new("L", (round(WIDTH * scale), round(HEIGHT * scale)), 255)
    face = font_manager.findfont("DejaVu Sans")
    font = ImageFont.truetype(face, round(POINTS * scale * 0.86))
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        draw.text((MARGIN * scale, (MARGIN + number * LEADING) * scale), line, font=font, fill=20)
    page = page.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=255)
    page = page.filter(ImageFilter.GaussianBlur(blur * dpi / 200))
    grey = np.asarray(page, dtype=np.float32) + rng.normal(0.0, noise, (page.height, page.width))
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


def write_scanned_pdf(pages: Sequence[Sequence[str]], path: Path, seed: int, **scan: Any) -> None:
    """A PDF whose pages are images without a text layer; `scan` as for scanned_page."""
    rng = np.random.default_rng(seed)
    images = [scanned_page(lines, rng, **scan) for lines in pages]
    images[0].save(path, "PDF", resolution=scan["dpi"], save_all=True, append_images=images[1:], quality=80)


def distance(first: Sequence[Any], second: Sequence[Any]) -> int:
    """Levenshtein distance of two sequences: insertions, deletions and substitutions count one each."""
    codes = {item: number for number, item in enumerate(dict.fromkeys([*first, *second]))}
    a = np.array([codes[item] for item in first], dtype=np.int64)
    b = np.array([codes[item] for item in second], dtype=np.int64)
    steps = np.arange(len(b) + 1)
    row = steps.copy()
    for number, item in enumerate(a, start=1):
        best = np.minimum(row[1:] + 1, row[:-1] + (b != item))
        best = np.concatenate([[number], best])
        row = np.minimum.accumulate(best - steps) + steps  # insertions, all at once
    return int(row[-1])


def error_rates(original: str, read: str) -> tuple[float, float]:
    """Character and word error rates of a text that was read, white space counting as one blank."""
    words, found = original.split(), read.split()
    characters = " ".join(words)
    return (
        distance(characters, " ".join(found)) / max(1, len(characters)),
        distance(words, found) / max(1, len(words)),
    )


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine similarities (n, m) of rows (n, d) and (m, d)."""
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return a @ b.T


def read_back(number: int, name: str, original: str, out: Path, psm: int) -> list[dict[str, Any]]:
    """One report written and read in every way: a row each, with the text that came back."""
    reading = ReadSettings(engine=OcrSettings(psm=psm))
    ocr = page_reader(reading.engine)
    pages = page_lines(original)
    rows: list[dict[str, Any]] = []
    for way in WAYS:
        path = out / f"{name}.{way.replace(' ', '_')}.pdf"
        if way in SCANS:
            write_scanned_pdf(pages, path, number, **SCANS[way])
        else:
            write_text_pdf(pages, path)
        started = _processor_seconds()
        found = read_pdf(path, reading, ocr)
        seconds = _processor_seconds() - started
        raw = "\f".join(page.text for page in found.pages)
        cleaned = clean(raw)
        characters, words = error_rates(original, cleaned.text)
        rows.append(
            {
                "report": name, "way": way, "pages": len(pages), "characters": len(original),
                "method": found.pages[0].method, "garbage_ratio": cleaned.garbage,
                "cer_uncleaned": error_rates(original, raw.replace("\x02", "-"))[0],
                "cer": characters, "wer": words, "seconds_a_page": seconds / len(pages),
                "text": cleaned.text,
            }
        )  # fmt: skip
    return rows


def _processor_seconds() -> float:
    """Of this process and the programs that it started and that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(item.ru_utime + item.ru_stime for item in used)


def measure(arguments: argparse.Namespace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row a report and way, and the summary over ways."""
    table = pd.read_csv(arguments.reports, dtype=str, keep_default_na=False)
    rng = np.random.default_rng(arguments.seed)
    chosen = table.iloc[sorted(rng.choice(len(table), arguments.count, replace=False))]
    originals = [clean(text).text for text in chosen["text"]]
    named = enumerate(zip(chosen["patient_filename"], originals, strict=True))
    found = joblib.Parallel(arguments.jobs)(
        joblib.delayed(read_back)(number, name, original, arguments.out, arguments.psm)
        for number, (name, original) in named
    )
    frame = pd.DataFrame([row for rows in found for row in rows])
    others = add_similarities(frame, originals, arguments.encoder)
    summary = pd.DataFrame(_summary(way, group) for way, group in frame.groupby("way", sort=False))
    return frame.drop(columns="text"), summary.assign(
        different_reports_mean=others.mean(), different_reports_most=others.max()
    )


def add_similarities(frame: pd.DataFrame, originals: list[str], name: str) -> NDArray[np.float64]:
    """Add the columns `similarity` and `nearest`; returns the similarities of different originals."""
    settings = TokenSettings()
    encoder = open_encoder(name, settings, None, None)

    def embed(text: str) -> NDArray[np.float64]:
        return encode_text(text, encoder, settings).tokens.astype(np.float64).mean(axis=0)

    vectors = np.stack([embed(text) for text in originals])
    similar = cosine(np.stack([embed(text) for text in frame["text"]]), vectors)
    own = np.repeat(np.arange(len(originals)), len(WAYS))
    frame["similarity"] = similar[np.arange(len(own)), own]
    frame["nearest"] = similar.argmax(axis=1) == own
    return cosine(vectors, vectors)[np.triu_indices(len(vectors), 1)]


def _summary(way: Any, group: pd.DataFrame) -> dict[str, Any]:
    """Error rates over all characters, similarities over reports."""
    rates = {
        name: np.average(group[name], weights=group["characters"]) for name in ("cer_uncleaned", "cer", "wer")
    }
    return {
        "way": way, "reports": len(group), "pages": group["pages"].sum(),
        "characters": group["characters"].sum(), **rates, "cer_worst": group["cer"].max(),
        "garbage_ratio": group["garbage_ratio"].mean(), "similarity_mean": group["similarity"].mean(),
        "similarity_least": group["similarity"].min(), "nearest": group["nearest"].sum(),
        "seconds_a_page": group["seconds_a_page"].median(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reports", type=Path, required=True, metavar="FILE.csv", help="TCGA-Reports")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="PDFs and tables; outside git")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="reports (20)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the sample (0)")
    parser.add_argument("--encoder", default="minilm", metavar="NAME", help="(minilm)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="reports at once (1)")
    parser.add_argument("--psm", type=int, default=3, metavar="N", help="of Tesseract (3)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    frame, summary = measure(arguments)
    frame.to_csv(arguments.out / "rates.csv", index=False)
    summary.to_csv(arguments.out / "summary.csv", index=False)
    print(summary.T.to_string(header=False))


if __name__ == "__main__":
    main()
