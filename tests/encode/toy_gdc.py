"""A toy TCGA on a loopback server: slides, STAR counts, reports and cases of 36 made-up patients.

    python tests/encode/toy_gdc.py        # prints the address; PRIME_GDC=ADDRESS prime gdc query ...

One hidden number of a patient sets the colour of the tissue, the level of some genes, the words of the report
and the length of life, so there is something to learn.
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where this file is run by itself

from benchmarks.reports_ocr import page_lines, write_text_pdf
from tests.encode.gdc_server import GdcServer, serving
from tests.encode.slide_files import tissue, write_slide

PATIENTS = [f"TCGA-TY-{number:04d}" for number in range(1, 37)]
PROJECT = "TCGA-TOY"
GENES = 60
STAR_HEAD = (
    "# gene-model: GENCODE v36\n"
    "gene_id\tgene_name\tgene_type\tunstranded\tstranded_first\tstranded_second\ttpm_unstranded"
    "\tfpkm_unstranded\tfpkm_uq_unstranded\n"
    "N_unmapped\t\t\t5\t5\t5\nN_multimapping\t\t\t5\t5\t5\nN_noFeature\t\t\t5\t5\t5\nN_ambiguous\t\t\t5\t5\t5\n"
)
WORDS = {
    True: "High grade tumor with necrosis, frequent mitoses and lymphovascular invasion. Margins involved.",
    False: "Low grade tumor, well circumscribed, few mitoses. Margins are free of tumor.",
}


def star_file(severity: float, chance: np.random.Generator) -> bytes:
    """STAR counts in which every second gene rises with severity."""
    lines = [STAR_HEAD]
    for gene in range(GENES):
        level = 3 + (0.8 * severity if gene % 2 else 0.0) + 0.3 * chance.normal()
        tpm = float(np.expm1(max(level, 0.0)))
        row = [f"ENSG{gene + 1:011d}.1", f"GENE{gene + 1}", "protein_coding", *["10"] * 3, f"{tpm:.4f}"]
        lines.append("\t".join([*row, "1.0", "1.0"]) + "\n")
    return "".join(lines).encode()


def slide_file(severity: float, seed: int, folder: Path) -> bytes:
    """A slide of 512 x 512 um whose tissue is the redder the worse."""
    picture = tissue(512, 512, seed).astype(np.float64)
    inside = picture.mean(axis=2) < 245
    picture[inside] += np.array([20.0, -10.0, -20.0]) * severity
    path = write_slide(folder / f"{seed}.tiff", np.clip(picture, 0, 255).astype(np.uint8), mpp=1.0)
    return path.read_bytes()


def report_file(severity: float, number: int, folder: Path) -> bytes:
    """A report of one page with a text layer."""
    text = f"Pathology report number {number}. {WORDS[severity > 0]} Specimen received in formalin."
    path = folder / f"{number}.pdf"
    write_text_pdf(page_lines(text), path)
    return path.read_bytes()


def fill(server: GdcServer, folder: Path) -> None:
    """Put the toy patients on a server; a sixth of them lack slides, RNA or a report each."""
    chance = np.random.default_rng(0)
    for number, patient in enumerate(PATIENTS):
        severity = float(chance.normal())
        files: dict[str, tuple[str, bytes]] = {
            "slides": (f"{patient}-01Z-00-DX1", slide_file(severity, number, folder)),
            "rna": (f"{patient}-01A-11R-A12P-07", star_file(severity, chance)),
            "reports": (patient, report_file(severity, number, folder)),
        }
        for column, (kind, (barcode, data)) in enumerate(files.items()):
            if number % 6 != column:
                server.add(kind, barcode, data, project=PROJECT)
        server.add_case(patient, PROJECT, **_case(severity, chance))


def _case(severity: float, chance: np.random.Generator) -> dict[str, Any]:
    death = int(1 + 900 * np.exp(-severity) * chance.exponential())
    censored = int(chance.integers(300, 2500))
    dead = death <= censored
    return {
        "demographic": {
            "vital_status": "Dead" if dead else "Alive",
            "days_to_death": death if dead else None,
            "age_at_index": int(60 + 6 * severity),
            "gender": "female" if chance.random() < 0.5 else "male",
        },
        "follow_ups": [{"days_to_follow_up": min(death, censored)}],
    }


@contextmanager
def toy_tcga() -> Generator[GdcServer]:
    """The server, filled."""
    with TemporaryDirectory() as folder, serving() as server:
        fill(server, Path(folder))
        yield server


if __name__ == "__main__":
    with toy_tcga() as running:
        print(f"{running.url}   (Ctrl-C ends it)", flush=True)
        try:
            running.over.wait()
        except KeyboardInterrupt:
            print("ended")
