"""The readers of sources. Importing this package registers the built-in ones."""

from prime.cohort.readers import clinical, report, tokens, vector, word_counts
from prime.cohort.readers.registry import READERS, Reader, read_source, reader, source_files

__all__ = [
    "READERS",
    "Reader",
    "clinical",
    "read_source",
    "reader",
    "report",
    "source_files",
    "tokens",
    "vector",
    "word_counts",
]
