"""What code a result comes from: a digest of the source files that modules import, found without import.

Kept fits and pretraining runs carry it in the hash of what they depend on, so that a changed line makes them
again and an unchanged one does not. Comments, docstrings and layout do not count.
"""

import ast
import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

# What cannot change a number by itself: settings, facts of methods and packed data stand in a result's hash
# with their values, and the rest is messages, files, progress and where work runs.
NOT_COUNTED = (
    "settings", "catalogue", "cohort", "store.packing", "store.opening", "store.manifest",
    "errors", "files", "fingerprint", "libraries", "job_pool", "progress", "provenance", "pretraining.curves",
    "tracking",
)  # fmt: skip


def source_files(*modules: str) -> dict[str, Path]:
    """The modules of ours that these dotted names import, directly or not, themselves included: name to file.

    Imports within functions count, and so do the packages that a module is in; `prime` itself, which holds
    no more than a version, and `NOT_COUNTED` do not. A named module may be a user's own, such as a method
    that was registered from outside: its file counts, and what it imports of ours.

    Raises:
        ValueError: a name that is no module with a source file.
    """
    found: dict[str, Path] = {}
    waiting: list[str] = []
    for name in modules:
        if _file(name) is not None:
            waiting.append(name)
            continue
        found[name] = _foreign_file(name)
        waiting += _imports(name, found[name])
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if path is None or name in found or _uncounted(name):
            continue
        found[name] = path
        waiting += [name.rpartition(".")[0], *_imports(name, path)]
    return dict(sorted(found.items()))


@cache
def source_digest(*modules: str) -> str:
    """The digest, 16 hex digits, of all code that these modules depend on; the same for a whole process.

    Raises ValueError as `source_files`.
    """
    digest = hashlib.sha256()
    for name, path in source_files(*modules).items():
        digest.update(f"{name}\0{_code_digest(path)}\0".encode())
    return digest.hexdigest()[:16]


def _uncounted(name: str) -> bool:
    inner = name.removeprefix("prime.")
    return any(inner == part or inner.startswith(f"{part}.") for part in NOT_COUNTED)


def _file(name: str) -> Path | None:
    """The file of a dotted name below `prime`; None for what is none of our modules."""
    first, *rest = name.split(".")
    if first != "prime" or not rest:
        return None
    place = PACKAGE.joinpath(*rest)
    module, package = place.with_name(f"{place.name}.py"), place / "__init__.py"
    return module if module.is_file() else package if package.is_file() else None


def _foreign_file(name: str) -> Path:
    """The source file of a module that is none of ours."""
    spec = None if name.partition(".")[0] == PACKAGE.name else find_spec(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ValueError(f"{name}: no module with a source file")
    return Path(spec.origin)


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), filename=str(path))


@cache
def _imports(name: str, path: Path) -> list[str]:
    """Dotted names that a module imports from `prime`, anywhere in its text; some may be no modules."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: list[str] = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return [name for name in found if name.startswith("prime.")]


@cache
def _code_digest(path: Path) -> str:
    """The hash of a file's statements, without docstrings."""
    tree = _tree(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
