"""Commands that only print text start without the libraries that take seconds to import."""

import json
import subprocess
import sys

import pytest

SLOW = {"torch", "pandas", "vl_convert", "sklearn", "scipy"}
CODE = """
import json, sys
from prime.cli import main
status = main(sys.argv[1:])
print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["--help"], ["study", "--help"], ["config"], ["methods"]], ids=" ".join)
def test_nothing_slow_is_imported(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stderr.splitlines()[-1])
    assert status == 0
    assert done.stdout
    assert not SLOW & set(modules)
