"""Asking the GDC which files and cases there are."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from prime.cohort import barcode
from prime.encode.gdc.kinds import (
    CASE_FIELDS,
    FILE_FIELDS,
    KINDS,
    all_of,
    any_of,
    case_filter,
    file_filter,
    kind_of,
)
from prime.encode.gdc.manifest import GdcFile, checked
from prime.encode.gdc.server import Server
from prime.errors import InputError

IDS_PER_REQUEST = 500


def find_files(server: Server, projects: Sequence[str], data: Sequence[str]) -> list[GdcFile]:
    """The open-access files of the kinds in `data`; no projects: all of TCGA.

    Raises InputError, see Server.hits.
    """
    found: list[GdcFile] = []
    for kind in KINDS:
        if kind in data:
            hits = server.hits("files", file_filter(kind, projects), FILE_FIELDS, "file_id")
            found += [file_from_hit(hit, server.url) for hit in hits]
    return found


def with_metadata(server: Server, files: Sequence[GdcFile]) -> list[GdcFile]:
    """The files, with project, patient, sample and data from the server where no patient is stated."""
    unknown = [file.id for file in files if not file.patient]
    known: dict[str, GdcFile] = {}
    for start in range(0, len(unknown), IDS_PER_REQUEST):
        wanted = all_of([any_of("file_id", unknown[start : start + IDS_PER_REQUEST])])
        for hit in server.hits("files", wanted, FILE_FIELDS, "file_id"):
            known[str(hit["file_id"])] = file_from_hit(hit, server.url)
    return [_merged(file, known.get(file.id)) for file in files]


def _merged(file: GdcFile, known: GdcFile | None) -> GdcFile:
    """The name, md5, size and state of the user's file, everything else from the server's."""
    if known is None:
        return file
    return replace(
        known, filename=file.filename, md5=file.md5, size=file.size, state=file.state or known.state
    )


def find_cases(server: Server, projects: Sequence[str]) -> list[dict[str, Any]]:
    """The cases with vital status and follow-up, sorted by barcode; no projects: all of TCGA."""
    return list(server.hits("cases", case_filter(projects), CASE_FIELDS, "submitter_id"))


def file_from_hit(hit: dict[str, Any], where: str) -> GdcFile:
    """One record of /files as a GdcFile. Raises InputError where it lacks what a download needs."""
    try:
        cases: list[dict[str, Any]] = hit.get("cases", [])
        samples: list[dict[str, Any]] = [sample for case in cases for sample in case.get("samples", [])]
        entities = [str(item["entity_submitter_id"]) for item in hit.get("associated_entities", [])]
        name = str(hit["file_name"])
        patients = _distinct(case["submitter_id"] for case in cases)
        file = GdcFile(
            id=str(hit["file_id"]),
            filename=name,
            md5=str(hit["md5sum"]),
            size=int(hit["file_size"]),
            state=str(hit.get("state", "")),
            project=_distinct(case["project"]["project_id"] for case in cases),
            patient=patients,
            sample=_sample(entities, samples, patients, name),
            sample_type=_distinct(sample.get("sample_type", "") for sample in samples),
            data=kind_of(str(hit.get("data_type", "")), name),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}/files: a hit that can't be read ({error!r}): {str(hit)[:200]}") from None
    return checked(file, f"{where}/files")


def _distinct(values: Any) -> str:
    """The distinct texts that are not empty, sorted, comma-separated."""
    return ",".join(sorted({str(value) for value in values if value}))


def _sample(entities: list[str], samples: list[dict[str, Any]], patients: str, name: str) -> str:
    """The most specific barcode known of a file: that of its slide or aliquot, its sample, or its patient.

    Slides carry theirs in their names too (`TCGA-XX-XXXX-01Z-00-DX1.UUID.svs`).
    """
    own = [name.split(".", 1)[0]] if barcode.sample_type(name.split(".", 1)[0]) else []
    listed = [str(sample["submitter_id"]) for sample in samples if sample.get("submitter_id")]
    for found in (entities, own, listed):
        full = sorted(text for text in set(found) if barcode.is_tcga(text) and barcode.sample_type(text))
        if full:
            return ",".join(full)
    return patients
