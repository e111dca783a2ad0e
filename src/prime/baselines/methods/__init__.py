"""Every method, one a file. Importing this package registers them all, in the order of tables."""

from importlib import import_module

MODULES = (
    "unimodal",
    "abmil",
    "snn",
    "early",
    "late",
    "cross_attention",
    "tensor_fusion",
    "mag",
    "mult",
    "mcat",
    "porpoise",
    "pathomics",
    "song",
    "clinical_cox",
    "late_ridge",
    "boosting",
    "flex_moe",
)  # fmt: skip

for _name in MODULES:
    import_module(f"{__name__}.{_name}")
