"""The package imports only what a user's installation brings: what `dev` adds serves the tests alone."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def plain(requirement: str) -> str:
    """`pyyaml` of `PyYAML[extra]>=6.0`, as pip compares names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[(<>=!~; ]", requirement)[0]).lower()


def declared() -> set[str]:
    """Everything that the package or one of its extras asks for, save `dev` and `docs`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = dict(project["optional-dependencies"])
    del extras["dev"], extras["docs"]
    return {plain(name) for asked in (project["dependencies"], *extras.values()) for name in asked}


def brought_along(names: set[str]) -> set[str]:
    """What these packages ask for themselves, without their extras."""
    asked = [requirement for name in names for requirement in requires(name) or []]
    return {plain(requirement) for requirement in asked if "extra ==" not in requirement}


def imported() -> dict[str, Path]:
    """Top-level names that the package's files import, wherever in their text, and a file that does."""
    found: dict[str, Path] = {}
    for path in (ROOT / "src" / "prime").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0]: path for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module.split(".")[0]] = path
    return {name: path for name, path in found.items() if name not in {"prime", *sys.stdlib_module_names}}


def test_nothing_is_imported_that_only_the_tests_install() -> None:
    known, origin = declared() - {"prime-prognosis"}, packages_distributions()
    known |= brought_along(known)
    assert {"numpy", "torch", "boto3", "pyyaml"} <= known
    assert not {"lifelines", "scikit-survival", "hypothesis"} & known
    for module, path in imported().items():
        names = {plain(name) for name in origin.get(module, [module])}
        assert names & known, f"{path.relative_to(ROOT)} imports {module}, of {names}"
