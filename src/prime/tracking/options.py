"""What `--track` asks for, and the runs that are followed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prime.errors import InputError
from prime.extras import need
from prime.file_names import file_name
from prime.tracking.followed import Followed
from prime.tracking.loggers import LOGGERS, RunFacts

EXTRA = "tracking"
MODULES = {"csv": (), "tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}


@dataclass(frozen=True)
class Tracking:
    """Where training is followed: nowhere by default. It can go to other processes.

    Attributes:
        places: kind of tracker, and its folder or URI.
        name: of the runs, as parts of a path: arm, cohort, fold, seed.
    """

    places: tuple[tuple[str, str], ...] = ()
    name: tuple[str, ...] = ()

    def below(self, *parts: str) -> "Tracking":
        """The same, for runs with names that go on with these parts."""
        return replace(self, name=(*self.name, *map(file_name, parts)))

    def follow(
        self, identity: str, settings: Mapping[str, Any], rows: Sequence[Mapping[str, Any]] = ()
    ) -> Followed:
        """A run to be followed, as a context; see `Followed`.

        Args:
            identity: what tells it from other runs of this name, and is the same after a kill.
            settings: for the record, nested; no patient is in them.
            rows: what is logged already, with `epoch`; a tracker gets those that it does not have.
        """
        facts = RunFacts("/".join(self.name), identity, dict(settings))
        loggers = {f"{k}={p}": (lambda k=k, p=p: LOGGERS[k](p, facts)) for k, p in self.places}
        return Followed(loggers, rows)


NOWHERE = Tracking()


def read_tracking(texts: Sequence[str], out: Path) -> Tracking:
    """What `--track` names: csv, tensorboard, mlflow, each with `=PLACE` where it is not below `out`.

    A place is a folder; for MLflow also a URI, such as that of a server.

    Raises:
        InputError: another kind, one kind twice, or a kind whose packages are not installed.
    """
    places: dict[str, str] = {}
    for text in (part for texts_ in texts for part in texts_.split(",")):
        kind, equals, place = text.partition("=")
        if kind not in MODULES or (equals and not place):
            raise InputError(f"--track {text}: give {', '.join(MODULES)}, with =FOLDER (mlflow also =URI)")
        if kind in places:
            raise InputError(f"--track {kind} is given twice; give it once")
        if MODULES[kind]:
            need(f"--track {kind}", EXTRA, *MODULES[kind])
        places[kind] = place if "://" in place else str(Path(place or out / "tracking" / kind).resolve())
    return Tracking(tuple(places.items()))
