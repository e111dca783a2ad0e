"""What a store's features are and how they were made, kept with a network and compared with other stores."""

from collections.abc import Mapping, Sequence
from typing import Any

from prime.cohort.origin import contradiction, maker, unknown_makers
from prime.errors import InputError
from prime.store.store import Store


def source_facts(store: Store) -> dict[str, dict[str, Any]]:
    """Of each source what a manifest keeps: the attributes of its files, and the names of its features."""
    return {
        name: {"attributes": source.attributes, "feature_names": source.feature_names}
        for name, source in store.sources.items()
    }


def require_same_makers(model: Mapping[str, Mapping[str, str]], store: Store, where: str) -> list[str]:
    """Compare how the features of a model and of a store were made.

    Args:
        model: attributes of each source that the model was made with.
        store: the cohort that it is to read.
        where: what messages begin with.

    Returns:
        What cannot be known, one line each.

    Raises:
        InputError: a source that was made by another encoder, of other weights, or in another unit.
    """
    unknown: list[tuple[str, Mapping[str, str], Mapping[str, str]]] = []
    for name, source in store.sources.items():
        if name not in model:
            continue
        differs = contradiction(model[name], source.attributes)
        if differs is not None:
            what, theirs, mine = differs
            raise InputError(
                f"{where}: source {name!r} was made with {what} {mine!r} here, for the model with "
                f"{theirs!r}; a model reads features of its own encoder only"
            )
        if source.kind == "sequence" or maker(model[name]) or maker(source.attributes):
            unknown.append((name, model[name], source.attributes))
    return unknown_makers(unknown)


def require_same_names(model: Mapping[str, Sequence[str] | None], store: Store, where: str) -> None:
    """Raise InputError where a source's features have other names or another order than the model's."""
    for name, source in store.sources.items():
        wanted, found = model.get(name), source.feature_names
        if wanted is None or found is None or list(wanted) == found:
            continue
        pairs = zip(found, wanted, strict=False)
        place = next((number for number, (mine, theirs) in enumerate(pairs) if mine != theirs), None)
        if place is None:
            raise InputError(
                f"{where}: source {name!r} has {len(found)} features, the model {len(wanted)}; give the same"
            )
        raise InputError(
            f"{where}: source {name!r}: feature {place + 1} is {found[place]!r}, the model was fitted with"
            f" {wanted[place]!r} there; give the same columns in the same order"
        )


def require_same_origin(manifest: Mapping[str, Any], store: Store, where: str) -> list[str]:
    """Compare a checkpoint's manifest with a store; returns what cannot be known.

    Raises InputError as `require_same_makers` and `require_same_names`.
    """
    facts: dict[str, dict[str, Any]] = manifest.get("sources") or {}
    if not facts:
        return ["the checkpoint does not state how its features were made"]
    require_same_names({name: fact["feature_names"] for name, fact in facts.items()}, store, where)
    return require_same_makers({name: fact["attributes"] for name, fact in facts.items()}, store, where)
