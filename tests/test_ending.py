"""How a command ends when its reader goes away, when it is interrupted, and when it cannot print."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prime.standard_output import PatientStream

PRIME = [sys.executable, "-m", "prime"]


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    (tmp_path / "clinical.csv").write_text("id,t,e\n" + "".join(f"p{i},{i + 1},{i % 2}\n" for i in range(40)))
    (tmp_path / "genes.csv").write_text("patient_id,g\n" + "".join(f"p{i},{i}\n" for i in range(40)))
    path = tmp_path / "cohort.yaml"
    path.write_text(
        "name: c\nclinical: {format: table, path: clinical.csv, patient_id: id,"
        " endpoints: {os: {time: t, event: e}}}\n"
        "modalities: {rna: {genes: {reader: vector, path: genes.csv}}}\n"
    )
    return path


@pytest.mark.parametrize(
    "words", [["check", "COHORT"], ["check", "COHORT", "--json"], ["methods"], ["config"]]
)
def test_a_reader_who_goes_away_changes_no_status(cohort: Path, words: list[str]) -> None:
    command = [*PRIME, *(str(cohort) if word == "COHORT" else word for word in words)]
    whole = subprocess.run(command, capture_output=True, check=False)
    read, write = os.pipe()
    os.close(read)  # gone before anything is written
    gone = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (gone.returncode, gone.stderr) == (whole.returncode, whole.stderr)


def test_output_that_cannot_be_written_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*PRIME, "config"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: standard output: No space left on device\n"


def heed_interruptions() -> None:
    """What a shell's background jobs, of which the tests may be one, do not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("after", [0.0, 0.06, 0.15, 0.4, 0.9])
def test_an_interruption_is_one_line_and_status_130(cohort: Path, after: float) -> None:
    code = "import sys; from prime.__main__ import main; print('on', flush=True); sys.exit(main())"
    words = [sys.executable, "-c", code, "check", str(cohort)]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interruptions
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "on\n"
    time.sleep(after)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:  # it had ended
        return
    assert process.returncode == 130
    assert errors.strip().splitlines() == ["stopped; the same command goes on where it can"]


def test_a_patient_stream_is_the_stream_for_all_else(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w", encoding="utf-8") as file:
        stream = PatientStream(file)
        assert (stream.encoding, stream.isatty(), stream.write("ab")) == ("utf-8", False, 2)
        stream.flush()
        assert (tmp_path / "a").read_text() == "ab"
