"""Small pieces of HTML. Every text from outside passes through `escaped` on its way."""

import base64
import html
import re
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from urllib.parse import quote

from prime.render.tables import ABSENT
from prime.report.read import TableText

FOLD_FROM = 6  # lines from which a list is folded
MANY = 7  # columns from which a table is set closer

_NUMBER = re.compile(r"^[<>≤≥]?\s?[-+−]?\d")
_MARKED = re.compile(r"^(?:\*\*(?P<best>.*)\*\*|<u>(?P<second>.*)</u>)$", re.DOTALL)


def escaped(text: str) -> str:
    """Text in which a browser sees no markup, in an attribute too."""
    return html.escape(text, quote=True)


def anchor(*parts: str) -> str:
    """An id from names; different names never share one."""
    return "/".join(quote(part, safe="") for part in parts)


def data_uri(kind: str, content: bytes) -> str:
    """The content itself as an address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def fold(summary: str, body: str, opened: bool = False) -> str:
    """Something that unfolds at a click; `body` is HTML."""
    return f"<details{' open' if opened else ''}><summary>{escaped(summary)}</summary>\n{body}\n</details>"


def note_list(notes: Sequence[str], what: str) -> str:
    """Notes as a list, folded under their number where there are many; nothing for none."""
    if not notes:
        return ""
    body = '<ul class="notes">' + "".join(f"<li>{escaped(note)}</li>" for note in notes) + "</ul>"
    return body if len(notes) < FOLD_FROM else fold(f"{len(notes)} {what}", body)


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


def table_html(table: TableText) -> str:
    """The cells as a table that scrolls in its own box; best in bold, second best underlined."""
    numeric = [_numeric([row[place] for row in table.rows]) for place in range(len(table.columns))]
    body = "\n".join(_rows(table, numeric))
    many = " many" if len(table.columns) >= MANY else ""
    return (
        f'<div class="scroll cells{many}" tabindex="0" role="region" aria-label="{escaped(table.title)}">'
        f"<table>\n<thead>\n{_head(table, numeric)}\n</thead>\n{body}\n</table></div>"
        f"{_key(table)}"
    )


def _key(table: TableText) -> str:
    marks = [match for row in table.rows for text in row if (match := _MARKED.match(text))]
    if not marks:
        return ""
    second = any(match["second"] is not None for match in marks)
    underlined = ", second best <u>underlined</u>" if second else ""
    return f'<p class="key">Best of each column in <b>bold</b>{underlined}.</p>'


def _numeric(cells: list[str]) -> bool:
    filled = [text for text in map(_inner, cells) if text not in ("", ABSENT)]
    return bool(filled) and all(_NUMBER.match(text) for text in filled)


def _inner(text: str) -> str:
    match = _MARKED.match(text)
    return (match["best"] or match["second"] or "") if match else text


def _head(table: TableText, numeric: list[bool]) -> str:
    """One row a level of the column headers; an outer one spans the columns that share it."""
    depth = len(table.columns[0]) if table.columns else 1
    lines: list[str] = []
    for level in range(depth):
        cells: list[str] = []
        if level == 0:
            rows = f' rowspan="{depth}"' if depth > 1 else ""
            cells = [
                f'<th scope="col"{rows}{_lead(place)}>{escaped(name)}</th>'
                for place, name in enumerate(table.index_names)
            ]
        place = 0
        for key, run in groupby(table.columns, key=lambda column: tuple(column[: level + 1])):
            width = len(list(run))
            if level == depth - 1:
                kind = ' class="number"' if numeric[place] else ""
                cells += [f'<th scope="col"{kind}>{escaped(key[-1])}</th>'] * width
            else:
                cells.append(f'<th scope="colgroup" colspan="{width}" class="over">{escaped(key[-1])}</th>')
            place += width
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join(lines)


def _rows(table: TableText, numeric: list[bool]) -> list[str]:
    """One tbody for each run of rows with the same first header, which is written once over them."""
    parts: list[str] = []
    together = len(table.index_names) > 1
    numbered = list(enumerate(zip(table.index, table.rows, strict=True)))
    for _, run in groupby(numbered, key=lambda item: item[1][0][0] if together else item[0]):
        lines = list(run)
        parts.append("<tbody>")
        for place, (_, (levels, cells)) in enumerate(lines):
            heads = [
                f'<th scope="row"{_lead(column)}>{escaped(level)}</th>' for column, level in enumerate(levels)
            ]
            if together:
                first = f'<th scope="rowgroup" rowspan="{len(lines)}"{_lead(0)}>{escaped(levels[0])}</th>'
                heads = [first, *heads[1:]] if place == 0 else heads[1:]
            parts.append("<tr>" + "".join([*heads, *map(_cell, cells, numeric)]) + "</tr>")
        parts.append("</tbody>")
    return parts


def _lead(column: int) -> str:
    """The first column stays in sight while the others scroll."""
    return ' class="lead"' if column == 0 else ""


def _cell(text: str, numeric: bool) -> str:
    match = _MARKED.match(text)
    inner = escaped(_inner(text))
    if match:
        inner = f"<b>{inner}</b>" if match["best"] is not None else f"<u>{inner}</u>"
    return f'<td class="number">{inner}</td>' if numeric else f"<td>{inner}</td>"
