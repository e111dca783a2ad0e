"""What a check found."""

from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["wrong", "look", "fine", "not checked"]
ORDER: dict[Verdict, int] = {"wrong": 0, "look": 1, "fine": 2, "not checked": 3}


@dataclass(frozen=True)
class Finding:
    """One line of an audit.

    Attributes:
        check: its name.
        verdict: `wrong` where results cannot stand as they are, `look` where a person should judge, `fine`,
            or `not checked`, where the text says what is needed.
        text: one sentence with the numbers.
        numbers: the same for programs, by name.
        setting: the method and task that it is about; empty where it is about all.
    """

    check: str
    verdict: Verdict
    text: str
    numbers: dict[str, float] = field(default_factory=dict[str, float])
    setting: str = ""
