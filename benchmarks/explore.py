"""How fast `prime explore` opens, selects and shows patients in Chromium, at three widths, with pictures.

    python benchmarks/explore.py MODEL|RUN --cohort COHORT.yaml [--store FOLDER] [--patient ROW]
        [--out FOLDER] [--dark]

Prints what was asked of other hosts and what the console said, which should be nothing. `--out` takes the
pictures of each width: the cohort, a selection, a patient.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

WIDTHS = {1440: 900, 1024: 800, 390: 844}
SELECT = """async value => {
  const field = document.getElementById("pick-type"), panel = document.getElementById("selection");
  delete panel.dataset.ms;
  const began = performance.now();
  field.value = value;
  field.dispatchEvent(new Event("change"));
  while (!panel.dataset.ms) await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what")
    parser.add_argument("--cohort", required=True)
    parser.add_argument("--store")
    parser.add_argument("--patient", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--dark", action="store_true")
    return parser.parse_args()


def look(page: Any, place: str, options: argparse.Namespace, width: int) -> str:
    """Open the page, select every type once, show a patient; what was measured, in a line."""

    def picture(name: str) -> None:
        if options.out is not None:
            page.screenshot(path=str(options.out / f"{name}-{width}.png"), full_page=True)

    began = time.perf_counter()
    page.goto(place)
    page.wait_for_selector("html[data-ready=yes]")
    page.wait_for_selector("#selection svg, #selection p")
    opened = time.perf_counter() - began
    picture("cohort")
    types = page.locator("#pick-type option").count()
    taken = sorted(page.evaluate(SELECT, value) for value in [*map(str, range(types - 1)), ""])
    page.evaluate(SELECT, "0")
    picture("selection")
    began = time.perf_counter()
    page.goto(f"{place}#patient-{options.patient}")
    page.wait_for_selector("#patient:not([hidden]) h1")
    shown = time.perf_counter() - began
    picture("patient")
    if page.locator("[data-sentences]").count():
        page.wait_for_selector("[data-done=yes]", state="attached", timeout=120_000)
    read = time.perf_counter() - began
    wide = page.evaluate("document.documentElement.scrollWidth")
    middle = taken[len(taken) // 2]
    return (
        f"{width} pixels: open {opened:.2f} s; {len(taken)} selections: median {middle:.0f} ms, "
        f"longest {taken[-1]:.0f} ms; a patient {shown:.2f} s, with sentences {read:.2f} s; "
        f"{wide} pixels wide"
    )


def main() -> int:
    """Measure at every width; 1 where the console or another host was used."""
    options = read_options()
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-m", "prime", "explore", options.what, "--cohort", options.cohort]
    words += [] if options.store is None else ["--store", options.store]
    began = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    place = process.stdout.readline().strip()
    own = re.match(r"http://[\d.:]+/", place)
    if own is None:
        return 1
    print(f"start: {time.perf_counter() - began:.1f} s")
    faults: list[str] = []
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for width, height in WIDTHS.items():
                scheme = "dark" if options.dark else "light"
                page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.on("console", lambda message: faults.append(message.text))
                page.on("pageerror", lambda error: faults.append(str(error)))
                page.on(
                    "request",
                    lambda request: request.url.startswith((own[0], "data:")) or faults.append(request.url),
                )
                print(look(page, place, options, width))
                page.close()
            browser.close()
    finally:
        process.terminate()
        process.wait()
    print(*(faults or ["nothing on the console, nothing asked of another host"]), sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
