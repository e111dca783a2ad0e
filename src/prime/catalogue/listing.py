"""The methods of the comparison as text for a screen, from the catalogue alone."""

from collections.abc import Mapping
from textwrap import wrap

from prime.catalogue.methods import METHODS


def methods_list(width: int, remarks: Mapping[str, str] | None = None) -> str:
    """Every method on `width` columns; `remarks`, by method, stand behind what it reads."""
    blocks: list[str] = []
    for name, method in METHODS.items():
        remark = (remarks or {}).get(name)
        lines = [f"{method.title} ({name}) reads {method.reads}" + (f"; {remark}" if remark else "")]
        for label, text in (("missing", method.missing), ("source", method.reference)):
            lines += wrap(text, width - 2, initial_indent=f"  {label}: ", subsequent_indent=" " * 11)
        blocks.append("\n".join(lines))
    return "\n".join(blocks)
