"""PRIME: prototype-driven multimodal pretraining for cancer prognosis with missing modalities.

In Python, what `prime.api` offers is here too: `prime.load`, `prime.pretrain`, `prime.fit`, ... It is
imported when it is first asked for, so that `prime --help` answers at once.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("prime-prognosis")  # from the git tag, when it was built or installed
except PackageNotFoundError:  # the source files alone
    __version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from prime.api import (
        Cohort as Cohort,
    )
    from prime.api import (
        PrimeModel as PrimeModel,
    )
    from prime.api import (
        PrimeSurvival as PrimeSurvival,
    )
    from prime.api import (
        Run as Run,
    )
    from prime.api import (
        evaluate as evaluate,
    )
    from prime.api import (
        fit as fit,
    )
    from prime.api import (
        from_mudata as from_mudata,
    )
    from prime.api import (
        from_tables as from_tables,
    )
    from prime.api import (
        load as load,
    )
    from prime.api import (
        open_run as open_run,
    )
    from prime.api import (
        pretrain as pretrain,
    )
    from prime.api import (
        side_by_side as side_by_side,
    )

OFFERED = (
    "Cohort", "PrimeModel", "PrimeSurvival", "Run", "evaluate", "fit", "from_mudata", "from_tables", "load",
    "open_run", "pretrain", "side_by_side",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in OFFERED:
        return getattr(import_module("prime.api"), name)
    raise AttributeError(f"module 'prime' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *OFFERED])
