"""Kill every command at random moments, run it again, and compare what it leaves with that of a whole run.

    python benchmarks/kill_commands.py [--kills 10] [--interrupt] [--only pack evaluate] [--seed 0]

A made-up cohort without reports goes the whole way: simulate, check, pack, pretrain, evaluate, fit,
predict, embed, validate, recalibrate, study, report, audit. A kill is a SIGKILL at a moment drawn from the
time that the whole run took; with --interrupt it is a Ctrl-C, which must end in status 130 and one line.
After the second run the files that hold results must be those of the whole run, byte for byte, and no hidden
file may be left. Prints a line a command; ends with status 1 where anything differs. Without --kills: 100 of
pretrain, evaluate and study, 30 of each of the others.

A command that is to be killed is forked from this process, which has imported everything, so that moments
fall into its work and not into imports; one that is to be interrupted is a process of its own, as a user
starts it. `kill_resume.py` does the same within pretraining, epoch by epoch.
"""

import argparse
import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random

import yaml

from prime.__main__ import main as prime
from prime.files import sha256_file

FORK = multiprocessing.get_context("fork")
HEAVY = (
    "prime.demo.simulate", "prime.cohort.survey.write", "prime.cohort.check.check", "prime.store.packing",
    "prime.pretraining.loop", "prime.downstream.grid", "prime.predict.fit", "prime.predict.predict",
    "prime.predict.embedding", "prime.validation.validate", "prime.validation.recalibrate", "prime.study.run",
    "prime.study.registry", "prime.report.page", "prime.audit.audit", "sklearn.neighbors", "scipy.stats",
)  # fmt: skip
MANY, FEW = 100, 30
OFTEN = ("pretrain", "evaluate", "study")
EXPERIMENT = """cohort: cohort/cohort.yaml
store: store
model: {dim: 16, queries: 2, heads: 2, blocks: 1, experts: 2, top_k: 1, prototypes: 4, projection_dim: 8}
pretrain: {epochs: 3, batch_size: 32, precision: 32-true, top_k: 2}
evaluate: {fold_count: 2, modes: [lp], bootstrap: 10, probe: {components: 4, ridge: [1.0]}}
"""
STOPPED = "stopped; the same command goes on where it can"


@dataclass(frozen=True)
class Command:
    """A command of `prime`, the folder or file that it makes, and which files of it hold results."""

    words: tuple[str, ...]
    out: str | None
    results: tuple[str, ...] = ("**/*",)
    ends: tuple[int, ...] = (0,)


OTHER_PLACE = Command(("simulate", "other", "--patients", "120", "--seed", "1"), "other")
COMMANDS = {
    "simulate": Command(("simulate", "cohort", "--patients", "200"), "cohort"),
    "check": Command(("check", "cohort/cohort.yaml"), None),
    "pack": Command(  # the manifest names the folder of the trial
        ("pack", "cohort/cohort.yaml", "--out", "store"), "store", ("*.npy", "*.parquet")
    ),
    "pretrain": Command(
        ("pretrain", "experiment.yaml", "--out", "run"),
        "run",
        ("model.safetensors",),
    ),
    "evaluate": Command(
        ("evaluate", "experiment.yaml", "--checkpoint", "run", "--out", "tables"),
        "tables",
        ("*.csv",),
    ),
    "fit": Command(
        ("fit", "experiment.yaml", "--checkpoint", "run", "--cohort-name", "all", "--out", "model"),
        "model",
        ("*.safetensors", "*.json"),
    ),
    "predict": Command(
        ("predict", "--model", "model", "--cohort", "cohort/cohort.yaml", "--out", "p.csv", "--reasons", "3"),
        "p.csv",
    ),
    "embed": Command(("embed", "model", "--cohort", "cohort/cohort.yaml", "--out", "e.parquet"), "e.parquet"),
    "validate": Command(
        (
            "validate",
            "--model",
            "model",
            "--cohort",
            "other/cohort.yaml",
            "--out",
            "valid",
            "--bootstrap",
            "20",
        ),
        "valid",
        ("*.csv",),
    ),
    "recalibrate": Command(
        ("recalibrate", "--model", "model", "--cohort", "other/cohort.yaml", "--out", "local"),
        "local",
        ("*.safetensors", "*.json"),
    ),
    "study": Command(
        (
            "study",
            "table2",
            "--config",
            "experiment.yaml",
            "--out",
            "study",
            "--preset",
            "quick",
        ),
        "study",
        ("table2/*.csv",),
    ),
    "report": Command(("report", "study"), "study/report.html"),
    "audit": Command(("audit", "tables", "--out", "audit"), "audit", ("*.csv",), ends=(0, 1)),
}


@dataclass(frozen=True)
class Forked:
    """A command in a child of this process, with the methods of a `Popen` that are used here."""

    process: "multiprocessing.process.BaseProcess"
    errors: Path

    def send_signal(self, number: int) -> None:
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, number)

    def communicate(self) -> tuple[str, str]:
        self.process.join()
        return "", self.errors.read_text(encoding="utf-8") if self.errors.exists() else ""

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode


def environment(folder: Path) -> dict[str, str]:
    return {"OMP_NUM_THREADS": "1", "PRIME_CACHE": str(folder / "cache")}


def child(words: tuple[str, ...], folder: Path, errors: Path) -> None:
    """One command in a forked process; a traceback goes to the file of errors."""
    import torch

    torch.set_num_threads(1)
    os.chdir(folder)
    os.environ.update(environment(folder))
    sys.argv = ["prime", *words]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    try:
        status = prime()
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def forked(command: Command, folder: Path) -> Forked:
    errors = folder.with_suffix(".errors")
    process = FORK.Process(target=child, args=(command.words, folder, errors))
    process.start()
    return Forked(process, errors)


def started(command: Command, folder: Path) -> subprocess.Popen[str]:
    """The command in `folder` as a user starts it, on one thread."""
    return subprocess.Popen(
        [sys.executable, "-m", "prime", *command.words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment(folder)},
    )


def finish(command: Command, folder: Path) -> None:
    """Run to the end. Raises SystemExit where that fails."""
    process = forked(command, folder)
    _, errors = process.communicate()
    if process.returncode not in command.ends:
        sys.exit(f"{' '.join(command.words)}: status {process.returncode}: {errors}")


def results(command: Command, folder: Path) -> dict[str, str]:
    """The hashes of the files that hold results."""
    if command.out is None:
        return {}
    out = folder / command.out
    paths = [out] if out.is_file() else [path for pattern in command.results for path in out.glob(pattern)]
    return {str(p.relative_to(folder)): sha256_file(p) for p in paths if p.is_file() and p.name[0] != "."}


def hidden(folder: Path) -> list[str]:
    """Half-written files that were left."""
    return [path.name for path in folder.rglob(".*.*") if path.is_file()]


def struck(command: Command, folder: Path, after: float, interrupt: bool) -> str:
    """Start the command and stop it after so many seconds. Returns what is wrong with how it ended."""
    process = started(command, folder) if interrupt else forked(command, folder)
    time.sleep(after)
    process.send_signal(signal.SIGINT if interrupt else signal.SIGKILL)
    _, errors = process.communicate()
    if not interrupt or process.returncode == 0:  # a kill, or it had ended
        return ""
    lines = [line for line in errors.splitlines() if line.strip()]
    right = process.returncode == 130 and lines[-1:] == [STOPPED] and "Traceback" not in errors
    return "" if right else f"status {process.returncode}: {errors[-2000:]}"


def without_reports(path: Path) -> None:
    """Take the reports, which need a text encoder, out of a cohort file."""
    value = yaml.safe_load(path.read_text(encoding="utf-8"))
    del value["modalities"]["report"]
    path.write_text(yaml.safe_dump(value), encoding="utf-8")


def prepare(folder: Path) -> dict[str, float]:
    """The whole way once. Returns the seconds of each command."""
    (folder / "experiment.yaml").write_text(EXPERIMENT, encoding="utf-8")
    seconds: dict[str, float] = {}
    for name, command in COMMANDS.items():
        begun = time.perf_counter()
        finish(command, folder)
        seconds[name] = time.perf_counter() - begun
        if name == "simulate":
            without_reports(folder / "cohort" / "cohort.yaml")
            finish(OTHER_PLACE, folder)
            without_reports(folder / "other" / "cohort.yaml")
    return seconds


def remove(folder: Path, out: str | None) -> None:
    if out is not None:
        shutil.rmtree(folder / out, ignore_errors=True)
        (folder / out).unlink(missing_ok=True)


def trial(name: str, whole: Path, folder: Path, after: float, interrupt: bool) -> str:
    """One kill and one run to the end, in a copy of the whole way. Returns what is wrong, or nothing."""
    command = COMMANDS[name]
    shutil.copytree(whole, folder)
    expected = results(command, whole)
    if name == "simulate":
        (folder / "cohort" / "cohort.yaml").unlink()
        expected.pop("cohort/cohort.yaml")
    remove(folder, command.out)
    fault = struck(command, folder, after, interrupt)
    finish(command, folder)
    found = results(command, folder)
    found.pop("cohort/cohort.yaml", None) if name == "simulate" else None
    differing = sorted(key for key in {*expected, *found} if expected.get(key) != found.get(key))
    left = hidden(folder)
    shutil.rmtree(folder)
    faults = [fault, f"differing: {differing}" if differing else "", f"left: {left}" if left else ""]
    return "; ".join(filter(None, faults))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, help="of each command (100 of some, 30 of others)")
    parser.add_argument("--interrupt", action="store_true", help="Ctrl-C instead of SIGKILL")
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    return parser.parse_args()


def main() -> int:
    options = read_options()
    bad = 0
    for module in HEAVY:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        whole.mkdir()
        seconds = prepare(whole)
        for command in options.only:
            random = Random(f"{options.seed} {command}")
            count = options.kills or (MANY if command in OFTEN else FEW)
            moments = [random.uniform(0, seconds[command]) for _ in range(count)]
            place = Path(name) / "trial"
            faults = [trial(command, whole, place, after, options.interrupt) for after in moments]
            wrong = [fault for fault in faults if fault]
            bad += len(wrong)
            line = f"{command}: {len(faults) - len(wrong)} of {len(faults)} right"
            print(line, *wrong, sep="\n  ", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
