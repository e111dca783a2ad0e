"""The kinds of data that can be fetched, and the filters that find them (GDC API User's Guide)."""

from collections.abc import Mapping, Sequence
from typing import Any

DEFAULT_SERVER = "https://api.gdc.cancer.gov"
PROGRAM = "TCGA"
CLINICAL = "clinical"
KINDS: Mapping[str, Mapping[str, str]] = {
    "slides": {
        "data_type": "Slide Image",
        "experimental_strategy": "Diagnostic Slide",
        "data_format": "SVS",
        "access": "open",
    },
    "rna": {
        "data_category": "Transcriptome Profiling",
        "data_type": "Gene Expression Quantification",
        "experimental_strategy": "RNA-Seq",
        "analysis.workflow_type": "STAR - Counts",
        "data_format": "TSV",
        "access": "open",
        "cases.samples.tissue_type": "Tumor",
    },
    "reports": {
        "data_category": "Clinical",
        "data_type": "Pathology Report",
        "data_format": "PDF",
        "access": "open",
    },
}
DATA = (*KINDS, CLINICAL)  # clinical data are not files, they come from /cases
OTHER = "other"  # files in a user's own manifest that are none of these
FILE_FIELDS = (
    "file_id",
    "file_name",
    "md5sum",
    "file_size",
    "state",
    "data_type",
    "cases.submitter_id",
    "cases.project.project_id",
    "cases.samples.submitter_id",
    "cases.samples.sample_type",
    "cases.samples.tissue_type",
    "associated_entities.entity_submitter_id",
)
CASE_FIELDS = (
    "submitter_id",
    "project.project_id",
    "demographic.vital_status",
    "demographic.days_to_death",
    "demographic.age_at_index",
    "demographic.gender",
    "demographic.sex_at_birth",  # the name of the former in newer data releases
    "diagnoses.days_to_last_follow_up",  # in older data releases, now in the follow-ups
    "follow_ups.days_to_follow_up",
)


def any_of(field: str, values: Sequence[str]) -> dict[str, Any]:
    """The GDC's condition that `field` is one of `values`."""
    return {"op": "in", "content": {"field": field, "value": list(values)}}


def all_of(conditions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The GDC's condition that every one of `conditions` holds."""
    return {"op": "and", "content": list(conditions)}


def project_filter(prefix: str, projects: Sequence[str]) -> dict[str, Any]:
    """The condition on the project; `prefix` is its field in /files (`cases.project`) or /cases (`project`).

    Without projects it is the whole program TCGA.
    """
    if projects:
        return any_of(f"{prefix}.project_id", projects)
    return any_of(f"{prefix}.program.name", [PROGRAM])


def file_filter(kind: str, projects: Sequence[str]) -> dict[str, Any]:
    """The filter for /files that finds the open-access files of one kind; no projects: all of TCGA."""
    exact = [any_of(field, [value]) for field, value in KINDS[kind].items()]
    return all_of([project_filter("cases.project", projects), *exact])


def case_filter(projects: Sequence[str]) -> dict[str, Any]:
    """The filter for /cases; no projects: all of TCGA."""
    return all_of([project_filter("project", projects)])


def kind_of(data_type: str, name: str) -> str:
    """The kind of a file by the GDC's `data_type`, or by its name where that is not known."""
    for kind, fields in KINDS.items():
        if data_type == fields["data_type"]:
            return kind
    if data_type:
        return OTHER
    endings = {".svs": "slides", "star_gene_counts.tsv": "rna", ".pdf": "reports"}
    return next((kind for ending, kind in endings.items() if name.lower().endswith(ending)), OTHER)
