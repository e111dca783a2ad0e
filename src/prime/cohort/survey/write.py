"""`prime init`: a folder's files, recognised and written as a cohort file and an experiment file."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from prime.cohort.check.sources import check_source
from prime.cohort.config import CohortConfig
from prime.cohort.endpoints import ClinicalTable, read_clinical
from prime.cohort.readers import READERS
from prime.cohort.survey.clinical_guess import ClinicalGuess, known_format, own_format, quoted, why_not
from prime.cohort.survey.heads import Head, head_of, tables_in, token_folders
from prime.cohort.survey.source_guess import (
    SourceGuess,
    annotated_sources,
    is_slide_table,
    table_source,
    token_source,
)
from prime.cohort.tables import ANNOTATED
from prime.errors import InputError, some
from prime.files import write_text
from prime.settings.yaml_files import parse_value

COHORT, EXPERIMENT = "cohort.yaml", "experiment.yaml"
HEAD = """# Written by prime init from the files of this folder. Lines marked `guess` are guesses: read them.
# docs/formats.md describes every key; prime check cohort.yaml looks through the cohort.
"""
Say = Callable[[str], None]


def init(folder: Path, say: Say) -> Path:
    """Look at a folder, write cohort.yaml and experiment.yaml there, and return the first.

    A source that `prime check` would refuse is left out, as a comment with the reason.

    Raises:
        InputError: no such folder, one that has these files, no clinical table, or nothing else.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    there = [name for name in (COHORT, EXPERIMENT) if (folder / name).exists()]
    if there:
        raise InputError(f"{folder / there[0]}: is there already; rename or remove it")
    heads = _heads(folder, say)
    clinical = _clinical(folder, heads, say)
    say(f"{clinical.head.path}: the clinical table, format {clinical.format}, {_endpoints(clinical)}")
    lines = _clinical_lines(clinical)
    settings = _config([*lines, "modalities: {x: {x: {reader: vector, path: x}}}"], folder)
    table = read_clinical(settings.clinical, folder, settings.name)
    sources, left_out = _sources(folder, heads, clinical, table, say)
    if not sources:
        raise InputError(f"{folder}: nothing but a clinical table was recognised" + _reasons(left_out))
    _write(folder, lines + _modality_lines(sources, left_out), clinical)
    return folder / COHORT


def _heads(folder: Path, say: Say) -> list[Head]:
    found: list[Head] = []
    for path in tables_in(folder):
        try:
            commented = path.suffix.lower() in (".txt", ".tsv") and _commented(folder / path)
            found.append(head_of(folder, path, commented))
        except InputError as error:
            say(f"{path}: not read ({error})")
    return found


def _commented(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"#"


def _clinical(folder: Path, heads: list[Head], say: Say) -> ClinicalGuess:
    """The table that most speaks for; the others are named."""
    found = [guess for head in heads if (guess := known_format(head) or own_format(head)) is not None]
    if not found:
        names = some([f"{head.path}: {why_not(head)}" for head in heads], 3) or "no table at all"
        raise InputError(
            f"{folder}: no clinical table was recognised ({names}); it needs a column of patients, one of "
            f"times and one of events (docs/formats.md)"
        )
    found.sort(key=lambda guess: -guess.recognised)
    for other in found[1:]:
        say(f"{other.head.path}: could be a clinical table too ({_endpoints(other)}); not taken")
    return found[0]


def _endpoints(guess: ClinicalGuess) -> str:
    return f"endpoints {', '.join(guess.endpoints)}"


def _clinical_lines(guess: ClinicalGuess) -> list[str]:
    patient = [f"patient_id: {quoted(guess.patient)} # guess: by its name"] if guess.format == "table" else []
    keys = [f"format: {guess.format}", f"path: {quoted(guess.head.path.as_posix())}", *patient, *guess.keys]
    return ["clinical: # guess: the table with an outcome", *(f"  {line}" for line in keys)]


def _config(lines: list[str], folder: Path) -> CohortConfig:
    """The cohort file that these lines make."""
    value = parse_value("\n".join([f"name: {quoted(folder.resolve().name)}", *lines]), "init")
    return CohortConfig.model_validate(value).model_copy(update={"root": str(folder.resolve())})


def _sources(
    folder: Path, heads: list[Head], clinical: ClinicalGuess, table: ClinicalTable, say: Say
) -> tuple[list[SourceGuess], list[str]]:
    """The sources that can be read without an error, and what was left out with the reason."""
    slide_table = next((head.path for head in heads if is_slide_table(head)), None)
    patients = set(table.frame["patient_id"])
    guesses: list[SourceGuess] = []
    left_out: list[str] = []
    for path, reader in token_folders(folder).items():
        guesses += _first_accepted(
            [token_source(path, reader, slides) for slides in dict.fromkeys((None, slide_table))],
            folder, table, left_out,
        )  # fmt: skip
    for head in heads:
        if head.path.suffix.lower() in ANNOTATED:
            made = annotated_sources(folder, head.path, patients)
        elif head.path in (clinical.head.path, slide_table):
            continue
        else:
            made = [table_source(head, patients)]
        for guess in made:
            if isinstance(guess, str):
                left_out.append(f"{head.path}: {guess}")
            else:
                guesses += _first_accepted([guess], folder, table, left_out)
    named = _unique(guesses)
    for guess in named:
        say(f"{guess.options['path']}: source {guess.name} of {guess.modality}: {guess.remark}")
    for line in left_out:
        say(f"not taken: {line}")
    return named, left_out


def _first_accepted(
    guesses: list[SourceGuess], folder: Path, table: ClinicalTable, left_out: list[str]
) -> list[SourceGuess]:
    """The first guess that the check of a source accepts; none where it refuses all, with a reason."""
    reason = ""
    for guess in guesses:
        try:
            options = READERS[guess.options["reader"]].settings.model_validate(guess.options)
            found = check_source(guess.modality, guess.name, options, folder, table)
            if not found.errors:
                return [guess]
            reason = found.errors[0]
        except InputError as error:
            reason = str(error)
    left_out.append(f"{guesses[-1].options['path']}: {' '.join(reason.split())}")
    return []


def _unique(guesses: list[SourceGuess]) -> list[SourceGuess]:
    """The sources with different names, sorted by modality."""
    names: set[str] = set()
    result: list[SourceGuess] = []
    for guess in sorted(guesses, key=lambda guess: guess.modality):
        name, number = guess.name, 1
        while name in names:
            number += 1
            name = f"{guess.name}_{number}"
        names.add(name)
        result.append(replace(guess, name=name))
    return result


def _modality_lines(sources: list[SourceGuess], left_out: list[str]) -> list[str]:
    lines = ["", "modalities:"]
    for modality in dict.fromkeys(source.modality for source in sources):
        lines.append(f"  {modality}:")
        for source in (one for one in sources if one.modality == modality):
            lines.append(f"    {source.name}: # guess: {source.remark}")
            for key, value in source.options.items():
                if value not in ([], ""):
                    shown = f"[{', '.join(map(quoted, value))}]" if isinstance(value, list) else quoted(value)
                    lines.append(f"      {key}: {shown}")
    return lines + ["", "# Not taken:"] * bool(left_out) + [f"# - {line}" for line in left_out]


def _write(folder: Path, lines: list[str], clinical: ClinicalGuess) -> None:
    name = f"name: {quoted(folder.resolve().name)} # guess: the folder's"
    write_text(folder / COHORT, "\n".join([HEAD + name, "", *lines]) + "\n")
    tasks = [f"    - {{name: {name}, endpoint: {name}}}" for name in clinical.endpoints]
    text = [
        "# Written by prime init. prime config prints every setting, with its default and its limits.",
        f"cohort: {COHORT}",
        "evaluate:",
        "  tasks: # guess: time to event, one task an endpoint; add horizon_days for a yes or no by then",
        *tasks,
    ]
    write_text(folder / EXPERIMENT, "\n".join(text) + "\n")


def _reasons(left_out: list[str]) -> str:
    return "".join(f"; {line}" for line in left_out)
