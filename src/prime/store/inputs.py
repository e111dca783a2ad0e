"""The description of a store from which a network is built: modalities, their sources, and their shapes."""

from typing import Any, Literal, cast

from prime.errors import InputError
from prime.settings.strict import Strict
from prime.store.store import Store


class SourceSpec(Strict):
    """The shape of a source, from which the model builds its tokenizer; saved with every checkpoint."""

    kind: Literal["vector", "sequence"]
    dim: int
    groups: tuple[int, ...] | None = None


class InputSpec(Strict):
    """Modalities in order, their sources, and the shape of each source."""

    modalities: dict[str, tuple[str, ...]]
    sources: dict[str, SourceSpec]


def input_spec(store: Store) -> InputSpec:
    """The modalities and sources of a store."""
    return InputSpec(
        modalities={m: tuple(names) for m, names in store.modalities.items()},
        sources={
            name: SourceSpec(
                kind=cast(Literal["vector", "sequence"], source.kind),
                dim=source.dim,
                groups=None if source.kind == "sequence" else tuple(int(g) for g in source.groups or ()),
            )
            for name, source in store.sources.items()
        },
    )


def data_identity(store: Store) -> dict[str, Any]:
    """Everything in a store that a network's outputs depend on, as JSON: values, rows, groups of features."""
    return {
        "values": {name: source.sha256 for name, source in store.sources.items()},
        "rows": {name: store.manifest["sha256"][f"{name}.index.npy"] for name in store.sources},
        "inputs": input_spec(store).model_dump(mode="json"),
    }


def require_same_inputs(checkpoint: InputSpec, store: InputSpec, where: str) -> None:
    """Raise InputError unless the store has the sources that the checkpoint was trained on, in that shape."""
    for modality, sources in checkpoint.modalities.items():
        found = store.modalities.get(modality)
        if found is None:
            raise InputError(
                f"{where}: the model needs modality {modality!r}; the cohort has {list(store.modalities)}"
            )
        if set(sources) != set(found):
            raise InputError(
                f"{where}: the model reads {modality} from {list(sources)}, the cohort offers {list(found)};"
                " name the same sources (a source may be empty)"
            )
    for name, spec in checkpoint.sources.items():
        if store.sources[name] != spec:
            raise InputError(
                f"{where}: source {name!r} has {store.sources[name].dim} features here,"
                f" {spec.dim} in the model, or other feature groups; use the same features in the same order"
            )
