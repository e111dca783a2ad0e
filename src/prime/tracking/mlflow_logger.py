"""A logger of Fabric for MLflow, over its client alone: a folder with a database, or any URI of a store."""

import logging
import os
import re
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import Logger

from prime.files import sole_process

EXPERIMENT, IDENTITY = "prime", "prime.identity"
DATABASE = "mlflow.db"
# Unless the user says otherwise: nothing is reported to MLflow's makers, and a server that does not answer
# is given up soon.
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
LONGEST = 500  # letters of a setting
NOT_IN_NAMES = re.compile(r"[^\w\-. /:]")


class MLflowLogger(Logger):
    """One run, found again by its identity; a step that it has is not told twice.

    Args:
        place: a folder, which gets a SQLite database, or a URI.
        name: of the run.
        identity: of the run; a tag.
        settings: its parameters, when it is made.
    """

    def __init__(self, place: str, name: str, identity: str, settings: Mapping[str, str]) -> None:
        for variable, value in DEFAULTS.items():
            os.environ.setdefault(variable, value)
        from mlflow.tracking import MlflowClient

        for library in ("mlflow", "alembic"):
            logging.getLogger(library).setLevel(logging.WARNING)
        self._name, self._identity = name, identity
        self._folder = None if "://" in place else Path(place)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        uri = place if self._folder is None else f"sqlite:///{self._folder / DATABASE}"
        with self._alone():
            self.client = MlflowClient(tracking_uri=uri)
            self._run = self._found() or self._made(settings)
            self._known = self._told()

    @property
    def name(self) -> str:
        """Of the run."""
        return self._name

    @property
    def version(self) -> str:
        """MLflow's own id of the run."""
        return self._run

    def tell(self, step: int, numbers: Mapping[str, float]) -> None:
        """Send the numbers of a step that the run does not have."""
        self.log_metrics(dict(numbers), step)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send the numbers of a step that the run does not have."""
        from mlflow.entities import Metric

        at, now = step or 0, int(1000 * time.time())
        named = {NOT_IN_NAMES.sub("_", key): float(value) for key, value in metrics.items()}
        new = [Metric(k, v, now, at) for k, v in named.items() if (k, at) not in self._known]
        if new:
            with self._alone():
                self.client.log_batch(self._run, metrics=new)
        self._known |= {(metric.key, at) for metric in new}

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Send settings, as texts."""
        from mlflow.entities import Param

        given = [Param(NOT_IN_NAMES.sub("_", k), str(v)[:LONGEST]) for k, v in dict(params).items()]
        for start in range(0, len(given), 100):  # a batch holds no more
            self.client.log_batch(self._run, params=given[start : start + 100])

    def close(self, finished: bool) -> None:
        """The run is over, or was stopped."""
        self.finalize("success" if finished else "failed")

    def finalize(self, status: str) -> None:
        """End the run."""
        with self._alone():
            self.client.set_terminated(self._run, "FINISHED" if status == "success" else "KILLED")

    @contextmanager
    def _alone(self) -> Generator[None]:
        """No other process of ours is at the database of the folder meanwhile."""
        if self._folder is None:
            yield
            return
        with sole_process(self._folder, wait=True):
            yield

    def _found(self) -> str | None:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            return None
        wanted = f"tags.`{IDENTITY}` = '{self._identity}' and attributes.run_name = '{self._name}'"
        runs = self.client.search_runs([experiment.experiment_id], wanted, max_results=1)
        if not runs:
            return None
        self.client.update_run(runs[0].info.run_id, status="RUNNING")
        return str(runs[0].info.run_id)

    def _made(self, settings: Mapping[str, str]) -> str:
        experiment = self.client.get_experiment_by_name(EXPERIMENT)
        number = self.client.create_experiment(EXPERIMENT) if experiment is None else experiment.experiment_id
        made = self.client.create_run(number, run_name=self._name, tags={IDENTITY: self._identity})
        self._run = str(made.info.run_id)
        self.log_hyperparams(settings)
        return self._run

    def _told(self) -> set[tuple[str, int]]:
        """Numbers that the run has, by name and step."""
        names = self.client.get_run(self._run).data.metrics
        return {(name, m.step) for name in names for m in self.client.get_metric_history(self._run, name)}
