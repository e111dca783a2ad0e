"""Reads what studies wrote into a folder, and checks all of it before anything is written."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from prime.errors import InputError
from prime.parsing import read_json
from prime.settings.strict import validation_message

FLOW = "flow.json"
MANIFEST = "manifest.json"

# A file name beside the manifest; never a way out of the folder.
Name = Annotated[str, Field(pattern=r"^[^/\\.][^/\\]*$")]


class Step(BaseModel):
    """One box of a flow chart: how many remain, and how many were left out before it and why."""

    name: str
    patients: int = Field(ge=0)
    left_out: int = Field(ge=0)
    reason: str


class Cohort(BaseModel):
    """The cohort by name."""

    title: str


class Flow(BaseModel):
    """For each task, the steps from everybody known to the patients who serve its evaluation."""

    tasks: dict[str, list[Step]]
    cohort: Cohort

    @model_validator(mode="after")
    def _adds_up(self) -> "Flow":
        for task, steps in self.tasks.items():
            for before, step in pairwise(steps):
                if before.patients != step.patients + step.left_out:
                    raise ValueError(
                        f"task {task!r}: {before.patients} patients before {step.name!r}, but "
                        f"{step.patients} after it and {step.left_out} left out"
                    )
        return self


class Arm(BaseModel):
    """What the report shows of an arm of a study."""

    protocol: str


class Manifest(BaseModel):
    """How a study was made, and the names of its tables and figures.

    An empty protocol pretrains nothing; an empty preset is of a section that has no grid.
    """

    study: str
    title: str
    order: int
    command: str
    preset: Literal["full", "quick", ""]
    protocol: str
    arms: list[Arm]
    seeds: list[int]
    wall_seconds: float = Field(ge=0)
    compute_seconds: float = Field(ge=0)
    created: str
    versions: dict[str, Any]
    hashes: dict[str, Any]
    config: dict[str, Any]
    notes: list[str]
    not_fitted: dict[str, str]
    tables: list[Name]
    figures: list[Name]

    def protocols(self) -> list[str]:
        """The pretraining protocols of its arms in words; that of the study where it has no arms."""
        named = dict.fromkeys([arm.protocol for arm in self.arms] or [self.protocol])
        return [name.replace("_", " ") for name in named if name]

    def missing(self) -> list[str]:
        """Fits that could not be made, and why."""
        return [f"{name}: {reason}" for name, reason in self.not_fitted.items()]


class TableText(BaseModel):
    """A table as text: headers by level, and cells, the best ones marked."""

    title: str
    caption: str
    notes: list[str]
    index_names: list[str]
    index: list[list[str]]
    columns: list[list[str]]
    rows: list[list[str]]

    @model_validator(mode="after")
    def _rectangular(self) -> "TableText":
        if len(self.index) != len(self.rows):
            raise ValueError(f"{len(self.rows)} rows, but {len(self.index)} in the index")
        for place, (levels, cells) in enumerate(zip(self.index, self.rows, strict=True)):
            if len(cells) != len(self.columns) or len(levels) != len(self.index_names):
                raise ValueError(
                    f"row {place}: {len(levels)} row headers and {len(cells)} cells, not "
                    f"{len(self.index_names)} and {len(self.columns)}"
                )
        if len({len(levels) for levels in self.columns}) > 1:
            raise ValueError("columns differ in their number of header levels")
        return self


class FigureText(BaseModel):
    """A figure as `prime.render.draw.page_figure` describes it: Vega-Lite for a wide and a narrow page."""

    title: str
    caption: str
    datasets: dict[str, list[dict[str, Any]]]
    wide: dict[str, Any]
    narrow: dict[str, Any]

    @model_validator(mode="after")
    def _drawable(self) -> "FigureText":
        json.dumps(self.drawing(), allow_nan=False)
        return self

    def drawing(self) -> dict[str, Any]:
        """What the page's script draws."""
        return {"datasets": self.datasets, "wide": self.wide, "narrow": self.narrow}


class StudyTable(BaseModel):
    """A table and the bytes of its CSV."""

    name: str
    text: TableText
    csv: bytes


class StudyFigure(BaseModel):
    """A figure and the bytes of its SVG."""

    name: str
    text: FigureText
    svg: bytes


class StudyFolder(BaseModel):
    """One study: its folder's name, its manifest, and what it holds, in the manifest's order."""

    folder: str
    manifest: Manifest
    tables: list[StudyTable]
    figures: list[StudyFigure]


class Studies(BaseModel):
    """All studies of a folder in their order, and the flow of patients into them."""

    flow: Flow
    studies: list[StudyFolder]


def read_studies(folder: Path) -> Studies:
    """Read everything that `prime study` wrote below `folder`; a folder without a manifest is no study.

    Raises:
        InputError: no such folder, no study in it, a file that is missing, not JSON or not as written by
            `prime study`.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the one that `prime study` wrote into")
    found = [path.parent for path in sorted(folder.glob(f"*/{MANIFEST}"))]
    if not found:
        raise InputError(
            f"{folder}: no study in it (no */{MANIFEST}); run `prime study` first, or give the folder "
            "that it wrote into"
        )
    studies = [_study(path) for path in found]
    flow = _checked(Flow, folder / FLOW)
    return Studies(flow=flow, studies=sorted(studies, key=lambda study: (study.manifest.order, study.folder)))


def _study(folder: Path) -> StudyFolder:
    manifest = _checked(Manifest, folder / MANIFEST)
    tables = [
        StudyTable(
            name=name,
            text=_checked(TableText, folder / f"{name}.json"),
            csv=_bytes(folder / f"{name}.csv"),
        )
        for name in manifest.tables
    ]
    figures = [
        StudyFigure(
            name=name,
            text=_checked(FigureText, folder / f"{name}.json"),
            svg=_bytes(folder / f"{name}.svg"),
        )
        for name in manifest.figures
    ]
    return StudyFolder(folder=folder.name, manifest=manifest, tables=tables, figures=figures)


_Model = TypeVar("_Model", bound=BaseModel)


def _checked(model: type[_Model], path: Path) -> _Model:
    value = read_json(path)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputError(validation_message(path, error)) from None


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise InputError(f"{path}: no such file; run the study again, or take its name out of {MANIFEST}")
    return path.read_bytes()
