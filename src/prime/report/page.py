"""The page: contents, flow of patients, studies, and how to make it all again."""

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from prime.files import write_text
from prime.report.charts import figure_html
from prime.report.flow import flow_html
from prime.report.markup import anchor, data_uri, duration, escaped, fold, moment, note_list, table_html
from prime.report.read import Studies, Study, StudyTable, read_studies

# What the page may load: nothing from outside, not even where a damaged figure asks for it.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write one HTML page of all studies in `folder`; the same folder gives the same bytes.

    The page needs no other file and no network: plotly.js, pictures and tables are in it.

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
    from plotly.offline import get_plotlyjs

    cohort = report.flow.cohort.title
    drawn = any(study.figures for study in report.studies)
    scripts = f"<script>{get_plotlyjs()}</script>\n<script>{_part('report.js')}</script>" if drawn else ""
    parts = [
        _summary(report),
        _section("flow", "Patients", _flow(report)),
        *(_study(study) for study in report.studies),
        _section("again", "How to make this again", _again(report.studies)),
    ]
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>PRIME: {escaped(cohort)}</title>
<style>
{_part("report.css")}</style>
<script>document.documentElement.classList.add("live");</script>
</head>
<body>
<div class="sheet">
{_contents(report.studies)}
<main>
{body}
</main>
</div>
{scripts}
</body>
</html>
"""


def _part(name: str) -> str:
    return (files("prime.report") / name).read_text(encoding="utf-8")


def _section(place: str, title: str, body: str) -> str:
    return f'<section id="{place}">\n<h2>{escaped(title)}</h2>\n{body}\n</section>'


def _contents(studies: list[Study]) -> str:
    """Links to everything; the script folds it on a phone."""
    entries = [_link("flow", "Patients")]
    for study in studies:
        inner = [_link(_place(study, "table", t.name), t.text.title) for t in study.tables]
        inner += [_link(_place(study, "figure", f.name), f.text.title) for f in study.figures]
        items = "".join(f"<li>{link}</li>" for link in inner)
        entries.append(_link(_place(study), study.manifest.title) + (f"<ul>{items}</ul>" if items else ""))
    entries.append(_link("again", "How to make this again"))
    body = "\n".join(f"<li>{entry}</li>" for entry in entries)
    return f'<nav aria-label="Contents">{fold("Contents", f"<ul>{body}</ul>", opened=True)}</nav>'


def _link(place: str, text: str) -> str:
    return f'<a href="#{escaped(place)}">{escaped(text)}</a>'


def _place(study: Study, *parts: str) -> str:
    return anchor("study", study.folder, *parts)


def _summary(report: Studies) -> str:
    studies = report.studies
    tables, figures = sum(len(s.tables) for s in studies), sum(len(s.figures) for s in studies)
    seeds = sorted({seed for study in studies for seed in study.manifest.seeds})
    patients = max(
        (steps[0].patients + steps[0].left_out for steps in report.flow.tasks.values() if steps), default=0
    )
    wall = sum(study.manifest.wall_seconds for study in studies)
    presets = " and ".join(sorted({study.manifest.preset for study in studies}))
    facts = [
        f"{patients:,} patients known to the cohort" if patients else "",
        _counted(len(studies), "study", "studies"),
        _counted(tables, "table", "tables"),
        _counted(figures, "figure", "figures"),
        f"preset {presets}",
        _seeds(seeds),
        f"{duration(wall)} of wall time in all",
        f"last made {moment(max(study.manifest.created for study in studies))}",
    ]
    line = escaped("; ".join(fact for fact in facts if fact))
    title = escaped(report.flow.cohort.title)
    return f"<header>\n<h1>PRIME: {title}</h1>\n<p>{line}.</p>\n{_warning(studies)}</header>"


def _warning(studies: list[Study]) -> str:
    """Plain words where numbers come from the reduced grid."""
    quick = [study for study in studies if study.manifest.preset == "quick"]
    if not quick:
        return ""
    which = "Everything here" if len(quick) == len(studies) else ", ".join(s.manifest.title for s in quick)
    return (
        '<p class="warning" role="note"><b>QUICK PRESET: REDUCED GRID.</b> '
        f"{escaped(which)}: one seed and fewer settings than the full evaluation. These numbers show that "
        "everything runs; they are no results to cite. Run again with <code>--preset full</code>.</p>\n"
    )


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""


def _seeds(seeds: Iterable[int]) -> str:
    names = [str(seed) for seed in seeds]
    return f"{'seed' if len(names) == 1 else 'seeds'} {', '.join(names)}" if names else "no seed"


def _flow(report: Studies) -> str:
    text = (
        "From everybody the cohort knows to the patients who serve the evaluation of each task: "
        "each arrow says who is left out, and why."
    )
    return f"<p>{text}</p>\n{flow_html(report.flow.tasks)}"


def _study(study: Study) -> str:
    manifest = study.manifest
    parts = [_table(study, table) for table in study.tables]
    parts += [figure_html(figure, _place(study, "figure", figure.name)) for figure in study.figures]
    parts.append(note_list(manifest.notes, "notes"))
    missing = [f"{name}: {reason}" for name, reason in manifest.not_fitted.items()]
    if missing:
        parts.append(f"<h3>Not fitted</h3>\n{note_list(missing, 'fits left out')}")
    quick = '<b class="flag">QUICK PRESET: REDUCED GRID</b> ' if manifest.preset == "quick" else ""
    times = f"wall time {duration(manifest.wall_seconds)}, compute time {duration(manifest.compute_seconds)}"
    made = f"Made {moment(manifest.created)} with {_seeds(manifest.seeds)}; {times}."
    parts.append(f'<p class="made">{escaped(made)}</p>')
    body = "\n".join(part for part in parts if part)
    return _section(_place(study), manifest.title, f"{quick}{body}")


def _table(study: Study, table: StudyTable) -> str:
    text = table.text
    name = escaped(f"{study.folder}-{table.name}.csv")
    link = f'<a class="file" download="{name}" href="{data_uri("text/csv;charset=utf-8", table.csv)}">'
    return (
        f'<div class="table" id="{_place(study, "table", table.name)}">\n<h3>{escaped(text.title)}</h3>\n'
        f'<p class="caption">{escaped(text.caption)}</p>\n{table_html(text)}\n'
        f"{note_list(text.notes, 'notes')}\n<p>{link}Numbers as CSV</a></p>\n</div>"
    )


def _again(studies: list[Study]) -> str:
    commands = dict.fromkeys(study.manifest.command for study in studies)
    parts = ["<h3>Commands</h3>", _code("\n".join(commands))]
    parts += ["<h3>Settings</h3>", *_shared((study, study.manifest.config) for study in studies)]
    parts += ["<h3>Versions</h3>", *_shared((study, study.manifest.versions) for study in studies)]
    parts += ["<h3>Hashes</h3>", *_shared((study, study.manifest.hashes) for study in studies)]
    return "\n".join(parts)


def _shared(values: Iterable[tuple[Study, dict[str, Any]]]) -> list[str]:
    """Each different value once, folded under the names of the studies that share it."""
    names: dict[str, list[str]] = {}
    for study, value in values:
        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
        names.setdefault(text, []).append(study.folder)
    return [fold(f"of {', '.join(studies)}", _code(text)) for text, studies in names.items()]


def _code(text: str) -> str:
    return f"<pre><code>{escaped(text.rstrip())}</code></pre>"
