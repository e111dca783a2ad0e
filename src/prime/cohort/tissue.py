"""Which of a patient's samples stand for the tumour: the one rule of readers, encoders and `prime gdc build`.

It goes by the TCGA barcodes in the names of files, rows and reports. Of a patient's samples the first type of
01 (primary), 03 (primary blood), 06 (metastatic) that is there is used; other types, normal tissue above all,
never. Frozen sections (TS, MS, BS) are never used. A name without a sample type is always used.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar, cast

from pydantic import BeforeValidator

from prime.cohort import barcode
from prime.cohort.source import SourceConfig
from prime.errors import InputError, some

PREFERRED = ("01", "03", "06")
ALL = "all"
FROZEN = ("TS", "MS", "BS")
TYPES = {
    "01": "primary", "02": "recurrent", "03": "primary blood", "05": "additional primary", "06": "metastatic",
    "07": "additional metastatic", "09": "primary blood of the marrow", "40": "recurrent blood",
    "50": "cell line", "60": "xenograft", "61": "xenograft",
}  # fmt: skip
T = TypeVar("T")


@dataclass(frozen=True)
class TissueRule:
    """The rule, or what a user wants in its place.

    Attributes:
        types: sample types that are used, two digits each, in order of preference; none: all of them.
        frozen: whether frozen sections are used too.
    """

    types: tuple[str, ...] = PREFERRED
    frozen: bool = False


TUMOUR = TissueRule()


def sample_types(value: object) -> tuple[str, ...]:
    """Sample types as a user writes them: `all`, a number of two digits, or a list of these.

    Raises ValueError for anything else.
    """
    given = list(cast(Sequence[object], value)) if isinstance(value, list | tuple) else [value]
    if given == [ALL]:
        return ()
    texts = [f"{item:02d}" if type(item) is int else str(item) for item in given]
    if not texts or not all(len(text) == 2 and text.isascii() and text.isdigit() for text in texts):
        raise ValueError(f"sample types are numbers of two digits such as 01 and 06, or all; not {value!r}")
    return tuple(dict.fromkeys(texts))


class SampledSource(SourceConfig):
    """A source whose files or rows are samples of a patient.

    `samples` are the sample types used, `frozen` whether frozen sections are; see TissueRule.
    """

    samples: Annotated[tuple[str, ...], BeforeValidator(sample_types)] = PREFERRED
    frozen: bool = False

    @property
    def tissue(self) -> TissueRule:
        """The rule that these options make."""
        return TissueRule(self.samples, self.frozen)


@dataclass(frozen=True)
class Tissue:
    """Names sorted by the rule.

    Attributes:
        names, patients: as they were given.
        reasons: why a name is left out; empty where it is used.
    """

    names: Sequence[str]
    patients: Sequence[str]
    reasons: Sequence[str]

    def used(self, items: Sequence[T]) -> list[T]:
        """Those of the items, one for each name, that are used."""
        return [item for item, reason in zip(items, self.reasons, strict=True) if not reason]

    def notes(self) -> list[str]:
        """Counts by sample type, used and left out, one line each; none where no name has a type."""
        found = [barcode.sample(name) if name else None for name in self.names]
        if not any(item is not None and item.type is not None for item in found):
            return []
        used: Counter[str] = Counter()
        left_out: Counter[str] = Counter()
        for item, reason in zip(found, self.reasons, strict=True):
            counts = left_out if reason else used
            counts["without a sample type" if item is None else described(item)] += 1
        lines = [f"samples used: {_counts(used) or 'none'}"]
        if left_out:
            lines.append(f"samples left out: {_counts(left_out)} (samples and frozen say which are used)")
        without = sorted(set(self.patients) - set(self.used(self.patients)))
        if without:
            lines.append(f"{len(without):,} patients have no sample that is used ({some(without)})")
        return lines

    def refuse_nothing(self, where: str) -> None:
        """Raise InputError, which begins with `where`, where nothing is left."""
        if self.names and all(self.reasons):
            raise InputError(
                f"{where}: none of the {len(self.names):,} samples stands for the tumour (first:"
                f" {self.names[0]!r}, {self.reasons[0]}); see samples and frozen"
            )


def sort_tissue(
    names: Sequence[str], patients: Sequence[str], rule: TissueRule, *, single: bool = False
) -> Tissue:
    """Sort names, each with its patient, by the rule.

    With `single`, one sample of a patient is used: of several barcodes with a type the lowest, which has the
    lowest vial, portion and aliquot; of equal ones the first. Names without a type stay, for the caller to
    judge. `samples: all` chooses nothing.
    """
    found = [barcode.sample(name) for name in names]
    reasons = ["" if item is None else _unusable(item, rule) for item in found]
    groups: dict[str, list[int]] = {}
    for number, (item, who, reason) in enumerate(zip(found, patients, reasons, strict=True)):
        if rule.types and item is not None and item.type is not None and not reason:
            groups.setdefault(who, []).append(number)
    for group in groups.values():
        ranked = [
            (rule.types.index(_sample(found, n).type or ""), _sample(found, n).barcode, n) for n in group
        ]
        best, lowest, chosen = min(ranked)
        for rank, text, number in ranked:
            if rank != best:
                kind = rule.types[best]
                reasons[number] = f"the patient has sample type {kind} ({_named(kind)}), which is preferred"
            elif single and number != chosen:
                reasons[number] = (
                    "another file of the same aliquot is used"
                    if text == lowest
                    else f"{lowest} is the lower vial, portion or aliquot"
                )
    return Tissue(names, patients, reasons)


def of_tumour(
    of_patient: Mapping[str, Sequence[T]], name_of: Callable[[T], str], rule: TissueRule, where: str
) -> tuple[dict[str, list[T]], list[str]]:
    """Each patient's items, such as files, that are used, and the counts by sample type.

    Raises InputError, which begins with `where`, where nothing is left.
    """
    pairs = [(patient, item) for patient, items in of_patient.items() for item in items]
    found = sort_tissue([name_of(item) for _, item in pairs], [patient for patient, _ in pairs], rule)
    found.refuse_nothing(where)
    kept: dict[str, list[T]] = {}
    for patient, item in found.used(pairs):
        kept.setdefault(patient, []).append(item)
    return kept, found.notes()


def without_normal(names: Sequence[str], patients: Sequence[str]) -> Tissue:
    """Names sorted into normal tissue, which is left out, and all others."""
    kinds = [(barcode.sample_type(name) or "") if name else "" for name in names]
    return Tissue(names, patients, [_normal(kind) if _is_normal(kind) else "" for kind in kinds])


def described(item: barcode.Sample) -> str:
    """A sample in words: its type, and whether it is a frozen section."""
    if item.type is None:
        return "without a sample type"
    if item.section in FROZEN:
        return f"frozen {_named(item.type)} ({item.type} {item.section})"
    return f"{_named(item.type)} ({item.type})"


def _named(kind: str) -> str:
    return "normal tissue" if _is_normal(kind) else TYPES.get(kind, "another")


def _is_normal(kind: str) -> bool:
    return "10" <= kind <= "19"


def _sample(found: Sequence[barcode.Sample | None], number: int) -> barcode.Sample:
    item = found[number]
    assert item is not None
    return item


def _unusable(item: barcode.Sample, rule: TissueRule) -> str:
    """Why a sample cannot be used whatever others there are; empty where it can."""
    if item.section in FROZEN and not rule.frozen:
        return f"a frozen section ({item.section})"
    if item.type is None or not rule.types or item.type in rule.types:
        return ""
    if _is_normal(item.type):
        return _normal(item.type)
    return f"sample type {item.type} ({_named(item.type)}) is not used"


def _normal(kind: str) -> str:
    return f"normal tissue (sample type {kind})"


def _counts(found: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(found.items()))
