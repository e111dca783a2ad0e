"""Settings of the comparison: the budget that all networks share, and settings of single methods."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from prime.catalogue.methods import METHODS
from prime.errors import InputError
from prime.precision import Precision
from prime.settings.strict import Strict


class GridPoint(Strict):
    """One setting of a network's training that validation patients choose from."""

    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    dropout: float = Field(default=0.25, ge=0, lt=1)


GRID = (
    GridPoint(learning_rate=1e-3, weight_decay=1e-2, dropout=0.25),
    GridPoint(learning_rate=3e-4, weight_decay=1e-2, dropout=0.25),
    GridPoint(learning_rate=1e-4, weight_decay=1e-1, dropout=0.5),
)


class ComparisonConfig(Strict):
    """The comparison (paper IV-C3; grid, epochs and widths are assumed).

    Networks take queries, heads and the tokenizer from `model`, and its width unless `dim` says another. Each
    is trained once at every point of `grid`, for at most `epochs` epochs, and the point and epoch with the
    lowest validation loss serve. `roles` renames the roles image, rna and report for cohorts that call these
    modalities otherwise. `settings` changes settings of single methods, by name.
    `calibrate`: as in fine-tuning.
    """

    dim: int | None = Field(default=None, ge=8)
    blocks: int = Field(default=3, ge=1)
    grid: tuple[GridPoint, ...] = Field(default=GRID, min_length=1)
    epochs: int = Field(default=20, ge=1)
    pretraining_epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=64, ge=2)
    patience: int = Field(default=5, ge=1)
    precision: Precision = "auto"
    calibrate: bool = True
    roles: dict[str, str] = Field(default_factory=dict)
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("settings")
    @classmethod
    def _known(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name in value:
            METHODS.find(name)
        return value

    @model_validator(mode="after")
    def _valid(self) -> "ComparisonConfig":
        for name in self.settings:
            self.method_settings(name)
        return self

    def method_settings(self, name: str) -> Strict:
        """The settings of a method: its defaults, changed by `settings`. Raises InputError if unknown."""
        return METHODS.find(name).settings(self.settings.get(name))


def known_methods(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, each once; `all` stands for every method, `paper` for those of the paper.

    Raises ValueError for an unknown one.
    """
    groups = {"all": list(METHODS), "paper": [n for n, m in METHODS.items() if not m.beyond_paper]}
    found = [name for given in names for name in groups.get(given, [given])]
    try:
        for name in found:
            METHODS.find(name)
    except InputError as error:
        raise ValueError(f"{error}; or all, or paper") from None
    return tuple(dict.fromkeys(found))
