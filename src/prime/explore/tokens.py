"""The tokens of slides that moved a patient's risk, and the tiles that each of them stands for.

Each token is left out in turn, and the patient, with all else as it was, is scored again: so sentences are
judged as well. What two tokens show alike is credited to neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from prime.arrays import Floats, Indices
from prime.cohort.config import CohortConfig
from prime.cohort.readers.thinning import thin
from prime.cohort.readers.tokens import TokenSource, patient_files, read_token_file
from prime.cohort.tile_links import NO_LINKS, TileLinks, joined, read_links
from prime.errors import InputError
from prime.explore.variants import Rows, with_rows
from prime.predict.model_folder import FittedModel
from prime.predict.predict import CPU, score_patients
from prime.serve.memory_store import part_of
from prime.store.store import Store

MOST = 256  # tokens that are left out one by one; neighbours are left out together where there are more
AT_ONCE = 2**24  # numbers of variants that are scored together: 64 MB


@dataclass(frozen=True)
class TokenTiles:
    """A patient's tokens of a source: what each adds to the risk, and the tiles behind them.

    Attributes:
        source: its name.
        contributions: (k,) the risk with all tokens less the risk without this one.
        together: how many neighbouring tokens were left out at once; 1 where each alone.
        links: tiles, with tokens counted as in `contributions`; none where files do not tell.
        missing: why there are no tiles; empty where there are.
    """

    source: str
    contributions: Floats
    together: int
    links: TileLinks
    missing: str

    @property
    def kind(self) -> str:
        """What a token is: a `centroid` of several tiles, or a `tile`."""
        counts = np.bincount(self.links.token, minlength=1)
        return "centroid" if counts.max() > 1 else "tile"


class SlideTokens:
    """The token files of a cohort, and which patient's they are; listed when first asked for."""

    def __init__(self, config: CohortConfig) -> None:
        self.root = Path(config.root)
        self.sources = {n: o for _, n, o in config.every_source() if isinstance(o, TokenSource)}
        self._files: dict[str, dict[str, list[Path]]] = {}

    def links(self, store: Store, source: str, row: int) -> TileLinks:
        """The tiles behind the tokens of a patient (position in the store), numbered as in the store.

        Raises InputError where the files can't be read, or hold other tokens than the store.
        """
        options, where = self.sources[source], f"source {source}"
        if source not in self._files:
            self._files[source] = patient_files(options, self.root, where)[0]
        paths = self._files[source].get(str(store.patients["patient_id"].iloc[row]), [])
        rows = [read_token_file(path, options, where).tokens for path in paths]
        parts = [NO_LINKS if path.suffix.lower() == ".pt" else read_links(path) for path in paths]
        pairs = [(own, links) for own, links in zip(rows, parts, strict=True) if len(own)]
        found = joined([links for _, links in pairs], [len(own) for own, _ in pairs])
        start, count = store.index(source)[row].tolist()
        packed = np.asarray(store.values(source)[start : start + count])
        whole = np.concatenate([own for own, _ in pairs]) if pairs else packed[:0]
        if not np.array_equal(thin(whole, options.max_tokens).astype(packed.dtype), packed):
            raise InputError(f"{where}: the files have changed since the cohort was packed; pack it again")
        return _thinned(found, len(whole), options.max_tokens)


def _thinned(links: TileLinks, tokens: int, limit: int) -> TileLinks:
    """Links to the tokens that thinning to `limit` keeps, numbered anew."""
    kept = thin(np.arange(tokens, dtype=np.float32)[:, None], limit)[:, 0].astype(np.int64)
    place = np.full(tokens, -1, dtype=np.int64)
    place[kept] = np.arange(len(kept))
    if links.token.max(initial=0) >= tokens:
        raise InputError("links: they name tokens that are not there; cluster this patient again")
    token = place[links.token]
    there = token >= 0
    return TileLinks(links.slides, links.slide[there], links.coords[there], token[there])


def token_tiles(model: FittedModel, store: Store, slides: SlideTokens, row: int) -> list[TokenTiles]:
    """What the tokens of each source of slides add to a patient's risk (position in the store).

    Sources with fewer than two tokens of the patient are left out.
    """
    found: list[TokenTiles] = []
    for source in slides.sources:
        if source not in store.sources or store.index(source)[row, 1] < 2:
            continue
        scores = leave_one_out(model, store, row, source)
        if scores is None:
            continue
        links, missing = NO_LINKS, ""
        try:
            links = slides.links(store, source, row)
            missing = "" if len(links.token) else "the files hold no coordinates of tiles"
        except InputError as error:
            missing = str(error)
        found.append(TokenTiles(source, *scores, links, missing))
    return found


def leave_one_out(model: FittedModel, store: Store, row: int, source: str) -> tuple[Floats, int] | None:
    """What each of the k tokens of a source adds to a patient's risk (k,), and how many went at once.

    It is the risk with all tokens less the risk without this one. None where the patient has no score.
    """
    start, count = store.index(source)[row].tolist()
    tokens = np.asarray(store.values(source)[start : start + count])
    groups = np.array_split(np.arange(count), min(count, MOST))
    without = [np.delete(tokens, group, axis=0) for group in groups]
    size = max(2, AT_ONCE // tokens.size)
    whole = _risks(model, store, row, source, [tokens])[0]
    if np.isnan(whole):
        return None
    parts = [_risks(model, store, row, source, without[i : i + size]) for i in range(0, len(without), size)]
    change = whole - np.concatenate(parts)
    lengths: Indices = np.array([len(group) for group in groups])
    return np.repeat(change, lengths), int(lengths.max())


def _risks(model: FittedModel, store: Store, row: int, source: str, rows: Sequence[Rows]) -> Floats:
    """The risk of a patient with each of these rows (n, d) of a source, and all else as it is."""
    variants = part_of(store, np.full(len(rows), row))
    patients = variants.patients.assign(patient_id=[f"{i:06d}" for i in range(len(rows))])
    changed = replace(with_rows(variants, source, rows), patients=patients)
    return score_patients(model, changed, CPU, any_type=True).patients["risk"].to_numpy(dtype=np.float64)
