"""Running studies: pretraining, fits, then tables and figures; everything that is done is kept."""

import platform
import time
import traceback
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from prime import __version__
from prime.cohort.tables import refuse_shifted
from prime.errors import InputError
from prime.files import sha256_file, write_json, write_text
from prime.job_pool import JobPool
from prime.model.checkpoint import MANIFEST, WEIGHTS
from prime.parsing import parse_json, read_json
from prime.pretraining.loop import LOG
from prime.provenance import source_digest
from prime.render.results import write_results
from prime.splits.counts import cohort_flow
from prime.study.arms import Arm, ArmWork
from prime.study.context import Context, Output, Results, Study
from prime.study.jobs import JobFailed, Runner, fit_jobs, one_line, pretraining_job
from prime.study.registry import STUDIES
from prime.tracking.options import NOWHERE, Tracking

CACHE, ERRORS = "cache", "error.log"
REFERENCE_COLUMNS = ("method", "task", "cohort", "pattern", "mean")


def read_reference(path: Path) -> pd.DataFrame:
    """Others' results: csv with method, task, cohort (or `mean`), pattern, mean. Raises InputError."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        frame = pd.read_csv(path, dtype={"method": str, "task": str, "cohort": str, "pattern": str})
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{path}: not a csv file in UTF-8 ({error})") from None
    refuse_shifted(frame, str(path))
    absent = [name for name in REFERENCE_COLUMNS if name not in frame]
    if absent:
        raise InputError(f"{path}: no column {absent[0]!r}; found {', '.join(map(str, frame.columns))}")
    if not pd.api.types.is_numeric_dtype(frame["mean"]):
        raise InputError(f"{path}: column 'mean' holds something that is not a number")
    doubled = frame[frame.duplicated(["method", "task", "cohort", "pattern"])]
    if len(doubled):
        row = doubled.iloc[0]
        raise InputError(
            f"{path}: row {doubled.index[0] + 2}: method {row['method']!r} has task {row['task']!r}, cohort"
            f" {row['cohort']!r}, pattern {row['pattern']!r} twice; keep one"
        )
    return frame


def run_studies(
    studies: list[Study],
    context: Context,
    out: Path,
    pool: JobPool,
    command: str,
    console: Console,
    accelerator: str = "auto",
    tracking: Tracking = NOWHERE,
) -> list[str]:
    """Make each study into its folder in `out`, one after the other. Returns a line for each that failed.

    Finished pretraining and fits are kept in `out`/cache and serve every study that needs them; the time of
    what several need is counted in the first. A study that fails does not stop the others; the traceback of
    an error that nobody foresaw goes to error.log in its folder.

    Raises InputError where there is one study and it is the user's mistake.
    """
    _require_plain_tasks(context)
    out.mkdir(parents=True, exist_ok=True)
    _write_flow(context, out)
    runner = Runner(pool, accelerator, tracking)
    failed: list[str] = []
    for study in studies:
        log = out / study.name / ERRORS
        try:
            _make(study, context, out, runner, command)
            log.unlink(missing_ok=True)
            console.print(f"{out / study.name}: {study.title}", highlight=False)
        except InputError as error:
            if len(studies) == 1:
                raise
            failed.append(f"{study.name}: {error}")
        except Exception as error:
            write_text(log, error.trace if isinstance(error, JobFailed) else traceback.format_exc())
            line = str(error) if isinstance(error, JobFailed) else one_line(error)
            failed.append(f"{study.name}: {line} (see {log})")
    for line in failed:
        console.print(f"failed: {line}", highlight=False, markup=False, soft_wrap=True)
    return failed


def _require_plain_tasks(context: Context) -> None:
    """Raise InputError for tasks whose competing events figures would not show."""
    for task in context.config.evaluate.tasks:
        if task.competing:
            raise InputError(
                f"task {task.name}: competing events, which the tables and curves of studies don't take into"
                " account; use prime evaluate, or leave the task out"
            )


def _make(study: Study, context: Context, out: Path, runner: Runner, command: str) -> None:
    """Pretrain, fit, and write tables, figures and the manifest of one study."""
    started = time.perf_counter()
    cache = out.resolve() / CACHE
    works = [ArmWork(arm, cache) for arm in study.arms(context)]
    runs = {run.folder: run for work in works for run in work.pretraining}
    done = runner.run([pretraining_job(run) for run in runs.values()], f"{study.name}: pretraining")
    done += runner.run([job for work in works for job in fit_jobs(work)], f"{study.name}: fits")
    results = Results(works)
    output = study.build(context, results)
    write_results(output.tables, output.figures, out / study.name)
    facts = _manifest(study, context, results, output, sorted(runs), command)
    facts |= {"wall_seconds": time.perf_counter() - started, "fits_done": done}
    write_json(out / study.name / "manifest.json", facts)


def _write_flow(context: Context, out: Path) -> None:
    """Who was left out of each task and why, for the report."""
    tasks = {
        task.name: [
            {"name": s.name, "patients": s.patients, "left_out": s.left_out, "reason": s.reason}
            for s in cohort_flow(context.store, task.endpoint, task.horizon_days)
        ]
        for task in context.config.evaluate.tasks
    }
    write_json(out / "flow.json", {"cohort": {"title": Path(context.config.cohort).name}, "tasks": tasks})


def _manifest(
    study: Study, context: Context, results: Results, output: Output, runs: list[Path], command: str
) -> dict[str, Any]:
    """What the study rests on; `runs` are the folders of its pretraining runs."""
    seconds = float(results.costs["seconds"].sum()) if any(e.fits for e in results.evaluations) else 0.0
    return {
        "study": study.name,
        "title": study.title,
        "order": list(STUDIES).index(study.name),
        "command": command,
        "preset": context.preset,
        "protocol": context.protocol,
        "seeds": list(context.seeds),
        "compute_seconds": seconds + sum(_pretraining_seconds(folder) for folder in runs),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "code": source_digest("prime.study.run"),
        "hashes": {
            "store": {name: source.sha256 for name, source in context.store.sources.items()},
            "weights": {folder.name: sha256_file(folder / WEIGHTS) for folder in runs},
        },
        "config": context.config.model_dump(mode="json"),
        "arms": [_arm_facts(arm) for arm in results.arms],
        "notes": output.notes,
        "not_fitted": results.not_fitted(),
        "tables": [table.name for table in output.tables],
        "figures": [figure.name for figure in output.figures],
    }


def _arm_facts(arm: Arm) -> dict[str, Any]:
    return {"name": arm.name, "protocol": arm.protocol, "config": arm.config.model_dump(mode="json")}


def _pretraining_seconds(folder: Path) -> float:
    """Time of its training epochs, from its log: a pause between a kill and going on is not in it."""
    patients = len(read_json(folder / MANIFEST)["train_patients"])
    log = folder / LOG
    rows = [parse_json(line, str(log)) for line in log.read_text(encoding="utf-8").splitlines()]
    return sum(patients / row["patients_per_second"] for row in rows)


def _versions() -> dict[str, str]:
    names = ("torch", "numpy", "pandas", "scikit-learn", "scipy")
    return {"prime": __version__, "python": platform.python_version(), **{n: version(n) for n in names}}
