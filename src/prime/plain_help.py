"""The help of a command as plain text in two columns, the same on a terminal, in a file and in a log."""

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

LEFT = 26  # columns of the names; a longer name has a line of its own


class PlainHelp:
    """Writes usage, description and lists of arguments, for cyclopts."""

    def __call__(self, console: "Console", options: "ConsoleOptions", panel: "HelpPanel") -> None:
        """One list: commands, arguments or options."""
        if panel.entries:
            lines = [line for entry in panel.entries for line in _row(entry, console.width)]
            _write(console, f"\n{panel.title}:", *lines)

    def render_usage(self, console: "Console", options: "ConsoleOptions", usage: object) -> None:
        """The first line."""
        _write(console, f"usage: {str(usage).strip()}")

    def render_description(self, console: "Console", options: "ConsoleOptions", description: object) -> None:
        """What the command does."""
        text = _plain(description)
        if text:
            _write(console, "", *textwrap.wrap(text, console.width))


def _row(entry: "HelpEntry", width: int) -> list[str]:
    names = ", ".join(entry.display_labels_with_metavar)
    words = [_plain(entry.description)]
    if entry.choices:
        words.append(f"[{', '.join(entry.choices)}]")
    if entry.env_var:
        words.append(f"[also from {', '.join(entry.env_var)}]")
    if entry.default not in (None, "False"):
        words.append(f"[default: {entry.default}]")
    if entry.required:
        words.append("[required]")
    blank = " " * (LEFT + 2)
    text = textwrap.wrap(" ".join(filter(None, words)), max(width, 60), initial_indent=blank,
                         subsequent_indent=blank)  # fmt: skip
    if not text or len(names) > LEFT - 2:
        return [f"  {names}", *text]
    return [f"  {names:<{LEFT}}{text[0].lstrip()}", *text[1:]]


def _plain(text: object) -> str:
    """The words of a text of cyclopts or rich, without their colours."""
    inner = getattr(text, "primary_renderable", text)
    return str(inner or "").strip()


def _write(console: "Console", *lines: str) -> None:
    console.file.write("\n".join(lines) + "\n")
