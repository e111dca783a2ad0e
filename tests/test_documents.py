"""Every block of code in the documents is run, or read by what would run it; documents.py says how."""

import inspect
import re
import shutil
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from pydantic import ValidationError

import prime
from prime.cli import build_app, main
from prime.cohort.config import ClinicalConfig, CohortConfig
from prime.parsing import parse_json, parse_yaml
from prime.settings.experiment import ExperimentConfig, load_experiment
from prime.settings.template import experiment_template
from prime.settings.yaml_files import expand_variables
from prime.study.registry import STUDIES
from tests.documents import ROOT, Block, blocks, notes, pages, prime_commands, synopses
from tests.hospital import tables, write_hospital

SHELL, SYNOPSIS = ("sh",), ("", "text")
KINDS = (*SHELL, *SYNOPSIS, "python", "yaml", "json", "mermaid")
WAYS = ("", "run", "file", "parse", "elsewhere")
BLOCKS = [block for page in pages() for block in blocks(page)]
RUN = {block.page for block in BLOCKS if block.way == "run" and block.kind in SHELL}
OWN = {block.page for block in BLOCKS if block.way == "file" and block.rest == "cohort.yaml"}
SMALL = (  # of networks and studies, instead of the defaults
    "model={dim: 16, queries: 2, heads: 2, blocks: 2, experts: 2, top_k: 1, prototypes: 4}",
    "pretrain.epochs=1", "pretrain.batch_size=32", "pretrain.top_k=2", "pretrain.precision=32-true",
    "evaluate.fold_count=2", "evaluate.bootstrap=5", "evaluate.modes=[lp]",
    "evaluate.inits=[pretrained]", "evaluate.seeds=[0]", "evaluate.probe.components=4",
)  # fmt: skip
START = "docs/start.md"
COHORT: dict[str, Any] = {  # of tests/hospital.py, as `prime init` takes its files
    "name": "hospital",
    "clinical": {
        "format": "table",
        "path": "clinical.csv",
        "patient_id": "patient",
        "cohort": "type",
        "site": "hospital",
        "endpoints": {"os": {"time": "months", "event": "died", "unit": "months"}},
    },
    "modalities": {
        "image": {"slides": {"reader": "h5", "path": "slides"}},
        "rna": {"rna": {"reader": "vector", "path": "rna.parquet", "patient_id": "patient"}},
    },
}


def of(*kinds: str) -> list[Any]:
    return [pytest.param(block, id=str(block)) for block in BLOCKS if block.kind in kinds]


# What is a block, and what is done with it


def test_every_block_is_of_a_known_kind_and_says_how_it_is_tested() -> None:
    for block in BLOCKS:
        assert block.kind in KINDS, f"{block}: {block.kind!r}; write one of {KINDS}, or a test for it"
        assert block.way in WAYS, f"{block}: {block.note!r}; see tests/documents.py"
        if block.kind in SHELL:
            assert block.way, f"{block}: say how the block is tested, before it; see tests/documents.py"
        if block.kind == "mermaid":
            assert block.page == "docs/architecture.md", (
                f"{block}: only tests/test_architecture.py reads a graph"
            )
        if block.way == "parse":
            assert block.rest, f"{block}: say why it is not run"
        if block.way == "elsewhere":
            assert Path(block.page).name in (ROOT / block.rest).read_text(encoding="utf-8"), str(block)


def test_every_note_stands_before_a_block() -> None:
    for page in pages():
        assert notes(page) == sum(bool(block.note) for block in blocks(page)), str(page)


def test_a_new_page_cannot_escape(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n\n```ruby\nputs 1\n```\n\n- a list\n\n  ```sh\n  prime check a.yaml # b\n  ```\n",
        encoding="utf-8",
    )
    ruby, shell = blocks(page)
    assert (ruby.kind, ruby.line, shell.kind, shell.text) == ("ruby", 3, "sh", "prime check a.yaml # b\n")
    assert ruby.kind not in KINDS
    page.write_text(
        "<!-- test: parse needs sbatch -->\n```sh\nls\n```\n\n<!-- test: run -->\n", encoding="utf-8"
    )
    (known,) = blocks(page)
    assert (known.way, known.rest, known.line, notes(page)) == ("parse", "needs sbatch", 2, 2)


def test_commands_are_found_wherever_they_stand() -> None:
    text = (
        "pip install x && prime check a.yaml  # not prime pack\nsrun prime pretrain b.yaml \\\n  --out c\n"
        "torchrun -n 4 $(which prime) pretrain d.yaml\nray run --min 2 -- \\\n  prime study all\n"
        "docker build -t prime .\nprime config > e.yaml\nprime study a --slurm 'x=1 2' | head\n"
    )
    assert list(prime_commands(text)) == [
        (["check", "a.yaml"], None), (["pretrain", "b.yaml", "--out", "c"], None),
        (["pretrain", "d.yaml"], None), (["study", "all"], None),
        (["config"], "e.yaml"), (["study", "a", "--slurm", "x=1 2"], None),
    ]  # fmt: skip
    assert list(synopses("a --> b\nprime encode rna DIR ... --out X [--jobs N]")) == [
        ["encode", "rna", "DIR", "--out", "X", "--jobs", "N"]
    ]


# Shell


def understood(words: list[str]) -> dict[str, Any]:
    """The arguments that a command would be called with; the name of a study is known to exist."""
    _, bound, _ = build_app().parse_args(words, exit_on_error=False, print_error=False)
    given = bound.arguments
    if words[0] == "study" and not given["name"].startswith("$"):
        assert given["name"] in (*STUDIES, "all", "sweep"), words
    return given


def settings_of(words: list[str], folder: Path) -> None:
    """Hold what follows --set against the settings."""
    settings = understood(words).get("settings", ())
    if settings:
        template = folder / "template.yaml"
        template.write_text(experiment_template(), encoding="utf-8")
        load_experiment(template, settings)


@pytest.mark.parametrize("block", of(*SHELL))
def test_the_command_line_knows_every_command(block: Block, tmp_path: Path) -> None:
    for words, _ in prime_commands(block.text):
        settings_of(words, tmp_path)


@pytest.mark.parametrize("block", of(*SYNOPSIS))
def test_the_command_line_knows_every_synopsis(block: Block, tmp_path: Path) -> None:
    for words in synopses(block.text):
        understood([re.sub(r"^[NX]$", "1", word) for word in words])


def test_a_command_that_does_not_exist_is_found() -> None:
    for text in ("prime chekc a.yaml", "prime check a.yaml --speed 2", "prime demo --threads tpu"):
        ((words, _),) = prime_commands(text)
        with pytest.raises(Exception, match=r"chekc|speed|tpu"):
            understood(words)


def made_small(words: list[str]) -> list[str]:
    """A command as it stands, with small networks where it takes settings, and few draws where it draws."""
    takes = inspect.signature(build_app().parse_args(words)[0]).parameters
    small = [
        *(("--set", *SMALL) if "settings" in takes else ()),
        *(("--bootstrap", "5") if "bootstrap" in takes else ()),
    ]
    return [*words, *small, *(("--threads", "1") if "threads" in takes else ())]


def go(block: Block) -> None:
    """Run the commands of a block in the current folder."""
    for words, target in prime_commands(block.text):
        said = f"{block}: prime {' '.join(words)}"
        if target is None:
            assert main(made_small(words)) == 0, said
            continue
        with open(target, "w", encoding="utf-8") as file, redirect_stdout(file):
            assert main(words) == 0, said


def write_world(folder: Path) -> None:
    """The files that pages speak of: those of a hospital, and of the patients of three others."""
    write_hospital(folder, 120)
    (folder / "reports.csv").unlink()  # their encoder would take half a minute
    clinical = pd.read_csv(folder / "clinical.csv").rename(
        columns={"patient": "patient_id", "months": "time"}
    )
    held_out = clinical.assign(fold=range(len(clinical)), event=clinical["died"], risk=clinical["age"])
    held_out["fold"] %= 5
    held_out[["patient_id", "fold", "time", "event", "risk"]].to_csv(folder / "held_out.csv", index=False)
    for seed, name in enumerate(("new_patients", "other_hospital", "local"), start=1):
        write_hospital(folder / name, 80, seed)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**COHORT, "root": name}), encoding="utf-8")


def walk(page: str, folder: Path) -> None:
    """Do what a page says, from its first block to its last."""
    with chdir(folder):
        for block in BLOCKS:
            if block.page == page and block.way == "file":
                Path(block.rest).write_text(block.text, encoding="utf-8")
            elif block.page == page and block.way == "run":
                go(block)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of somebody who has done what docs/start.md says; other pages go on from there."""
    folder = tmp_path_factory.mktemp("started")
    write_world(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRIME_CACHE", str(folder / "cache"))
        walk(START, folder)
        yield folder


def test_the_first_page_ends_with_predictions_for_everybody(started: Path) -> None:
    found = pd.read_csv(started / "predictions.csv")
    assert len(found) == 80
    assert found["risk"].nunique() > 60
    assert (started / "runs" / "validation" / "report.html").is_file()


@pytest.mark.parametrize("page", sorted(RUN - OWN - {START}))
def test_a_page_goes_on_from_the_first_one(page: str, started: Path) -> None:
    walk(page, started)


@pytest.mark.parametrize("page", sorted(RUN & OWN))
def test_a_page_with_a_cohort_of_its_own_runs(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRIME_CACHE", str(tmp_path / "cache"))
    write_hospital(tmp_path, 60)
    trident = tmp_path / "trident_processed" / "20x_256px_0px_overlap" / "features_uni_v2"
    trident.mkdir(parents=True)
    for slide in (tmp_path / "slides").iterdir():
        for section in "AB":
            shutil.copyfile(slide, trident / f"{slide.stem}_{section}.h5")
    walk(page, tmp_path)


# Python, yaml, json


def parts(page: str) -> list[Block]:
    mine = [block for block in BLOCKS if block.page == page and block.kind == "python"]
    return [block for block in mine if block.way not in ("parse", "elsewhere")]


@pytest.mark.filterwarnings("ignore:From 0.4 .update:FutureWarning")  # MuData's, of what a page makes with it
@pytest.mark.parametrize("page", sorted({block.page for block in BLOCKS if block.kind == "python"}))
def test_python_runs_as_it_stands(page: str, tmp_path: Path) -> None:
    """The blocks of a page one after the other, with one epoch instead of many."""
    made, others = tables(40), tables(20, seed=1)
    names = {"prime": prime, "new_clinical": others["clinical"][["type"]], "new_rna": others["rna"], **made}
    with chdir(tmp_path):
        made["clinical"].to_csv("clinical.csv")
        for name in ("rna", "slides"):
            made[name].reset_index().to_parquet(f"{name}.parquet")
        for block in parts(page):
            text = re.sub(r"(epochs\"?[:=] ?)\d+", r"\g<1>1", block.text)
            exec(compile("\n" * block.line + text, page, "exec"), names)


def as_settings(value: dict[str, Any]) -> CohortConfig | ExperimentConfig:
    """What a block of yaml is: a cohort file, an experiment file, or a part of one.

    Raises ValidationError, and so does what is none of them.
    """
    cohort, clinical = CohortConfig.model_fields, ClinicalConfig.model_fields
    if set(value) <= set(ExperimentConfig.model_fields):
        return ExperimentConfig.model_validate({"cohort": "cohort.yaml", **value})
    if set(value) & set(cohort):
        return CohortConfig.model_validate({**COHORT, **value})
    if set(value) & set(clinical):
        return CohortConfig.model_validate({**COHORT, "clinical": {**COHORT["clinical"], **value}})
    return CohortConfig.model_validate({**COHORT, "modalities": value})


@pytest.mark.parametrize("block", of("yaml"))
def test_yaml_is_what_the_settings_take(block: Block) -> None:
    as_settings(parse_yaml(expand_variables(block.text, str(block)), str(block)))


@pytest.mark.parametrize(
    "text",
    [
        "evaluate: {taks: []}",
        "modalities: {rna: {g: {reader: vektor, path: a}}}",
        "covariates: [{nam: a}]",
        "a: 1",
    ],
)
def test_yaml_that_no_settings_take_is_found(text: str) -> None:
    with pytest.raises(ValidationError):
        as_settings(parse_yaml(text, "text"))


@pytest.mark.parametrize("block", of("json"))
def test_json_is_json(block: Block) -> None:
    assert parse_json(block.text, str(block))
