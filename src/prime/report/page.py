"""The page: one HTML file of all studies in a folder, written through the templates beside this file."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from prime.files import write_text
from prime.report import words
from prime.report.read import Studies, StudyFolder, read_studies
from prime.report.table_layout import layout

# What the page may load: nothing from outside, not even where a damaged figure asks for it.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write one HTML page of all studies in `folder`; the same folder gives the same bytes.

    The page needs no other file and no network: Vega, pictures and tables are in it.

    Args:
        folder: where `prime study` wrote.
        out: the page; None for `report.html` in the folder.

    Returns:
        The path of the page.

    Raises:
        InputError: no such folder, no study in it, or a damaged file, which it names.
    """
    path = folder / "report.html" if out is None else out
    write_text(path, page_html(read_studies(folder)))
    return path


def page_html(report: Studies) -> str:
    """The whole page."""
    studies = report.studies
    manifests = [(study.folder, study.manifest) for study in studies]
    return environment().get_template("page.html.j2").render(
        policy=_POLICY,
        cohort=report.flow.cohort.title,
        facts=_facts(report),
        quick=_quick(studies),
        tasks=report.flow.tasks,
        studies=studies,
        commands=list(dict.fromkeys(study.manifest.command for study in studies)),
        shared={
            "Settings": _shared((folder, manifest.config) for folder, manifest in manifests),
            "Versions": _shared((folder, manifest.versions) for folder, manifest in manifests),
            "Hashes": _shared((folder, manifest.hashes) for folder, manifest in manifests),
        },
        drawn=any(study.figures for study in studies),
        vega=_vega,
    )  # fmt: skip


@cache
def environment() -> Environment:
    """The templates, in which every text from outside is escaped."""
    made = Environment(
        loader=PackageLoader("prime.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    names: dict[str, Any] = made.globals
    names["anchor"] = words.anchor
    filters: dict[str, Any] = made.filters
    for function in (words.data_uri, words.duration, words.moment, words.seed_list, words.thousands, layout):
        filters[function.__name__] = function
    return made


@cache
def _vega() -> Markup:
    """Vega, Vega-Lite and vega-embed as one script, in which nothing ends its element."""
    import vl_convert

    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return Markup(re.sub(r"<(?=/script|!--)", r"\\x3c", script, flags=re.IGNORECASE))


def _facts(report: Studies) -> list[str]:
    """What the page holds, as short phrases."""
    studies = report.studies
    tables, figures = sum(len(s.tables) for s in studies), sum(len(s.figures) for s in studies)
    patients = max(
        (steps[0].patients + steps[0].left_out for steps in report.flow.tasks.values() if steps), default=0
    )
    presets = sorted({study.manifest.preset for study in studies} - {""})
    noun = ("study", "studies") if presets else ("section", "sections")
    facts = [
        f"{patients:,} patients known to the cohort" if patients else "",
        words.counted(len(studies), *noun),
        words.counted(tables, "table", "tables"),
        words.counted(figures, "figure", "figures"),
        f"preset {' and '.join(presets)}" if presets else "",
        words.seed_list(sorted({seed for study in studies for seed in study.manifest.seeds})),
        f"{words.duration(sum(study.manifest.wall_seconds for study in studies))} of wall time in all",
        f"last made {words.moment(max(study.manifest.created for study in studies))}",
    ]
    return [fact for fact in facts if fact]


def _quick(studies: list[StudyFolder]) -> str:
    """Which numbers come from the reduced grid; empty for none."""
    titles = [study.manifest.title for study in studies if study.manifest.preset == "quick"]
    return "Everything here" if len(titles) == len(studies) else ", ".join(titles)


def _shared(values: Iterable[tuple[str, dict[str, Any]]]) -> dict[str, list[str]]:
    """Each different value once, as YAML, with the names of the studies that share it."""
    names: dict[str, list[str]] = {}
    for study, value in values:
        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
        names.setdefault(text.rstrip(), []).append(study)
    return names
