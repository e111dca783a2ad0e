"""What a release needs beside its files: links that work elsewhere, notes, and one version everywhere.

python deploy/release.py check 0.2.0             # CHANGELOG and CITATION.cff speak of this version
python deploy/release.py notes 0.2.0             # its part of CHANGELOG.md
python deploy/release.py links OWNER/NAME v0.2.0 # README.md with absolute links, as the index needs it
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RELATIVE = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:|#)([^)]+)\)")


def absolute(readme: str, repository: str, tag: str) -> str:
    """README with its relative links made absolute, at a tag of a repository of GitHub."""

    def link(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        place = (
            f"raw.githubusercontent.com/{repository}/{tag}"
            if picture
            else f"github.com/{repository}/blob/{tag}"
        )
        return f"{picture}[{words}](https://{place}/{target})"

    return RELATIVE.sub(link, readme)


def notes(changelog: str, version: str) -> str:
    """The part of the changelog about a version. Empty where there is none."""
    found = re.search(
        rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## |\Z)", changelog, re.DOTALL | re.MULTILINE
    )
    return found[1].strip() if found else ""


def faults(version: str, changelog: str, citation: str) -> list[str]:
    """What stands in the way of releasing a version."""
    found = [] if notes(changelog, version) else [f"CHANGELOG.md has no part [{version}]"]
    if re.search(rf"^## \[{re.escape(version)}\].*unreleased", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md still calls {version} unreleased; write the date")
    if f"\nversion: {version}\n" not in citation:
        found.append(f"CITATION.cff names another version than {version}")
    return found


def main(words: list[str]) -> int:
    """Run one of the commands above. Returns the exit status."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if words[:1] == ["links"]:
        readme = ROOT / "README.md"
        readme.write_text(absolute(readme.read_text(encoding="utf-8"), words[1], words[2]), encoding="utf-8")
        return 0
    if words[:1] == ["notes"]:
        print(notes(changelog, words[1]))
        return 0
    found = faults(words[1], changelog, (ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    print("\n".join(found) or f"{words[1]}: ready")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
