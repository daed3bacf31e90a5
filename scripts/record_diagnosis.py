# SPDX-License-Identifier: Apache-2.0
"""Record the page of a diagnosis and its picture: docs/images/diagnosis.html and diagnosis.png.

``python scripts/record_diagnosis.py`` diagnoses the lines of the report of 2016 (tests/causes/cases) and takes the
picture with a headless Chromium. A test compares the page with a new one.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.causes.judging import cases

from stackmend.report.diagnosing.timelines import html

PAGE = Path(__file__).parents[1] / "docs" / "images" / "diagnosis.html"
SIZE = (1200, 1150)


def page(folder: Path) -> str:
    """The page, without the folder of the logs."""
    (case,) = [one for one in cases() if "public report" in one.title]
    return html(case.diagnosed(folder)).replace(str(folder), "/var/log")


def take(source: Path, picture: Path) -> None:
    """A picture of a page; SystemExit if there is no browser."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("no Chromium is installed: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        subprocess.run(
            [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
             f"--user-data-dir={profile}", f"--window-size={SIZE[0]},{SIZE[1]}", f"--screenshot={picture}",
             source.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        PAGE.write_text(page(Path(made)), encoding="utf-8")
    take(PAGE, PAGE.with_suffix(".png"))
