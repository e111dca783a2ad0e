"""The digest of the code behind a result: which files count, and which changes of them."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from prime import provenance
from prime.catalogue.methods import METHODS
from prime.provenance import source_digest, source_files

FILES = {
    "__init__.py": "VERSION = 1\n",
    "room/__init__.py": '"""A room."""\n',
    "room/first.py": '"""First."""\nfrom prime.room.second import two\nimport json\n',
    "room/second.py": "def two():\n    from .third import three\n    return three()\n",
    "room/third.py": "from prime.other import deep\nfrom prime import VERSION\n\ndef three():\n    return 3",
    "other/__init__.py": "LATE = 0\n",
    "other/deep.py": "from .. import room\nimport prime.errors\n",
    "errors.py": "class InputError(ValueError): ...\n",
    "apart.py": "X = 1\n",
}
Clear = Callable[[], None]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small package in the place of ours."""
    folder = tmp_path / "prime"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    forget()
    yield folder
    monkeypatch.undo()
    forget()


def forget() -> None:
    """As a new process would begin."""
    for cached in (source_digest, provenance._tree, provenance._imports, provenance._code_digest):
        cached.cache_clear()


def digest_after(path: Path, text: str, of: str = "prime.room.first") -> str:
    path.write_text(text, encoding="utf-8")
    forget()
    return source_digest(of)


def test_imports_are_followed_also_out_of_functions(package: Path) -> None:
    found = source_files("prime.room.first")
    assert list(found) == [
        "prime.other", "prime.other.deep", "prime.room", "prime.room.first", "prime.room.second",
        "prime.room.third",
    ]  # fmt: skip
    assert found["prime.other"] == package / "other" / "__init__.py"


@pytest.mark.parametrize("name", [n for n in FILES if "/" in n])
def test_a_changed_statement_changes_the_digest(package: Path, name: str) -> None:
    before = source_digest("prime.room.first")
    assert digest_after(package / name, FILES[name] + "\nMORE = 1\n") != before
    assert digest_after(package / name, FILES[name]) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "room/first.py",
            '"""Other words."""\n\n\nfrom prime.room.second import two  # a remark\nimport json\n',
        ),
        ("room/third.py", FILES["room/third.py"].replace("return 3", '"""Three."""\n    return (3)')),
        ("apart.py", "X = 2\n"),
        ("errors.py", "class InputError(KeyError): ...\n"),
        ("__init__.py", "VERSION = 2\n"),
    ],
)
def test_words_layout_and_what_is_not_imported_do_not(package: Path, name: str, text: str) -> None:
    before = source_digest("prime.room.first")
    assert digest_after(package / name, text) == before


def test_several_modules_and_unknown_ones(package: Path) -> None:
    assert set(source_files("prime.apart", "prime.other")) == {"prime.apart", "prime.other"}
    assert source_digest("prime.apart") != source_digest("prime.other")
    for name in ("prime.nowhere", "nowhere", "sys", "prime"):
        with pytest.raises(ValueError, match=f"{name}: no module with a source file"):
            source_digest(name)


def test_a_module_of_the_users_own_counts_with_what_it_imports_of_ours(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "own_method.py"
    mine.write_text("from prime import apart\nimport json\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(source_files("own_method")) == {"own_method", "prime.apart"}
    before = source_digest("own_method")
    assert digest_after(mine, "X = 1\n", "own_method") != before


@pytest.mark.parametrize(
    "names",
    [["prime.downstream.probe_fits"], ["prime.downstream.method_fits", "prime.methods.networks.mcat"]],
)
def test_what_python_loads_is_found(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, but for readers of cohorts, which are loaded by name and what they import for themselves."""
    code = f"import sys, {', '.join(names)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name for name in done.stdout.split() if name.startswith("prime.")}
    loaded = {
        name for name in loaded if name.split(".")[1] not in ("cohort", "hub", "libraries", "text_encoder")
    }
    monkeypatch.setattr(provenance, "NOT_COUNTED", ())
    assert loaded <= set(source_files(*names))


def test_methods_do_not_depend_on_each_other() -> None:
    files = set(source_files("prime.downstream.method_fits"))
    places = {method.place.partition(":")[0] for method in METHODS.values()}
    assert len(places) > 15
    assert not files & places
    assert not {name for name in source_files("prime.downstream.probe_fits") if "finetuning" in name}
    assert not {name for name in source_files("prime.pretraining.loop") if ".downstream" in name}
