"""Groups of patients within which a model is judged: by what they lack, type, site, age, sex and so on."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prime.arrays import Floats
from prime.store.store import Store
from prime.validation.labelled import Labelled

MOST_VALUES = 8  # of a covariate that is taken as it is; one with more is cut
AGE_BANDS = (50.0, 65.0, 75.0)
FEW_EVENTS = 10  # sites with fewer are put together
OTHER_SITES = "other sites"

Names = NDArray[np.str_]


def patient_groups(store: Store, labelled: Labelled) -> dict[str, Names]:
    """By variable, the name of each of the n patients' group; empty where it is not known.

    A variable with a single group is left out. `pattern` is what was observed.
    """
    frame = store.patients.iloc[labelled.rows]
    found: dict[str, Names] = {
        "pattern": labelled.table["pattern"].to_numpy(dtype=str),
        "cancer type": frame["cohort"].to_numpy(dtype=str),
        "site": large_sites(frame["site"].to_numpy(dtype=str), labelled.event),
    }
    words = value_words(store)
    for column in (str(name) for name in frame if str(name).startswith("x_")):
        name = column.removeprefix("x_")
        found[name] = _covariate(name, frame[column].to_numpy(dtype=np.float64), words.get(name, {}))
    return {name: names for name, names in found.items() if len(set(names.tolist()) - {""}) > 1}


def value_words(store: Store) -> dict[str, dict[float, str]]:
    """Of each covariate with `values` in the cohort file, the words that a number stands for."""
    found: dict[str, dict[float, str]] = {}
    for item in store.manifest["clinical"]["config"].get("covariates", ()):
        words: dict[float, list[str]] = {}
        for word, number in (_values(item) or {}).items():
            words.setdefault(float(number), []).append(str(word))
        if words:
            found[str(item["name"])] = {number: shared_words(texts) for number, texts in words.items()}
    return found


def _values(item: Any) -> dict[str, float] | None:
    return item.get("values") if isinstance(item, dict) else None


def shared_words(texts: list[str]) -> str:
    """`Stage II` of Stage II, Stage IIA and Stage IIB: those that hold no other, at most three."""
    kept = [text for text in texts if not any(other != text and other in text for other in texts)]
    return ", ".join(kept[:3]) + (" ..." if len(kept) > 3 else "")


def _covariate(name: str, values: Floats, words: dict[float, str]) -> Names:
    known = values[~np.isnan(values)]
    if len(np.unique(known)) <= MOST_VALUES:
        return np.array(["" if np.isnan(v) else words.get(v, f"{v:g}") for v in values.tolist()], dtype=str)
    cuts = np.array(AGE_BANDS) if name.lower().startswith("age") else np.quantile(known, [1 / 3, 2 / 3])
    cuts = np.unique(cuts)
    labels = [f"0 to {cuts[0]:g}" if name.lower().startswith("age") else f"-inf to {cuts[0]:g}"]
    labels += [f"{low:g} to {high:g}" for low, high in pairwise(cuts.tolist())]
    labels.append(f"{cuts[-1]:g} and above")
    place = np.searchsorted(cuts, values, side="right")
    unknown = np.isnan(values).tolist()
    return np.array(["" if u else labels[p] for p, u in zip(place, unknown, strict=True)], dtype=str)


def large_sites(sites: Names, event: NDArray[np.bool_]) -> Names:
    """Sites by name, those with few events together."""
    counts = {site: int(event[sites == site].sum()) for site in set(sites.tolist()) - {""}}
    return np.array(
        [site if not site or counts[site] >= FEW_EVENTS else OTHER_SITES for site in sites.tolist()],
        dtype=str,
    )
