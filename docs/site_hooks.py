"""A hook of the site: graphs are drawn when it is built, so that no page loads a script for them."""

import re
from html import escape
from typing import Any

GRAPH = re.compile(r"^```mermaid\nflowchart TD\n(.*?)^```$", re.DOTALL | re.MULTILINE)
WIDTH, HEIGHT, ACROSS, DOWN = 104, 28, 124, 76  # of a box, and from one to the next, in pixels


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A page as the site shows it."""
    return GRAPH.sub(lambda found: drawn(found[1]), markdown)


def drawn(text: str) -> str:
    """The picture of a graph, as SVG. `text` has an arrow a line, `from --> to`, and no cycle."""
    arrows = re.findall(r"^ *(\w+) --> (\w+)$", text, re.MULTILINE)
    at = places(arrows)
    width = max(x for x, _ in at.values()) + WIDTH + 2
    height = max(y for _, y in at.values()) + HEIGHT + 2
    lines = "".join(curve(at[a], at[b]) for a, b in arrows)
    boxes = "".join(
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5" stroke="currentColor"'
        ' fill="var(--md-default-bg-color)"/>'
        f'<text x="{x + WIDTH / 2}" y="{y + 19}" text-anchor="middle" fill="currentColor">'
        f"{escape(name)}</text>"
        for name, (x, y) in at.items()
    )
    head = '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" orient="auto">'
    return (
        f'<svg role="img" aria-label="Which room may import which" viewBox="-1 -1 {width} {height}"'
        f' style="max-width: {width}px; font: 13px sans-serif"><defs>{head}<path d="M0 0 8 4 0 8z"'
        f' fill="currentColor"/></marker></defs>{lines}{boxes}</svg>\n'
    )


def places(arrows: list[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """The upper left corner of every box: below all that point at it, and near them."""
    above: dict[str, list[str]] = {}
    for a, b in arrows:
        above.setdefault(a, [])
        above.setdefault(b, []).append(a)

    def level(name: str) -> int:
        return max((level(other) + 1 for other in above[name]), default=0)

    rows: dict[int, list[str]] = {}
    for name in above:
        rows.setdefault(level(name), []).append(name)
    widest = max(map(len, rows.values()))
    at: dict[str, tuple[float, float]] = {}
    for number, names in sorted(rows.items()):
        mean = {n: sum(at[o][0] for o in above[n]) / max(len(above[n]), 1) for n in names}
        start = (widest - len(names)) * ACROSS / 2
        for place, name in enumerate(sorted(names, key=lambda n: mean[n])):
            at[name] = (start + place * ACROSS, number * DOWN)
    return at


def curve(start: tuple[float, float], end: tuple[float, float]) -> str:
    """An arrow from the lower side of a box to the upper side of another."""
    (x, y), (to_x, to_y) = (start[0] + WIDTH / 2, start[1] + HEIGHT), (end[0] + WIDTH / 2, end[1])
    bend = (to_y - y) / 2
    return (
        f'<path d="M{x} {y}C{x} {y + bend} {to_x} {to_y - bend} {to_x} {to_y}" fill="none"'
        f' stroke="currentColor" stroke-opacity="0.55" marker-end="url(#head)"/>'
    )
