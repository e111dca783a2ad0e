"""The readers of sources. Importing this package registers the modules named here."""

from importlib import import_module

from prime.cohort.readers.registry import READERS, inspect_source, read_source, reader, source_files

for module in ("vector", "tokens", "report", "words", "facts", "clinical", "annotated"):
    import_module(f"{__name__}.{module}")

__all__ = ["READERS", "inspect_source", "read_source", "reader", "source_files"]
