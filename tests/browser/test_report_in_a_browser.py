"""The report in Chromium: all pictures drawn, nothing refused or failed, nothing wider than a screen or a phone."""

import json
import os
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures_laws import isoflop_runs

from planner.laws.loss_laws import HOFFMANN
from planner.report.page import Notes, Section, page
from scripts.cli.app import run

pytest.importorskip("matplotlib")

WIDTHS_PX = (1280, 390)
MEASURE = """
addEventListener("load", () => {
  const found = [...document.querySelectorAll("iframe")].map((frame) => {
    const inner = frame.contentDocument, root = inner.documentElement, images = [...inner.images];
    return {
      width: root.clientWidth, needed: root.scrollWidth, sections: inner.querySelectorAll("section").length,
      images: images.length, drawn: images.filter((each) => each.complete && each.naturalWidth > 0).length,
    };
  });
  document.querySelector("pre").textContent = JSON.stringify(found);
});
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"none of {', '.join(names)} is installed")
    return found


def shown(chromium: str, content: str, folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what is measured of the page at each width, and what the browser's console says of it."""
    frames = "".join(f'<iframe width="{width}" srcdoc="{escape(content)}"></iframe>' for width in WIDTHS_PX)
    outside = folder / "outside.html"
    outside.write_text(f"<!doctype html><style>iframe{{border:0}}</style><pre></pre><script>{MEASURE}</script>{frames}")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [
            chromium, "--headless", *sandbox, "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom", outside.as_uri(),
        ],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    measured = re.search(r"<pre>(.+?)</pre>", done.stdout)
    assert measured, done.stderr
    return json.loads(unescape(measured[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_report_is_shown_whole_at_every_width(chromium: str, tmp_path: Path) -> None:
    runs = isoflop_runs(HOFFMANN, np.geomspace(1e18, 1e21, 6))
    loss = runs.loss * np.exp(0.003 * np.random.default_rng(0).normal(size=len(runs)))
    rows = zip(runs.params, runs.tokens, loss, runs.flops, strict=True)
    lines = [",".join(f"{value:.17g}" for value in row) for row in rows]
    table, report = tmp_path / "study.csv", tmp_path / "report.html"
    table.write_text("\n".join(["params,tokens,loss,flops", *lines, ""]))
    words = [str(table), "--arch", "gpt2", "--gpus", "8", "--batch", "64", "--out", str(report)]
    assert run(["plan", "report", *words]) == 0
    found, said = shown(chromium, report.read_text(), tmp_path)
    assert said == []
    for each, width in zip(found, WIDTHS_PX, strict=True):
        assert each["width"] == width
        assert each["needed"] == width
        assert each["sections"] == 8
        assert each["drawn"] == each["images"] >= 9


def test_what_a_page_must_not_do_would_be_seen(chromium: str, tmp_path: Path) -> None:
    content = page("t", "", [Section("s", "", (Notes(("a",)),))], "")
    bad = '<img src="https://example.invalid/a.png"><script>run()</script><p style="width:900px">wide</p></body>'
    found, said = shown(chromium, content.replace("</body>", bad), tmp_path)
    assert any("img-src data:" in line for line in said)
    assert any("script" in line for line in said)
    assert [each["needed"] > each["width"] for each in found] == [False, True]
    assert [each["drawn"] for each in found] == [0, 0]
