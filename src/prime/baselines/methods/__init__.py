"""Every method, one a file. Importing this package registers them all, in the order of tables."""

from importlib import import_module

MODULES = (
    "early",
)  # fmt: skip

for _name in MODULES:
    import_module(f"{__name__}.{_name}")
