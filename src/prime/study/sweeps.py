"""Fig. 4: sweeps of the bank size and of the balance of the losses; and of any setting that is named."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from typing import Any

import pandas as pd
import yaml

from prime.errors import InputError
from prime.study.ablations import CLASSES, class_means
from prime.study.arms import Arm
from prime.study.context import Context, Output, Results, Study
from prime.study.figure import Figure, Panel, Reference, Series
from prime.study.method_tables import metric_name
from prime.study.tables import Table, cell, mark_best
from prime.training.config import load_overrides

BANKS, QUICK_BANKS = (16, 32, 64, 128, 256, 512), (32, 128, 512)
BALANCES, QUICK_BALANCES = (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.5, 1.0)
MODE = "lp_missing"


def _bank_values(context: Context) -> list[int]:
    return sorted({*(QUICK_BANKS if context.quick else BANKS), context.config.model.prototypes})


def _balance_values(context: Context) -> list[float]:
    """Shares of the alignment loss in the sum of both weights."""
    return sorted({*(QUICK_BALANCES if context.quick else BALANCES), round(_own_balance(context), 3)})


def _own_balance(context: Context) -> float:
    weights = context.config.pretrain
    return weights.alignment_weight / (weights.alignment_weight + weights.consistency_weight)


def _name(setting: str, value: Any) -> str:
    return f"{setting}={value:g}" if isinstance(value, int | float) else f"{setting}={value}"


def arms(context: Context) -> list[Arm]:
    """A pretraining for every value of each sweep."""
    evaluate = {"modes": [MODE]}
    result = [
        context.probe_arm(_name("bank", value), evaluate=evaluate, model={"prototypes": value})
        for value in _bank_values(context)
    ]
    weights = context.config.pretrain
    total = weights.alignment_weight + weights.consistency_weight
    if not total:
        raise InputError(
            "figure4: pretrain.alignment_weight and consistency_weight are zero; nothing to balance"
        )
    for share in _balance_values(context):
        own = abs(share - _own_balance(context)) < 1e-3
        split = {"alignment_weight": share * total, "consistency_weight": (1 - share) * total}
        changes = {} if own else {"pretrain": split}
        result.append(context.probe_arm(_name("balance", share), evaluate=evaluate, **changes))
    return result


def _swept(results: Results, task: str, setting: str) -> pd.DataFrame:
    """A row a value (text), a column a class of patterns."""
    scores = results.primary
    means = class_means(scores[(scores["task"] == task) & scores["arm"].str.startswith(f"{setting}=")])
    means = pd.DataFrame(means.xs(task, level="task"))
    values = [str(name).removeprefix(f"{setting}=") for name in means.index]
    return means.set_axis(pd.Index(values, name=setting))


def _panel(title: str, label: str, means: pd.DataFrame, quantity: str, own: float, log: bool) -> Panel:
    x = [float(value) for value in means.index]
    order = sorted(range(len(x)), key=x.__getitem__)
    series = tuple(
        Series(str(name), [x[i] for i in order], [float(means[name].iloc[i]) for i in order])
        for name in (*CLASSES, "mean")
        if name in means
    )
    return Panel(
        title, label, quantity, series, x_ticks=sorted(x), x_log=log,
        references=(Reference(own, "chosen", axis="x"),),
    )  # fmt: skip


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
            means = _swept(results, task.name, setting)
            panels.append(_panel(task.name, label, means, metric_name(task), own, log))
            tables.append(_table(setting, label, task.name, metric_name(task), means))
    caption = (
        "Macro averages of LP+Missing: everything observed, mean of the patterns without one modality,"
        " mean of"
        " those with one alone, and the mean of the three. The upright line is the value in use."
    )
    figure = Figure(
        "sweeps", "Fig. 4: bank size and balance of the losses", caption, tuple(panels), columns=len(tasks)
    )
    return Output(tables, [figure])


def _table(setting: str, label: str, task: str, metric: str, means: pd.DataFrame) -> Table:
    return Table(
        f"sweep_{setting.replace('.', '_')}_{task}",
        f"{metric} of {task} by {label}",
        "Macro averages of LP+Missing by what may be seen, and their mean.",
        means.reset_index(),
        mark_best(means.map(cell), means),
    )


STUDY = Study("figure4", "Fig. 4: bank size and balance of the losses", arms, build)


def read_setting(text: str) -> tuple[str, tuple[Any, ...]]:
    """`key=a,b,c` as a dotted key and its values, read as YAML. Raises InputError where it is not that."""
    key, equals, values = text.partition("=")
    if not key or not equals or not values:
        raise InputError(f"--setting {text}: write it as key=a,b,c, for example model.queries=2,4,8")
    try:
        return key, tuple(dict.fromkeys(yaml.safe_load(value) for value in values.split(",")))
    except (yaml.YAMLError, TypeError):
        raise InputError(f"--setting {text}: values are numbers or words with commas between them") from None


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
