"""Every relative link and anchor of the documents points at something."""

import re
from pathlib import Path

import pytest

from tests.documents import FENCE, ROOT

LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def prose(page: Path) -> str:
    """A page without its blocks of code and inline code, in which nothing is a link."""
    return re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text(encoding="utf-8")))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them, and those that it states."""
    stated = re.findall(r'^<a id="([^"]+)"></a>$', page.read_text(encoding="utf-8"), re.MULTILINE)
    found: dict[str, int] = dict.fromkeys(stated, 1)
    for heading in HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found[name if name not in found else f"{name}-{found[name]}"] = found.get(name, 0) + 1
    return set(found)


def faults(page: Path) -> list[str]:
    """The links of a page that point at nothing."""
    wrong: list[str] = []
    for target in (match["target"] for match in LINK.finditer(prose(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        if not place.exists() or (anchor and (place.suffix != ".md" or anchor not in anchors(place))):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_points_at_something(page: Path) -> None:
    assert faults(page) == []


def test_a_link_to_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# The `first` part\n\n# The first part\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](other.md) [b](other.md#the-first-part) [c](other.md#the-first-part-1) [d](#top) [e](gone.md)\n"
        "![f](gone.png) [g](https://example.org) [h](other.md#second) `[i](code.md)`\n"
        "\n```sh\n[j](k)\n```\n# Top\n",
        encoding="utf-8",
    )
    assert faults(page) == ["gone.md", "gone.png", "other.md#second"]
