"""Kinds of arguments that several commands take: the one place of their words, checks and names."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, Token

from prime.precision import Precision


def about(help: str, metavar: str | None = None) -> Parameter:
    """A parameter's words of help, and what stands for its value there (None: what its type says)."""
    return Parameter(help=help) if metavar is None else Parameter(help=help, metavar=metavar)


def _checked(read: Callable[[str], object], words: str, metavar: str) -> Parameter:
    """A parameter whose text is read by `read`; a ValueError of it becomes 'TEXT' is not `words`."""

    def convert(_: object, tokens: Sequence[Token]) -> object:
        try:
            return read(tokens[0].value)
        except ValueError:
            raise ValueError(f"{tokens[0].value!r} is not {words}") from None

    return Parameter(converter=convert, metavar=metavar)


def whole(least: int | None = None, most: int | None = None) -> Parameter:
    """A whole number, from `least` and to `most` where they are given."""

    def read(text: str) -> int:
        number = int(text)
        if (least is not None and number < least) or (most is not None and number > most):
            raise ValueError
        return number

    bounds = ("" if least is None else f" from {least}") + ("" if most is None else f" to {most}")
    return _checked(read, f"a whole number{bounds}", "N")


def _above_zero(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def _or_off(text: str) -> float | None:
    return None if text == "off" else float(text)


Count = Annotated[int, whole(1)]
Whole = Annotated[int, whole()]
Above = Annotated[float, _checked(_above_zero, "a number above 0", "X")]
Bound = Annotated[float | None, _checked(_or_off, "a number, or off", "X")]

Folder = Annotated[Path, Parameter(metavar="DIR")]
File = Annotated[Path, Parameter(metavar="FILE")]
Words = Annotated[tuple[str, ...], Parameter(show_default=False, negative=())]

CohortFile = Annotated[Path, about("The cohort file (yaml).")]
ConfigFile = Annotated[Path, about("Experiment file (yaml); see prime config.", "CONFIG.yaml")]
ModelPlace = Annotated[str, about("Folder of prime fit, or owner/name[@revision] on the model hub.", "MODEL")]
Track = Annotated[
    Words, about("Follow training: csv, tensorboard, mlflow, each with =FOLDER (or =URI).", "KIND[=PLACE]")
]
Root = Annotated[str | None, about("Instead of the cohort file's root.", "DIR")]
Settings = Annotated[
    Words, Parameter("--set", help="Change settings, such as pretrain.epochs=10.", metavar="KEY=VALUE")
]
Threads = Annotated[Count | None, about("Processor threads (all cores).")]

Licence = Annotated[str | None, about("Licence of the weights, for the record (the publisher's).", "TEXT")]
TrainedOn = Annotated[
    str | None, about("Data the encoder was trained on, for the record, such as TCGA.", "A,B")
]
PatientFrom = Annotated[
    str | None, about("Finds the patient in a name (TCGA barcode, else up to the first dot).", "REGEX")
]
FitPrecision = Annotated[
    Precision | None, about("Of embeddings, fine-tuning and other methods, instead of the experiment's own.")
]
Accelerator = Annotated[Literal["auto", "cpu", "gpu", "cuda", "mps"], about("Where to run.")]
