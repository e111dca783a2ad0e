"""`prime gdc`: listing and fetching the files of TCGA, and making a cohort of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from prime.arguments import Above, Count, File, Folder, Words, about, whole
from prime.encode.gdc.kinds import CLINICAL, DATA, DEFAULT_SERVER
from prime.encode.tissue_options import TissueOptions
from prime.errors import InputError

if TYPE_CHECKING:
    from prime.encode.gdc.manifest import GdcFile
    from prime.encode.gdc.server import Server

Kind = Literal["slides", "rna", "reports", "clinical"]


@Parameter("*")
@dataclass(frozen=True)
class Choice:
    """The projects and kinds of data that are asked for."""

    project: Annotated[Words, about("Such as TCGA-BRCA (all of TCGA).", "NAME")] = ()
    data: Annotated[
        tuple[Kind, ...], Parameter(help="Kinds of data (all).", show_default=False, metavar="KIND")
    ] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of data."""
        return self.data or DATA

    def refuse_nothing(self, server: "Server", found: int) -> None:
        """Raise InputError where nothing was found."""
        if not found:
            named = " ".join(self.project) or "TCGA"
            raise InputError(f"{server.url}: nothing found for {named}; projects are named like TCGA-BRCA")


@Parameter("*")
@dataclass(frozen=True)
class Connection:
    """The server, and how often and how long it is tried."""

    server: Annotated[str, Parameter(help="A GDC server.", metavar="URL", env_var="PRIME_GDC")] = (
        DEFAULT_SERVER
    )
    retries: Annotated[int, whole(0), about("Further attempts after one that received nothing.")] = 8
    wait: Annotated[Above, about("Seconds before the second attempt; doubles for each further one.", "S")] = (
        1.0
    )
    timeout: Annotated[Above, about("Seconds to wait for a byte.", "S")] = 60.0

    def open(self) -> "Server":
        """The server; nothing is asked yet."""
        from prime.encode.gdc.server import RetryPolicy, Server

        policy = RetryPolicy(self.retries, self.wait, read_timeout_s=self.timeout)
        return Server(self.server or DEFAULT_SERVER, policy)


def query(
    *,
    choice: Choice = Choice(),
    connection: Connection = Connection(),
    out: Annotated[Path | None, about("Write the list of files here.", "MANIFEST.tsv")] = None,
) -> None:
    """Count files and bytes; fetch nothing."""
    from rich.console import Console

    from prime.encode.gdc.manifest import write_manifest
    from prime.encode.gdc.query import find_cases, find_files
    from prime.encode.gdc.summary import overview

    server = connection.open()
    files = find_files(server, choice.project, choice.kinds)
    cases = find_cases(server, choice.project) if CLINICAL in choice.kinds else []
    choice.refuse_nothing(server, len(files) + len(cases))
    Console().print(overview(files, cases))
    if out is not None and files:
        write_manifest(files, out)
        print(f"{out}: {len(files):,} files; prime gdc fetch --manifest {out} --out DIR")


def fetch(
    *,
    choice: Choice = Choice(),
    connection: Connection = Connection(),
    manifest: Annotated[
        Path | None, about("These files (of prime gdc query, or the GDC's own).", "FILE.tsv")
    ] = None,
    out: Annotated[Folder, about("Folder of the files.")],
    jobs: Annotated[Count, about("Files at once.")] = 4,
) -> int:
    """Fetch files; go on where an earlier run stopped."""
    from rich.console import Console

    from prime.encode.gdc.cases import fetch_cases
    from prime.encode.gdc.fetch import fetch as fetch_files
    from prime.encode.work import FAILURES, say

    server = connection.open()
    console = Console(stderr=True)
    files = _wanted(choice, manifest, server)
    if not files and CLINICAL not in choice.kinds:
        choice.refuse_nothing(server, 0)
    failures = 0
    if files:
        result = fetch_files(server, files, out, jobs)
        failures = len(result.failures)
        for failure in result.failures:
            say(console, f"{failure.name}: {failure.reason}", "red")
        rest = f", {failures} failed (listed in {out / FAILURES})" if failures else ""
        print(f"{out}: {result.fetched:,} files fetched, {result.already_there:,} were there{rest}")
    projects = choice.project or sorted({name for file in files for name in file.project.split(",") if name})
    if CLINICAL in choice.kinds and (projects or manifest is None):
        print(f"{out}: clinical data of {fetch_cases(server, projects, out):,} cases fetched")
    return 1 if failures else 0


def _wanted(choice: Choice, manifest: Path | None, server: "Server") -> "list[GdcFile]":
    """The files of the manifest, or those that the server lists; `--project` and `--data` narrow both."""
    from prime.encode.gdc.manifest import read_manifest, refuse_clashes
    from prime.encode.gdc.query import find_files, with_metadata

    if manifest is None:
        return find_files(server, choice.project, choice.kinds)
    files = with_metadata(server, read_manifest(manifest))
    refuse_clashes(files, str(manifest))
    return [
        file
        for file in files
        if (not choice.data or file.data in choice.data)
        and (not choice.project or file.project in choice.project)
    ]


def build(
    folder: Annotated[Folder, about("The --out of prime gdc fetch.")],
    /,
    *,
    out: Annotated[Folder, about("The cohort's folder.")],
    clinical: Annotated[File | None, about("TCGA-CDR (xlsx, csv) instead of the GDC's follow-up.")] = None,
    slides: Annotated[
        Path | None, about("--out of prime encode slides, or folder of h5 or pt files.")
    ] = None,
    rna: Annotated[
        Path | None, about("--out of prime encode rna, or table with patient_id, or folder of h5 files.")
    ] = None,
    reports: Annotated[
        Path | None,
        about("--out of prime encode reports, or csv with patient_filename,text, or folder of h5 files."),
    ] = None,
    encoder: Annotated[str, about("Of report texts that are not encoded yet.", "NAME")] = "minilm",
    name: Annotated[str, about("The cohort's name.")] = "tcga",
    tissue: TissueOptions = TissueOptions(),
) -> None:
    """Align fetched files by barcode and write a cohort."""
    from prime.encode.gdc.build import build as write_cohort

    named = {"slides": slides, "rna": rna, "reports": reports}
    features = {kind: path for kind, path in named.items() if path is not None}
    made = write_cohort(folder, out, clinical, features, encoder, name, tissue.rule())
    used = ", ".join(f"{count:,} {kind}" for kind, count in sorted(made.used.items()))
    print(f"{out}: {made.patients:,} patients with {used or 'nothing'}; {made.complete:,} have all three")
    for reason, count in sorted(made.left_out.items()):
        print(f"  left out: {count:,} {reason}")
    for note in made.notes:
        print(f"  {note}")
    if made.cohort is None:
        print("no cohort.yaml yet: encode the files, then name the features with --slides, --rna, --reports")
    else:
        print(f"next: prime check {made.cohort}")
