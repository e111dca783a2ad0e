"""The same results as Markdown, with csv files and pictures, for a repository or a paper's supplement."""

import shutil
from pathlib import Path

from prime.files import replacing, write_text
from prime.report.read import StudyFolder, read_studies
from prime.report.words import duration, seed_list

PAGE = "README.md"


def write_markdown(folder: Path, out: Path) -> Path:
    """Write `out`/README.md with every table and figure of the studies in `folder`, their files beside it.

    Raises:
        InputError: as `read_studies`.
    """
    report = read_studies(folder)
    parts = [_head(report.studies)]
    for study in report.studies:
        _copy(study, folder / study.folder, out / study.folder)
        parts.append(_section(study, folder / study.folder))
    write_text(out / PAGE, "\n\n".join(parts) + "\n")
    return out / PAGE


def _head(studies: list[StudyFolder]) -> str:
    quick = [study.folder for study in studies if study.manifest.preset == "quick"]
    lines = [
        "# Tables and figures",
        "",
        "Written by `prime report`; each part names the command that made it.",
    ]
    if quick:
        lines += ["", f"**Reduced grid** (`--preset quick`), not the full one: {', '.join(quick)}."]
    links = [f"- [{study.manifest.title}](#{study.folder})" for study in studies]
    return "\n".join([*lines, "", *links])


def _section(study: StudyFolder, folder: Path) -> str:
    facts = study.manifest
    preset = f", preset {facts.preset}" if facts.preset else ""
    made = (
        f"`{facts.command}`: {seed_list(facts.seeds)}{preset}"
        f"{_pretraining(facts.protocols())}. Wall time of its last run {duration(facts.wall_seconds)}, in"
        " which what earlier runs had finished was not done again; all that it rests on takes"
        f" {duration(facts.compute_seconds)} of one process."
    )
    parts = [f'<a id="{study.folder}"></a>\n## {facts.title}', made]
    parts += [(folder / f"{table.name}.md").read_text(encoding="utf-8").strip() for table in study.tables]
    for figure in study.figures:
        parts.append(f"![{figure.text.title}]({study.folder}/{figure.name}.svg)\n\n{figure.text.caption}")
    parts += facts.notes
    if facts.not_fitted:
        shown = [f"- {fit}" for fit in facts.missing()]
        parts.append(
            f"<details><summary>{len(shown)} folds could not be fitted</summary>\n\n"
            + "\n".join(shown)
            + "\n\n</details>"
        )
    links = [f"[{table.name}.csv]({study.folder}/{table.name}.csv)" for table in study.tables]
    parts.append("Numbers: " + ", ".join(links) if links else "")
    return "\n\n".join(part for part in parts if part)


def _pretraining(protocols: list[str]) -> str:
    return f", pretraining {', '.join(protocols)}" if protocols else ""


def _copy(study: StudyFolder, source: Path, target: Path) -> None:
    names = [f"{table.name}.csv" for table in study.tables]
    names += [f"{figure.name}.svg" for figure in study.figures]
    for name in names:
        with replacing(target / name) as temporary:
            shutil.copyfile(source / name, temporary)
