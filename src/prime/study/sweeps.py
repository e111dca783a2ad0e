"""Fig. 4: sweeps of the bank size and of the balance of the losses; and of any setting that is named."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from prime.errors import InputError
from prime.render.figure import Figure, Panel, Reference, Series
from prime.render.tables import Table, cell, mark_best
from prime.settings.experiment import load_overrides
from prime.settings.yaml_files import parse_value
from prime.study.ablations import CLASSES, class_means, class_spread
from prime.study.arms import Arm
from prime.study.averages import POOLED
from prime.study.context import Context, Output, Results, Study
from prime.study.method_tables import metric_name

BANKS, QUICK_BANKS = (16, 32, 64, 128, 256, 512), (32, 128, 512)
BALANCES, QUICK_BALANCES = (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.5, 1.0)
BALANCED = ("alignment", "consistency")  # the two losses of the paper's figure
MODE = "lp_missing"


def _bank_values(context: Context) -> list[int]:
    return sorted({*(QUICK_BANKS if context.quick else BANKS), context.config.model.prototypes})


def _balance_values(context: Context) -> list[float]:
    """Shares of the alignment loss in the sum of both weights."""
    return sorted({*(QUICK_BALANCES if context.quick else BALANCES), round(_own_balance(context), 3)})


def _weights(context: Context) -> list[float]:
    """Those of the alignment and of the consistency loss."""
    return [context.config.pretrain.losses[name].weight for name in BALANCED]


def _own_balance(context: Context) -> float:
    alignment, consistency = _weights(context)
    return alignment / (alignment + consistency)


def _name(setting: str, value: Any) -> str:
    return f"{setting}={value:g}" if isinstance(value, int | float) else f"{setting}={value}"


def arms(context: Context) -> list[Arm]:
    """A pretraining for every value of each sweep."""
    evaluate = {"modes": [MODE]}
    result = [
        context.probe_arm(_name("bank", value), evaluate=evaluate, model={"prototypes": value})
        for value in _bank_values(context)
    ]
    total = sum(_weights(context))
    if not total:
        raise InputError(
            "figure4: pretrain.losses gives alignment and consistency the weight 0; nothing to balance"
        )
    for share in _balance_values(context):
        own = abs(share - _own_balance(context)) < 1e-3
        weights = zip(BALANCED, (share * total, (1 - share) * total), strict=True)
        split = {name: {"weight": weight} for name, weight in weights}
        changes = {} if own else {"pretrain": {"losses": split}}
        result.append(context.probe_arm(_name("balance", share), evaluate=evaluate, **changes))
    return result


@dataclass(frozen=True)
class _Swept:
    """A row a value (text), a column a class of patterns: macro means and their spread over seeds."""

    means: pd.DataFrame
    spread: pd.DataFrame
    seeds: int


def _swept(results: Results, task: str, setting: str) -> _Swept:
    scores = results.primary
    mine = scores[(scores["task"] == task) & scores["arm"].str.startswith(f"{setting}=")]
    means = pd.DataFrame(class_means(mine).xs(task, level="task"))
    spread = pd.DataFrame(class_spread(mine).xs(task, level="task")).loc[means.index, means.columns]
    values = pd.Index([str(name).removeprefix(f"{setting}=") for name in means.index], name=setting)
    return _Swept(means.set_axis(values), spread.set_axis(values), mine["seed"].nunique())


def _panel(title: str, label: str, swept: _Swept, quantity: str, own: float, log: bool) -> Panel:
    order = sorted(range(len(swept.means)), key=lambda i: float(str(swept.means.index[i])))
    x = [float(str(swept.means.index[i])) for i in order]
    series: list[Series] = []
    for name in (*CLASSES, "mean"):
        if name not in swept.means:
            continue
        y, spread = (frame[name].to_numpy()[order] for frame in (swept.means, swept.spread))
        ends = {"low": y - spread, "high": y + spread} if swept.seeds > 1 else {}
        series.append(Series(name, x, y, **ends))
    return Panel(
        title, label, quantity, tuple(series), x_ticks=_ticks(x, own, log), x_log=log,
        references=(Reference(own, "chosen", axis="x"),),
    )  # fmt: skip


def _ticks(x: list[float], own: float, log: bool) -> list[float]:
    """The values swept, without those so near to the one in use that their numbers would overlap."""
    if log or len(x) < 2:
        return x
    room = (x[-1] - x[0]) / 12
    return [value for value in x if abs(value - own) < 1e-3 or abs(value - own) > room]


def build(context: Context, results: Results) -> Output:
    """A row of panels a sweep, a panel a task."""
    tasks = context.config.evaluate.tasks
    sweeps = {
        "bank": ("prototypes in the bank", float(context.config.model.prototypes), True),
        "balance": ("alignment's share of the two loss weights", _own_balance(context), False),
    }
    tables: list[Table] = []
    panels: list[Panel] = []
    for setting, (label, own, log) in sweeps.items():
        for task in tasks:
            swept = _swept(results, task.name, setting)
            panels.append(_panel(task.name, label, swept, metric_name(task), own, log))
            tables.append(_table(setting, label, task.name, metric_name(task), swept))
    caption = (
        "Macro averages of LP+Missing: everything observed, mean of the patterns without one modality, mean"
        f" of those with one alone, and the mean of the three. {POOLED} Bands: standard deviation over seeds,"
        " each with its own pretraining. The upright line is the value in use."
    )
    figure = Figure(
        "sweeps", "Fig. 4: bank size and balance of the losses", caption, tuple(panels), columns=len(tasks)
    )
    return Output(tables, [figure])


def _table(setting: str, label: str, task: str, metric: str, swept: _Swept) -> Table:
    means, spread = swept.means, swept.spread
    shown = {
        name: [cell(m, s) for m, s in zip(means[name], spread[name], strict=True)] for name in means.columns
    }
    display = pd.DataFrame(shown, index=means.index)
    several = f" ± standard deviation over {swept.seeds} seeds, each with its own pretraining."
    return Table(
        f"sweep_{setting.replace('.', '_')}_{task}",
        f"{metric} of {task} by {label}",
        "Macro averages of LP+Missing by what may be seen, and their mean"
        + (several if swept.seeds > 1 else ".")
        + f" {POOLED}",
        means.join(spread.add_suffix(", std over seeds")).reset_index(),
        mark_best(display, means),
    )


STUDY = Study("figure4", "Fig. 4: bank size and balance of the losses", arms, build)


def read_setting(text: str) -> tuple[str, tuple[Any, ...]]:
    """`key=a,b,c` as a dotted key and its values, read as YAML. Raises InputError where it is not that."""
    key, equals, values = text.partition("=")
    if not key or not equals or not values:
        raise InputError(f"--setting {text}: write it as key=a,b,c, for example model.queries=2,4,8")
    found = [parse_value(value, f"--setting {key}") for value in values.split(",")]
    if not all(isinstance(value, int | float | str | None) for value in found):
        raise InputError(f"--setting {text}: values are numbers or words with commas between them")
    return key, tuple(dict.fromkeys(found))


def setting_arms(context: Context) -> list[Arm]:
    """An arm for every value of every setting that the user names."""
    result: list[Arm] = []
    for key, values in context.settings:
        for value in values:
            base = context.probe_arm(evaluate={"modes": [MODE]}).config
            swept = load_overrides(base, ((key, value),))
            result.append(Arm(f"{key}={value}", context.store, swept, context.protocol))
    return result


def build_settings(context: Context, results: Results) -> Output:
    """A table for every setting and task."""
    tables = [
        _table(key, key, task.name, metric_name(task), _swept(results, task.name, key))
        for key, _ in context.settings
        for task in context.config.evaluate.tasks
    ]
    return Output(tables)


SETTINGS = Study("sweep", "Sweep of the settings named with --setting", setting_arms, build_settings)
