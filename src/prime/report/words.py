"""Times, numbers and addresses as the page and the Markdown write them."""

import base64
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote


def duration(seconds: float) -> str:
    """`48 s`, `12 min`, `3 h 05 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(text: str) -> str:
    """`2026-11-23 14:07 UTC` of a time in ISO form; anything else as it is."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return text


def thousands(number: int) -> str:
    """`12,345`."""
    return f"{number:,}"


def counted(number: int, one: str, many: str) -> str:
    """`1 table`, `2 tables`; empty for none."""
    return f"{number} {one if number == 1 else many}" if number else ""


def seed_list(seeds: Iterable[int]) -> str:
    """`seed 0`, `seeds 0, 1`, `no seed`."""
    names = [str(seed) for seed in seeds]
    return f"{'seed' if len(names) == 1 else 'seeds'} {', '.join(names)}" if names else "no seed"


def anchor(*parts: str) -> str:
    """An id from names; different names never share one."""
    return "/".join(quote(part, safe="") for part in parts)


def data_uri(content: bytes, kind: str) -> str:
    """An address that holds the content itself; `kind` is its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
