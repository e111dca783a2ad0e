"""Fabric's loggers of csv and TensorBoard, and MLflow, as what follows one run.

Files are written anew when a run is taken up, from the run's own log; MLflow is asked what it has.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prime.errors import InputError
from prime.files import write_json, writing_below
from prime.parsing import read_json
from prime.tracking.followed import RunLogger

MARK = "run.json"


@dataclass(frozen=True)
class RunFacts:
    """Name, identity and settings of a run."""

    name: str
    identity: str
    settings: dict[str, Any]


class FileLogger:
    """A run in files of its own, which its mark tells from other runs of its name."""

    def __init__(self, logger: Any, facts: RunFacts, files: str) -> None:
        """`logger` is one of Fabric's, of which nothing is open; `files` a pattern of the files it writes."""
        folder = Path(logger.log_dir)
        found = read_json(folder / MARK) if (folder / MARK).is_file() else None
        if found is not None and found.get("identity") != facts.identity:
            raise InputError(f"{folder} holds another run; name another folder")
        old = sorted(folder.glob(files))
        if found is None and old:
            raise InputError(f"{old[0]} is none of PRIME's; name another folder")
        for path in old:
            path.unlink()
        with writing_below(folder):
            write_json(folder / MARK, asdict(facts))
        self.logger = logger

    def tell(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write the numbers of a step."""
        self.logger.log_metrics(dict(numbers), step)
        self.logger.save()

    def close(self, finished: bool) -> None:
        """Close the files."""
        self.logger.finalize("success" if finished else "failed")


def _csv(place: str, facts: RunFacts) -> RunLogger:
    from lightning_fabric.loggers.csv_logs import CSVLogger

    return FileLogger(CSVLogger(place, name=facts.name, version=""), facts, "metrics.csv")


def _tensorboard(place: str, facts: RunFacts) -> RunLogger:
    from lightning_fabric.loggers.tensorboard import TensorBoardLogger

    logger = TensorBoardLogger(place, name=facts.name, version="", default_hp_metric=False)
    return FileLogger(logger, facts, "events.out.tfevents.*")


def _mlflow(place: str, facts: RunFacts) -> RunLogger:
    from prime.tracking.mlflow_logger import MLflowLogger

    return MLflowLogger(place, facts.name, facts.identity, dict(flat(facts.settings)))


LOGGERS: dict[str, Callable[[str, RunFacts], RunLogger]] = {
    "csv": _csv, "tensorboard": _tensorboard, "mlflow": _mlflow
}  # fmt: skip


def flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and texts."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{key}.")  # pyright: ignore[reportUnknownArgumentType]
        else:
            yield f"{before}{key}", str(value)
