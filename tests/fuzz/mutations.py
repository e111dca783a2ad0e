"""Seeded mutations of bytes, texts and names."""

from random import Random

NASTY_NAMES = (
    "../../../evil",
    "x/../../..",
    "/etc/passwd",
    "..",
    ".",
    "",
    " ",
    "a\\b",
    "C:\\x",
    "con",
    "nul.txt",
    "-rf",
    "~",
    "$HOME",
    "a\nb",
    "a\tb",
    "é" * 40,
    "x" * 230,
    "\u202egpj",
    "a:b",
    "*?",
    "<b>",
    "'; drop",
    "%s%n",
    "00000",
    "1e5",
    "NaN",
    "None",
    "TRUE",
    "0",
    "-0",
    "1.0",
    "\ufeffp",
    "p\u00a0",
    "＿",
    "%2e%2e%2f",
    "`id`",
)
NASTY_CELLS = (
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "-1",
    "0",
    "1e-400",
    "[Not Available]",
    "#N/A",
    "None",
    "true",
    "1,5",
    "1 000",
    "'--",
    "=1+1",
    "9" * 400,
    "0x10",
    "１２",
    "\x00",
    "\x1b[31m",
    "<script>",
    "𝟙",
    "1_000",
    "--",
    "?",
)
NASTY_YAML = (
    "null",
    "~",
    "true",
    "[]",
    "{}",
    "[a, b]",
    "{a: b}",
    "-1",
    "1e400",
    ".nan",
    ".inf",
    "9" * 30,
    "'",
    '"',
    "*x",
    "&x 1",
    "!!python/object:os.system x",
    "!!binary 'a'",
    "2020-99-99",
    "<<: 1",
    "? a",
    "|",
    ">",
    "${NOPE}",
    "${HOME}",
    "\t",
    "%TAG",
    "- - - -",
    "a: b: c",
    "#",
    "../..",
    "/",
    "\x00",
    "é",
    "{a: 1, a: 2}",
    "[" * 60,
)


def of_bytes(random: Random, data: bytes) -> bytes:
    """The bytes with one to three places changed, cut, repeated, swapped or filled; never as they were."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 3)):
        at, length = random.randrange(len(changed) + 1), random.choice((1, 1, 2, 8, 64, 1024))
        piece = bytes(changed[at : at + length])
        kind = random.randrange(7)
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            del changed[at : at + length]
        elif kind == 2:
            changed[at:at] = piece or b"\0"
        elif kind == 3:
            changed[at : at + length] = random.randbytes(len(piece))
        elif kind == 4:
            changed[at : at + length] = random.choice((b"\0", b"\xff")) * len(piece)
        elif at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
    return bytes(changed) if bytes(changed) != data else bytes(changed) + b"\0"


def of_cells(random: Random, text: str) -> str:
    """A separated table with some cells, lines or column names changed."""
    lines = [line.split(",") for line in text.splitlines()]
    for _ in range(random.randint(1, 4)):
        line = random.choice(lines)
        kind = random.randrange(8)
        if kind < 5 and line:
            line[random.randrange(len(line))] = random.choice((*NASTY_CELLS, *NASTY_NAMES)).replace("\n", "")
        elif kind == 5:
            line.append(random.choice(NASTY_CELLS))
        elif kind == 6 and line:
            line.pop()
        else:
            lines.insert(random.randrange(len(lines) + 1), list(line))
    return "\n".join(map(",".join, lines)) + random.choice(("\n", "", "\r\n", "\n\n\n"))


def of_yaml(random: Random, text: str) -> str:
    """A YAML text with some values, keys or lines changed."""
    lines = text.splitlines()
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(lines))
        key, colon, _ = lines[at].partition(":")
        kind = random.randrange(6)
        if kind < 3:
            lines[at] = f"{key}{colon} {random.choice((*NASTY_YAML, *NASTY_NAMES))}"
        elif kind == 3:
            lines[at] = f"{random.choice(NASTY_YAML)}{colon}{lines[at]}"
        elif kind == 4:
            lines[at] = " " * random.randint(0, 9) + lines[at].strip()
        else:
            del lines[at]
            lines = lines or [""]
    return "\n".join(lines)
