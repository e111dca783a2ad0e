"""The flow of patients: a box a step, and beside each arrow who fell out there and why."""

from collections.abc import Mapping, Sequence

from prime.report.markup import escaped
from prime.report.read import Step

OPEN_UP_TO = 4  # tasks; beyond, only the first is unfolded


def flow_html(tasks: Mapping[str, Sequence[Step]]) -> str:
    """One chart a task, side by side where there is room; nothing to see without steps."""
    opened = len(tasks) <= OPEN_UP_TO
    charts = [_chart(task, steps, opened or place == 0) for place, (task, steps) in enumerate(tasks.items())]
    return '<div class="flows">\n' + "\n".join(charts) + "\n</div>" if charts else "<p>No task.</p>"


def _chart(task: str, steps: Sequence[Step], opened: bool) -> str:
    head = f"<summary><h3>{escaped(task)}</h3></summary>"
    if not steps:
        return f'<details class="flow" open>{head}<p>No steps.</p></details>'
    known = steps[0].patients + steps[0].left_out
    boxes = [f'<li><div class="box">{_count(known)} known to the cohort</div></li>']
    last = len(steps) - 1
    boxes += [_step(step, place == last) for place, step in enumerate(steps)]
    return (
        f'<details class="flow"{" open" if opened else ""}>{head}\n<ol>\n'
        + "\n".join(boxes)
        + "\n</ol></details>"
    )


def _step(step: Step, last: bool) -> str:
    """The arrow down, what leaves it to the right, and the box it ends in."""
    out = ""
    if step.left_out:
        share = f"<b>{step.left_out:,}</b> left out"
        out = f'<div class="out">{share}<span class="reason">{escaped(step.reason)}</span></div>'
    name = escaped(step.name)
    box = f'<div class="box{" end" if last else ""}">{_count(step.patients)} <span>{name}</span></div>'
    return f'<li><div class="arrow">{out}</div>{box}</li>'


def _count(patients: int) -> str:
    return f"<b>{patients:,}</b>"
