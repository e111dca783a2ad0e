"""What a network must know of a store: its modalities, their sources, and each source's shape."""

from typing import Any, Literal, cast

from prime.errors import InputError
from prime.settings.strict import Strict
from prime.store.store import Store


class SourceSpec(Strict):
    """What the model must know of a source to build its tokenizer: saved with every checkpoint."""

    kind: Literal["vector", "sequence"]
    dim: int
    groups: tuple[int, ...] | None = None


class InputSpec(Strict):
    """Modalities in order, their sources, and each source's shape."""

    modalities: dict[str, tuple[str, ...]]
    sources: dict[str, SourceSpec]


def input_spec(store: Store) -> InputSpec:
    """What the model must know of a store's modalities and sources."""
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
    """What of a store a network's outputs depend on, as JSON: values, rows, and how sources are grouped."""
    return {
        "values": {name: source.sha256 for name, source in store.sources.items()},
        "rows": store.manifest["index_sha256"],
        "inputs": input_spec(store).model_dump(mode="json"),
    }


def require_same_inputs(checkpoint: InputSpec, store: InputSpec, where: str) -> None:
    """Raise InputError unless the store offers the sources that the checkpoint was trained on, in shape."""
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
