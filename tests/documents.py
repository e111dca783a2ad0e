"""The blocks of code in the documents, and how each page says that they are tested.

Before a block stands what a test does with it, in a comment that no reader sees:

    <!-- test: run -->                      its commands are run, in the order of the page
    <!-- test: file NAME -->                it is written to a file of this name, for the commands below it
    <!-- test: parse REASON -->             its commands are only read by the command line, and why
    <!-- test: elsewhere tests/FILE.py -->  that file runs it

A shell block needs one. Python is run, yaml is held against the settings, and json is read, untold.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(
    r"(?:^<!-- test: (?P<note>[^\n]*?) -->\n\n?)?"
    r"^(?P<indent> *)(?P<fence>```+)(?P<kind>[^\n]*)\n(?P<text>.*?)^(?P=indent)(?P=fence) *$",
    re.DOTALL | re.MULTILINE,
)
NOTE = re.compile(r"^ *<!-- test:", re.MULTILINE)
COMMENT = re.compile(r"(^|\s)#.*$", re.MULTILINE)
LAUNCHERS = ("srun", "torchrun", "do", "nohup", "exec")  # what may stand before a command of ours


@dataclass(frozen=True)
class Block:
    """One fenced block: its page (relative to the checkout), first line, kind, text, and the page's note."""

    page: str
    line: int
    kind: str
    text: str
    note: str

    @property
    def way(self) -> str:
        """`run`, `file`, `parse`, `elsewhere`, or nothing."""
        return self.note.partition(" ")[0]

    @property
    def rest(self) -> str:
        """What the note says after its first word."""
        return self.note.partition(" ")[2].strip()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """README, CONTRIBUTING and everything in docs, save the tables that `prime report` writes."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in found if ROOT / "docs" / "results" not in path.parents]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT).as_posix() if page.is_relative_to(ROOT) else page.name
    return [
        Block(
            name,
            text.count("\n", 0, found.start("fence")) + 1,
            found["kind"].strip(),
            re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE),
            found["note"] or "",
        )
        for found in FENCE.finditer(text)
    ]


def notes(page: Path) -> int:
    """How many notes to a test the page holds, before a block or not."""
    return len(NOTE.findall(page.read_text(encoding="utf-8")))


def simple_commands(text: str) -> Iterator[list[str]]:
    """The words of each command of a shell block: comments left out, split at newlines, pipes and `&&`."""
    plain = COMMENT.sub("", text.replace("\\\n", " ")).replace("$(which prime)", "prime")
    lexer = shlex.shlex(plain, posix=True, punctuation_chars=";&|\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words: list[str] = []
    for word in [*lexer, "\n"]:
        if not set(word) <= set(";&|\n"):
            words.append(word)
        elif words:
            yield words
            words = []


def prime_commands(text: str) -> Iterator[tuple[list[str], str | None]]:
    """What each command of ours in a shell block is called with, and the file that its output goes to."""
    for words in simple_commands(text):
        if words[0] in LAUNCHERS and "prime" in words:
            words = words[words.index("prime") :]
        elif "--" in words and "prime" in words[words.index("--") :]:
            words = words[words.index("prime", words.index("--")) :]
        if words[0] == "prime":
            given, _, target = " ".join(map(shlex.quote, words[1:])).partition(" '>' ")
            yield shlex.split(given), target or None


def synopses(text: str) -> Iterator[list[str]]:
    """What commands of ours in a block without a kind would be called with; brackets and dots left out."""
    for line in text.splitlines():
        if line.startswith("prime "):
            yield next(prime_commands(re.sub(r" ?\.\.\.|[\[\]]", "", line)))[0]
