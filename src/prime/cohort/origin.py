"""How features were made, as their files state it, and whether two statements contradict each other."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from prime.cohort.cells import value_key
from prime.errors import InputError

MADE_BY = ("encoder", "extractor")
COMPARED = (
    "weights_sha256", *MADE_BY, "feat_type", "unit", "target_magnification", "patch_size", "feature_names",
)  # fmt: skip
UNSTATED = ("", "unknown", "none")
SHOWN = 80  # letters of a statement


def stated(attributes: Mapping[str, str]) -> dict[str, str]:
    """The attributes that are compared and say something."""
    found = {name: attributes[name] for name in COMPARED if name in attributes}
    return {name: text for name, text in found.items() if text.strip().lower() not in UNSTATED}


def contradiction(mine: Mapping[str, str], theirs: Mapping[str, str]) -> tuple[str, str, str] | None:
    """What two sets of attributes state differently: its name, and both statements, cut to SHOWN letters.

    Weights decide over the name of an encoder, which may be a path here and a hub name there; what only one
    of the two states contradicts nothing. None where there is no contradiction.
    """
    one, other = stated(mine), stated(theirs)
    same_weights = "weights_sha256" in one and one["weights_sha256"] == other.get("weights_sha256")
    for name in one.keys() & other.keys() - (set(MADE_BY) if same_weights else set[str]()):
        if _key(one[name]) != _key(other[name]):
            name = _by_name(one, other) or name
            return name, one[name][:SHOWN], other[name][:SHOWN]
    return None


def maker(attributes: Mapping[str, str]) -> str | None:
    """The stated encoder; None where there is none."""
    found = stated(attributes)
    return next((found[name] for name in (*MADE_BY, "weights_sha256") if name in found), None)


def unknown_makers(what: Iterable[tuple[str, Mapping[str, str], Mapping[str, str]]]) -> list[str]:
    """One line for each source whose encoder is not known on both sides: its name, the model's attributes,
    the cohort's."""
    lines: list[str] = []
    for name, model, here in what:
        known, found = maker(model), maker(here)
        if known is None and found is None:
            lines.append(f"source {name}: neither the model's files nor these state their encoder")
        elif found is None:
            lines.append(f"source {name}: made for the model by {known}; these files state no encoder")
        elif known is None:
            lines.append(f"source {name}: made by {found}; the model's files stated no encoder")
        elif not set(stated(model)) & set(stated(here)) & {*MADE_BY, "weights_sha256"}:
            lines.append(f"source {name}: the model's files state {known}, these {found}, in another way")
    return [f"{line}: whether it is the same one cannot be known" for line in lines]


class Makers:
    """What the files of a source state about how they were made; contradictions are refused."""

    def __init__(self, attributes: dict[str, str], first: Path) -> None:
        self.attributes, self.files, self.silent = attributes, 0, 0
        self.said_by = dict.fromkeys(attributes, first)

    def add(self, path: Path, found: dict[str, str], where: str) -> None:
        """Compare a file's attributes. Raises InputError where it contradicts an earlier file."""
        self.files += 1
        self.silent += maker(found) is None
        differs = contradiction(self.attributes, found)
        if differs is not None:
            name, before, now = differs
            raise InputError(
                f"{where}: {path} states {name} {now!r}, {self.said_by[name]} states {before!r}; keep one "
                f"encoder per source, and put the others' files in another source"
            )
        for name in found.keys() - self.attributes.keys():
            self.attributes[name], self.said_by[name] = found[name], path

    def notes(self) -> list[str]:
        """How many files state no encoder."""
        if not self.silent:
            return []
        who = "the files" if self.silent == self.files else f"{self.silent:,} of {self.files:,} files"
        return [f"{who} state no encoder: whether all come from one cannot be known"]


def _by_name(one: Mapping[str, str], other: Mapping[str, str]) -> str | None:
    """The encoder's name where that differs too, which says more than a hash."""
    return next((n for n in MADE_BY if n in one and n in other and _key(one[n]) != _key(other[n])), None)


def _key(text: str) -> str:
    """One spelling for one maker: without the owner on the hub, case, and dashes for underscores."""
    return value_key(text.rsplit("/", 1)[-1].replace("-", "_"))
