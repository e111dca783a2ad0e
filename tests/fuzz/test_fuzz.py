"""Seeded changes of every kind of input: no traceback, no file outside, no other answer in silence.

`FUZZ_TIMES` multiplies the cases (`make fuzz`), `FUZZ_SEED` draws others. With `FUZZ_FIGURES` a line a kind
is added to that file.
"""

import os
import resource
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from prime.errors import InputError
from tests.fuzz.kinds import KINDS, Bench, ChangedInSilence
from tests.fuzz.world import make_world

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
LONGEST_S, MOST_GB = 20, 3


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("fuzz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIME_CACHE", str(folder / "cache"))
        world = make_world(folder / "world")
    (folder / "cases").mkdir()
    return Bench(world, folder / "cases")


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_there_are_two_thousand_cases() -> None:
    assert sum(KINDS.values()) >= 2000


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_fuzz(
    kind: Callable[[Random, Bench], None], bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRIME_CACHE", str(bench.folder / "cache"))
    around = bench.folder.parent
    before = {name: tree(around / name) for name in os.listdir(around) if name != "cases"}
    found: Counter[str] = Counter()
    faults: list[str] = []
    slowest = 0.0
    for number in range(KINDS[kind] * TIMES):
        started = time.perf_counter()
        try:
            with warnings.catch_warnings(action="ignore"):
                kind(Random(f"{SEED} {kind.__name__} {number}"), bench)
            found["taken"] += 1
        except InputError as error:
            found["refused"] += 1
            if not str(error).strip() or len(str(error)) > 5000:
                faults.append(f"case {number}: a message of {len(str(error))} letters")
        except ChangedInSilence as error:
            faults.append(f"case {number}: changed in silence: {error}")
        except Exception:
            faults.append(f"case {number}: {traceback.format_exc(limit=-4)}")
        slowest = max(slowest, time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    figures = f"{kind.__name__},{sum(found.values())},{found['refused']},{found['taken']},{len(faults)}"
    if out := os.environ.get("FUZZ_FIGURES"):
        with open(out, "a", encoding="utf-8") as file:
            file.write(f"{figures},{slowest:.2f},{peak:.2f}\n")
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults[:5])
    assert not list(tmp_path.iterdir())
    assert {name: tree(around / name) for name in os.listdir(around) if name != "cases"} == before
    assert slowest < LONGEST_S
    assert peak < MOST_GB
