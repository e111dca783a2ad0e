"""`prime gdc`: what there is of TCGA, fetching it, and making a cohort of it."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prime.encode.gdc.kinds import DATA, DEFAULT_SERVER
from prime.errors import InputError

if TYPE_CHECKING:
    from prime.encode.gdc.manifest import GdcFile
    from prime.encode.gdc.server import Server

ABOUT = "TCGA from the Genomic Data Commons (open access): what there is, fetching it, aligning it"
SERVER_VARIABLE = "PRIME_GDC"


def _number(least: int) -> Callable[[str], int]:
    """An argument's type: a whole number, at least `least`."""

    def parse(text: str) -> int:
        if int(text) < least:
            raise ValueError
        return int(text)

    parse.__name__ = f"whole number from {least}"
    return parse


def _seconds(text: str) -> float:
    if not float(text) > 0:
        raise ValueError
    return float(text)


_seconds.__name__ = "number of seconds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `query`, `fetch` and `build` with their options."""
    actions = parser.add_subparsers(dest="gdc_command", required=True, metavar="ACTION")
    query = actions.add_parser("query", help="count files and bytes; fetch nothing")
    _what(query)
    _server(query)
    query.add_argument("--out", type=Path, metavar="MANIFEST.tsv", help="keep the list of files here")
    fetch = actions.add_parser("fetch", help="fetch files; go on where an earlier run stopped")
    _what(fetch)
    _server(fetch)
    fetch.add_argument(
        "--manifest", type=Path, metavar="FILE.tsv", help="these files (of prime gdc query, or the GDC's own)"
    )
    fetch.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the files")
    fetch.add_argument("--jobs", type=_number(1), default=4, metavar="N", help="files at once (4)")
    build = actions.add_parser("build", help="align fetched files by barcode and write a cohort")
    _build_options(build)


def _what(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--project", nargs="+", default=[], metavar="NAME", help="such as TCGA-BRCA (all of TCGA)"
    )
    command.add_argument("--data", nargs="+", choices=DATA, metavar="KIND", help=f"{', '.join(DATA)} (all)")


def _server(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--server", default=os.environ.get(SERVER_VARIABLE) or DEFAULT_SERVER, metavar="URL",
        help=f"a GDC server ({SERVER_VARIABLE}, else {DEFAULT_SERVER})",
    )  # fmt: skip
    command.add_argument(
        "--retries",
        type=_number(0),
        default=8,
        metavar="N",
        help="attempts after one that brought nothing (8)",
    )
    command.add_argument(
        "--wait", type=_seconds, default=1.0, metavar="S", help="before the second attempt; doubles (1)"
    )
    command.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="S", help="without a single byte (60)"
    )


def _build_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, metavar="DIR", help="the --out of prime gdc fetch")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="the cohort's folder")
    command.add_argument(
        "--clinical", type=Path, metavar="FILE", help="TCGA-CDR (xlsx, csv) instead of the GDC's follow-up"
    )
    for kind, what in (
        ("slides", "folder of h5 or pt files"),
        ("rna", "table with patient_id, or folder of h5 files"),
        ("reports", "csv with patient_filename,text, or folder of h5 files"),
    ):
        command.add_argument(
            f"--{kind}", type=Path, metavar="PATH", help=f"--out of prime encode {kind}, or {what}"
        )
    command.add_argument(
        "--encoder", default="minilm", metavar="NAME", help="of report texts not encoded yet (minilm)"
    )
    command.add_argument("--name", default="tcga", help="the cohort's name (tcga)")


def run(arguments: argparse.Namespace) -> int:
    """Run one action. Returns 0, or 1 where files could not be fetched. Raises InputError."""
    actions = {"query": _query, "fetch": _fetch, "build": _build}
    return actions[arguments.gdc_command](arguments)


def _connect(arguments: argparse.Namespace) -> "Server":
    from prime.encode.gdc.server import RetryPolicy, Server

    policy = RetryPolicy(arguments.retries, arguments.wait, read_timeout_s=arguments.timeout)
    return Server(arguments.server, policy)


def _query(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from prime.encode.gdc.kinds import CLINICAL
    from prime.encode.gdc.manifest import write_manifest
    from prime.encode.gdc.query import find_cases, find_files
    from prime.encode.gdc.summary import overview

    server = _connect(arguments)
    data = arguments.data or DATA
    files = find_files(server, arguments.project, data)
    cases = find_cases(server, arguments.project) if CLINICAL in data else []
    _refuse_nothing(arguments, len(files) + len(cases))
    Console().print(overview(files, cases))
    if arguments.out is not None and files:
        write_manifest(files, arguments.out)
        print(f"{arguments.out}: {len(files):,} files; prime gdc fetch --manifest {arguments.out} --out DIR")
    return 0


def _refuse_nothing(arguments: argparse.Namespace, found: int) -> None:
    if not found:
        named = " ".join(arguments.project) or "TCGA"
        raise InputError(f"{arguments.server}: nothing found for {named}; projects are named like TCGA-BRCA")


def _fetch(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from prime.encode.gdc.cases import fetch_cases
    from prime.encode.gdc.fetch import fetch
    from prime.encode.gdc.kinds import CLINICAL
    from prime.encode.work import FAILURES

    server = _connect(arguments)
    console = Console(stderr=True)
    files = _wanted(arguments, server)
    data = arguments.data or DATA
    if not files and CLINICAL not in data:
        _refuse_nothing(arguments, 0)
    failures = 0
    if files:
        result = fetch(server, files, arguments.out, arguments.jobs)
        failures = len(result.failures)
        for failure in result.failures:
            line = f"{failure.name}: {failure.reason}"
            console.print(line, highlight=False, markup=False, soft_wrap=True, style="red")
        rest = f", {failures} failed (listed in {arguments.out / FAILURES})" if failures else ""
        print(f"{arguments.out}: {result.fetched:,} files fetched, {result.already_there:,} were there{rest}")
    projects = arguments.project or sorted(
        {name for file in files for name in file.project.split(",") if name}
    )
    if CLINICAL in data and (projects or arguments.manifest is None):
        came = fetch_cases(server, projects, arguments.out)
        print(f"{arguments.out}: clinical data of {came:,} cases fetched")
    return 1 if failures else 0


def _wanted(arguments: argparse.Namespace, server: "Server") -> "list[GdcFile]":
    """The files of the manifest, or those that the server lists; `--project` and `--data` narrow both."""
    from prime.encode.gdc.manifest import read_manifest, refuse_clashes
    from prime.encode.gdc.query import find_files, with_metadata

    if arguments.manifest is None:
        return find_files(server, arguments.project, arguments.data or DATA)
    files = with_metadata(server, read_manifest(arguments.manifest))
    refuse_clashes(files, str(arguments.manifest))
    return [
        file
        for file in files
        if (not arguments.data or file.data in arguments.data)
        and (not arguments.project or file.project in arguments.project)
    ]


def _build(arguments: argparse.Namespace) -> int:
    from prime.encode.gdc.build import build
    from prime.encode.gdc.kinds import KINDS

    named = {kind: getattr(arguments, kind) for kind in KINDS}
    features = {kind: path for kind, path in named.items() if path is not None}
    made = build(
        arguments.folder, arguments.out, arguments.clinical, features, arguments.encoder, arguments.name
    )
    used = ", ".join(f"{count:,} {kind}" for kind, count in sorted(made.used.items()))
    print(
        f"{arguments.out}: {made.patients:,} patients with {used or 'nothing'}; "
        f"{made.complete:,} have all three"
    )
    for reason, count in sorted(made.left_out.items()):
        print(f"  left out: {count:,} {reason}")
    for note in made.notes:
        print(f"  {note}")
    if made.cohort is None:
        print("no cohort.yaml yet: encode the files, then name the features with --slides, --rna, --reports")
    else:
        print(f"next: prime check {made.cohort}")
    return 0
