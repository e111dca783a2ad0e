"""Imports run one way, from the command line down, and no file names a place on somebody's machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "prime"

# Each room and the rooms of ours that it may import; a room may always import itself.
GROUND = {"arrays", "errors", "files", "fingerprint", "libraries", "machines", "progress", "seeds"}
GROUND |= {"text_encoder"}
DATA = GROUND | {"catalogue", "settings", "cohort", "store"}
NETWORKS = DATA | {"objectives", "evaluation", "splits", "model"}
RESULTS = NETWORKS | {"pretraining", "methods", "downstream"}
MAY_IMPORT: dict[str, set[str]] = {
    "arrays": set(),
    "errors": set(),
    "libraries": set(),
    "progress": set(),
    "seeds": set(),
    "files": {"errors"},
    "fingerprint": {"files"},
    "machines": {"errors", "progress"},
    "text_encoder": {"errors", "files"},
    "objectives": {"arrays", "errors"},
    "evaluation": {"arrays", "errors"},
    "catalogue": {"errors"},
    "settings": {"errors", "catalogue"},
    "cohort": GROUND | {"settings"},
    "encode": GROUND | {"settings", "cohort"},
    "store": GROUND | {"settings", "cohort"},
    "splits": DATA | {"objectives", "evaluation"},
    "model": DATA | {"objectives"},
    "pretraining": NETWORKS,
    "methods": NETWORKS,
    "downstream": NETWORKS | {"methods"},
    "predict": RESULTS,
    "render": {"files"},
    "report": {"errors", "files", "settings", "render"},
    "study": RESULTS | {"render"},
    "demo": RESULTS | {"predict"},
    "commands": RESULTS | {"predict", "render", "report", "study", "demo", "encode"},
    "cli": GROUND | {"commands", "encode"},
}
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


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_run_one_way(path: Path) -> None:
    inside = path.relative_to(PACKAGE).with_suffix("").parts
    if inside == ("__init__",):
        assert not imported_rooms(path.read_text(encoding="utf-8"), "prime")
        return
    here = "cli" if inside[0] == "__main__" else inside[0]
    assert here in MAY_IMPORT, f"{here}: a new room; give it its floor in MAY_IMPORT"
    package = ".".join(["prime", *inside[:-1]])
    above = imported_rooms(path.read_text(encoding="utf-8"), package) - MAY_IMPORT[here] - {here}
    assert not above, f"{path.relative_to(ROOT)} imports {sorted(above)}, which {here} may not"


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
