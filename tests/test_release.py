"""Versions, the conda recipe, and what a release writes."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import prime
from prime.provenance import source_files
from tests.documents import ROOT

CONDA = {"torch": "pytorch", "lightning-fabric": "pytorch-lightning"}


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = spec_from_file_location("release", ROOT / "deploy" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_is_no_part_of_a_result() -> None:
    """A commit changes the version; kept fits and runs are keyed by code that does not hold it."""
    counted = source_files(
        "prime.study.run", "prime.downstream.grid", "prime.pretraining.loop", "prime.predict.fit"
    )
    assert len(counted) > 50
    assert "prime" not in counted


def test_without_an_installation_the_version_is_the_fallback() -> None:
    asked = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; import prime"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"{asked}; print(prime.__version__)"],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.stdout.strip() == project()["tool"]["hatch"]["version"]["fallback-version"]
    assert prime.__version__ == version("prime-prognosis")


def test_the_conda_recipe_asks_for_what_the_package_needs() -> None:
    recipe = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    found = {line.split()[0]: line.partition(" ")[2] for line in recipe["requirements"]["run"]}
    wanted = {"python": project()["project"]["requires-python"]}
    for line in project()["project"]["dependencies"]:
        name, bounds = re.match(r"([\w-]+)(.*)", line).groups()  # type: ignore[union-attr]
        wanted[CONDA.get(name, name)] = bounds
    assert found == wanted
    assert set(project()["build-system"]["requires"]) == {
        line.replace(" ", "") for line in recipe["requirements"]["host"] if line.startswith("hatch")
    }


def test_workflows_name_every_action_by_a_version() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text(encoding="utf-8")
        jobs = yaml.safe_load(text)["jobs"]
        assert all(
            "timeout-minutes" in job or "environment" in job or "needs" in job for job in jobs.values()
        )
        used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
        assert used
        assert all(re.fullmatch(r"[\w./-]+@v\d+\.\d+\.\d+", name) for name in used), used


def test_links_of_the_readme_become_absolute(release: ModuleType) -> None:
    text = "[a](docs/a.md#b) ![c](docs/c.svg) [d](https://d.org) [e](#here)"
    assert release.absolute(text, "someone/prime", "v1.2.0") == (
        "[a](https://github.com/someone/prime/blob/v1.2.0/docs/a.md#b)"
        " ![c](https://raw.githubusercontent.com/someone/prime/v1.2.0/docs/c.svg)"
        " [d](https://d.org) [e](#here)"
    )
    readme = release.absolute((ROOT / "README.md").read_text(encoding="utf-8"), "someone/prime", "v1.2.0")
    assert not re.search(r"\]\((?!https?:|#)", readme)


def test_a_version_that_nobody_wrote_about_is_refused(release: ModuleType) -> None:
    log = "# Changelog\n\n## [0.3.0] - unreleased\n\n- c\n\n## [0.2.0] - 2026-01-02\n\n### Added\n\n- b\n"
    log += "\n## [0.1.0]\n\n- a\n"
    assert release.notes(log, "0.2.0") == "### Added\n\n- b"
    assert release.notes(log, "0.1.0") == "- a"
    assert release.faults("0.2.0", log, "a: b\nversion: 0.2.0\n") == []
    assert len(release.faults("0.3.0", log, "a: b\nversion: 0.3.0\n")) == 1
    assert len(release.faults("0.4.0", log, "a: b\nversion: 0.3.0\n")) == 2


def test_the_changelog_has_a_part_for_the_version_that_is_cited(release: ModuleType) -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    assert release.notes(Path(ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), str(cited))
