"""The page docs/methods.md: every method in one small diagram, from the registry and its file's docstring."""

import inspect
import sys

from prime.catalogue.methods import METHODS, Method
from prime.downstream.method_fits import count_parameters
from prime.errors import InputError
from prime.settings.experiment import ExperimentConfig
from prime.store.store import Store

HEAD = """# The methods that PRIME is compared with

Made by `prime methods --markdown docs/methods.md` from `src/prime/catalogue/methods.py` and the methods'
own files; a test holds the two equal. All methods read the same packed features, folds and outcomes as
PRIME. Networks share PRIME's query tokenizers where their idea allows, the width of `model`, the hazard
head (LayerNorm and a linear map to the time bins; a binary task is one bin), the censored likelihood, and
one budget: each is trained once at every point of `comparison.grid`, stopped early on validation
patients, and the best point serves. Statistical models read one vector a source and patient, the mean of
its rows. The ridge models over blocks also read, without labels, everybody whom the fold does not test,
of every cancer type, as PRIME's inductive pretraining does; those that share weights learn from the
labels of all cohorts of an evaluation. A patient who has nothing that a method reads gets the survival of
the training patients as a whole, so that all methods are scored on the same patients.

PRIME's own budget differs. Fine-tuned, it is trained once a fold, with the one setting of
`evaluate.finetune` (by default two learning rates, no dropout, at most 50 epochs, patience 10), where the
others choose among the points of the grid (by default three, of at most 20 epochs each, patience 5).
Optimiser (AdamW; biases, norms, queries and prototypes do not decay), batch size, clipping and early
stopping are the same. Pretrained, it has seen patients without labels, in the transductive protocol the
test patients too, and its scaling is that of pretraining. With random weights it is scaled on everybody
in the fold's cancer types whom no task tests. Other networks and single-cohort models see, and scale on,
the training and validation patients of the fold alone. PRIME's linear probes are ridge models, whose
penalty validation patients choose where `evaluate.probe.ridge` names several; its head over all cohorts
(`lp_shared`) is `shared_ridge` with PRIME's tokens as further blocks.

In the diagrams, K is the number of query tokens of a modality, D the width, T the number of time bins.
"""


def parameter_counts(config: ExperimentConfig, store: Store) -> dict[str, str]:
    """By network: its number of parameters on the data of an experiment, or why it cannot be built there."""
    found: dict[str, str] = {}
    for name, method in METHODS.items():
        if method.kind == "neural":
            try:
                found[name] = f"{count_parameters(method, config, store):,} parameters"
            except InputError as error:
                found[name] = str(error)
    return found


def methods_page() -> str:
    """The Markdown text."""
    rows = ["| method | name | reads | beyond the paper |", "|---|---|---|---|"]
    rows += [
        f"| {m.title} | `{name}` | {m.reads} | {'yes' if m.beyond_paper else ''} |"
        for name, m in METHODS.items()
    ]
    modules = list(dict.fromkeys(m.build.__module__ for m in METHODS.values()))
    sections = [
        _section(name, [m for m in METHODS.values() if m.build.__module__ == name]) for name in modules
    ]
    return "\n".join([HEAD, *rows, "", *sections])


def _section(module: str, methods: list[Method]) -> str:
    """One file: its words and diagram, then the facts of each method in it."""
    text = inspect.cleandoc(sys.modules[module].__doc__ or "").strip()
    lines = [f"## {', '.join(m.title for m in methods)}", "", text, ""]
    for label, facts in (("Source", "reference"), ("Missing", "missing"), ("Departs", "departs")):
        told = {m.title: str(getattr(m, facts)) for m in methods}
        if len(set(told.values())) == 1:
            lines.append(f"- {label}: {next(iter(told.values()))}.")
        else:
            lines += [f"- {label} ({title}): {value}." for title, value in told.items()]
    settings = methods[0].settings().model_dump()
    if settings:
        lines.append("- Settings: " + ", ".join(f"`{key}: {value}`" for key, value in settings.items()) + ".")
    return "\n".join([*lines, ""])
