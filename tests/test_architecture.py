"""Imports run one way, from the command line down, and no file names a place on somebody's machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "prime"

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ARROWS = {(above, below) for above, below in re.findall(r"^    (\w+) --> (\w+)$", PAGE, re.MULTILINE)}
GROUND = set(re.findall(r"^\| `(\w+)` \|", PAGE.partition("| ground |")[2], re.MULTILINE))
BARE = {"objectives", "evaluation"}  # pure functions, which use of the ground only these
OF_GROUND = {"errors", "arrays"}
PLACE = re.compile(r"(?<![\w.~})\-])/(?:work|home|root|Users|opt|tmp|mnt|scratch)/\w|\b[A-Z]:\\\\?Users")


def room(module: str) -> str | None:
    """The room that a dotted name of ours is in; None for `prime` itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def imported_rooms(source: str, package: str) -> set[str]:
    """Rooms of ours that a module imports, anywhere in its text, functions included.

    `package` is the dotted package that the module is in, from which relative imports count.
    """
    found: set[str | None] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {room(alias.name) for alias in node.names if alias.name.split(".")[0] == "prime"}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            if base == "prime":
                found |= {room(f"prime.{alias.name}") for alias in node.names}
            elif base.startswith("prime."):
                found.add(room(base))
    return {name for name in found if name is not None and not name.startswith("__")}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def tracked_files() -> list[Path]:
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout: which files are tracked is not known")
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def below(room: str) -> set[str]:
    """Every room that the arrows lead to."""
    found = {lower for upper, lower in ARROWS if upper == room}
    return found.union(*(below(lower) for lower in found)) if found else set()


def imports() -> dict[str, dict[str, Path]]:
    """Of each room, the rooms that it imports, each with a file that does."""
    found: dict[str, dict[str, Path]] = {}
    for path in modules():
        inside = path.relative_to(PACKAGE).with_suffix("").parts
        here = {"__main__": "cli", "__init__": "prime"}.get(inside[0], inside[0])
        package = ".".join(["prime", *inside[:-1]])
        for other in imported_rooms(path.read_text(encoding="utf-8"), package) - {here}:
            found.setdefault(here, {}).setdefault(other, path)
    return found


def test_imports_follow_the_arrows_of_the_page() -> None:
    for here, others in imports().items():
        allowed = (OF_GROUND if here in BARE else GROUND) | (set() if here in GROUND else below(here))
        for other, path in others.items():
            assert other in allowed, f"{path.relative_to(ROOT)} imports {other}, which {here} may not"


def test_every_arrow_of_the_page_is_an_import() -> None:
    found = imports()
    for upper, lower in ARROWS:
        assert lower in found.get(upper, {}), f"docs/architecture.md: {upper} --> {lower} is no import"
        around = {other for above, other in ARROWS if above == upper and other != lower}
        assert lower not in set().union(*map(below, around)), f"{upper} --> {lower} follows from others"


def test_the_page_names_every_room_and_nothing_in_circles() -> None:
    rooms = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    rooms -= {"__init__", "__main__"}
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))))
    assert named == rooms
    assert all(room not in below(room) for room in rooms)  # endless recursion where there is a circle


@pytest.mark.parametrize(
    ("source", "package", "expected"),
    [
        ("import prime.model.moe", "prime.cohort", {"model"}),
        ("from prime.model.moe import Gate", "prime.cohort", {"model"}),
        ("from prime import training, __version__", "prime.cohort", {"training"}),
        ("def late():\n    from prime.predict import x", "prime.cohort", {"predict"}),
        ("from ..model import moe", "prime.cohort", {"model"}),
        ("from .. import model", "prime.cohort", {"model"}),
        ("from .batch import Batch", "prime.cohort", {"cohort"}),
        ("import torch, primed\nfrom numpy import array", "prime.cohort", set()),
    ],
)
def test_the_import_check_sees_every_form(source: str, package: str, expected: set[str]) -> None:
    assert imported_rooms(source, package) == expected


def test_bars_are_drawn_in_one_place() -> None:
    drawing = [path for path in modules() if "rich.progress" in path.read_text(encoding="utf-8")]
    assert drawing == [PACKAGE / "progress.py"]


def test_no_tracked_text_file_names_a_machine_path() -> None:
    hits: list[str] = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if PLACE.search(line) and path != Path(__file__).resolve():
                hits.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize(
    ("line", "hit"),
    [
        ("root: /home/ada/cohort", True),
        ('path = "/work/main"', True),
        ("see C:\\Users\\ada", True),
        ("root: ../shared/tcga", False),
        ("https://example.org/home/page", False),
        ("runs/work/demo", False),
        ("~/work/data", False),
    ],
)
def test_the_path_check_sees_what_it_should(line: str, hit: bool) -> None:
    assert bool(PLACE.search(line)) == hit
