"""A report in a real browser: what a person would stumble over, and whether every figure is that of `report.json`.

    python -m tests.evaluation.browser FOLDER [PICTURES]

checks the `report.html` in a folder, at desktop and phone width, light and dark, and leaves pictures where asked.
"""

import json
import math
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"desktop": (1200, 900), "phone": (390, 844)}
SCHEMES = ("light", "dark")
NUMBER = re.compile(r"[−+-]?(?:\d[\d,]*(?:\.\d+)?|∞)")
PATIENCE_MS = 120_000
LIVE = """() => Object.fromEntries([...document.querySelectorAll('figure.drawn')].map(f => {
  const made = f.querySelector('.live');
  const axis = a => a.title.text;
  return [f.dataset.chart, {
    x: axis(made.layout.xaxis), y: axis(made.layout.yaxis), height: made.getBoundingClientRect().height,
    drawn: made.querySelectorAll('.scatterlayer .trace').length,
    traces: made.data.filter(t => t.hoverinfo !== 'skip').map(t => ({name: t.name, x: [...t.x], y: [...t.y]})),
  }];
}))"""
STILL = """() => [...document.querySelectorAll('figure')].map(f => {
  const box = f.getBoundingClientRect(), svg = f.querySelector(':scope > svg');
  return {caption: f.querySelector('figcaption').textContent, height: box.height, right: box.right,
    texts: [...svg.querySelectorAll('text')].map(t => t.textContent), label: svg.getAttribute('aria-label'),
    paths: svg.querySelectorAll('path').length};
})"""
TOLD = "() => [...document.querySelectorAll('[data-at]')].map(e => [e.dataset.at, e.textContent])"


def browser() -> str | None:
    """Return the path of Chromium; None where there is none."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


@contextmanager
def opened(path: Path, size: str, scheme: str, **context: Any) -> Iterator[tuple[Page, list[str]]]:
    """Open a page from its file, and collect what it complains about and asks for."""
    width, height = SIZES[size]
    noise: list[str] = []
    touch = {"is_mobile": True, "has_touch": True, "device_scale_factor": 1} if size == "phone" else {}
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=browser(), args=["--no-sandbox"], timeout=PATIENCE_MS)
        made = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **(touch | context)
        )
        made.set_default_timeout(PATIENCE_MS)
        page = made.new_page()
        page.on("console", lambda line: noise.append(f"console {line.type}: {line.text}"))
        page.on("pageerror", lambda error: noise.append(f"error: {error}"))
        page.on("request", lambda asked: noise.append(f"request: {asked.url}") if asked.url != page.url else None)
        page.goto(path.absolute().as_uri())
        noise[:] = [line for line in noise if not line.endswith(path.absolute().as_uri())]
        yield page, noise
        chromium.close()


def problems(page: Page, values: dict[str, Any]) -> list[str]:
    """Return everything that is wrong with a report that is open; `values` is its JSON."""
    page.wait_for_selector("html[data-live]", state="attached")
    found = [told for at, text in page.evaluate(TOLD) if (told := difference(values, at, text))]
    live, still = page.evaluate(LIVE), page.evaluate(STILL)
    width = page.evaluate("innerWidth")
    if page.evaluate("document.documentElement.scrollWidth") > width:
        found.append("The page is wider than the window.")
    if set(live) != set(values["charts"]):
        found.append(f"Drawn are {sorted(live)}, in report.json are {sorted(values['charts'])}.")
    for name, chart in live.items():
        found += [f"{name}: {told}" for told in _chart_problems(chart, values["charts"][name])]
    for figure in still:
        if not figure["texts"] or not figure["label"] or figure["paths"] < 4 or figure["height"] < 80:
            found.append(f"The picture `{figure['caption']}` is empty or has no words.")
        if figure["right"] > width:
            found.append(f"The picture `{figure['caption']}` ends beyond the window.")
    return found


def _chart_problems(chart: dict[str, Any], given: dict[str, Any]) -> list[str]:
    found = []
    if (chart["x"], chart["y"]) != (given["x_label"], given["y_label"]) or not all((chart["x"], chart["y"])):
        found.append(f"the axes say {chart['x']!r} and {chart['y']!r}")
    if chart["drawn"] < len(given["traces"]) or chart["height"] < 200:
        found.append(f"{chart['drawn']} of {len(given['traces'])} lines are drawn")
    for trace, wanted in zip(chart["traces"], given["traces"], strict=True):
        x = wanted.get("x", given["x"])
        at = [round(day * 86_400_000) for day in x] if given["dates"] else x
        if (trace["name"], trace["y"]) != (wanted["name"], wanted["y"]) or not _close(trace["x"], at):
            found.append(f"the line `{trace['name']}` is not that of report.json")
    return found


def _close(ours: list[float], theirs: list[float]) -> bool:
    return len(ours) == len(theirs) and all(abs(a - b) <= 1.0 for a, b in zip(ours, theirs, strict=True))


def difference(values: Any, at: str, text: str) -> str | None:
    """Say what differs between `text` and the value `at` (a JSON pointer) in `values`; None where nothing does."""
    value = values
    for key in at.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        value = value[int(key)] if isinstance(value, list) else value[key]
    text = text.replace("\xa0", " ")
    if isinstance(value, str):
        return None if text == value else f"{at}: the page says {text!r}, report.json {value!r}."
    wanted = [value["low"], value["high"]] if isinstance(value, dict) else [value]
    if wanted == [None] * len(wanted):
        return None if text in ("n/a", "no interval", "∞") else f"{at}: the page says {text!r}, report.json nothing."
    if text == "< 0.001":
        return None if value < 0.001 else f"{at}: the page says {text}, report.json {value}."
    told = NUMBER.findall(text)
    scale = 100.0 if "%" in text else 1.0
    if len(told) == len(wanted) and all(_rounds(t, scale * w) for t, w in zip(told, wanted, strict=True)):
        return None
    return f"{at}: the page says {text!r}, report.json {wanted}."


def _rounds(text: str, value: float) -> bool:
    """Return whether `text` is `value` to as many digits as it has."""
    plain = text.replace("−", "-").replace(",", "").replace("∞", "inf")
    decimals = len(plain.partition(".")[2])
    return math.isclose(float(plain), value, rel_tol=0.0, abs_tol=0.5000001 * 10.0**-decimals)


def read_values(folder: Path) -> dict[str, Any]:
    """Return `report.json`, with what `trials.json` holds under `search`."""
    values: dict[str, Any] = json.loads((folder / "report.json").read_bytes())
    trials = folder / "trials.json"
    return values | ({"search": json.loads(trials.read_bytes())} if trials.exists() else {})


def main(folder: Path, pictures: Path | None) -> int:
    """Check one report at every size and scheme; return how many problems there are."""
    values, count = read_values(folder), 0
    for size in SIZES:
        for scheme in SCHEMES:
            with opened(folder / "report.html", size, scheme) as (page, noise):
                found = problems(page, values) + noise
                told = page.evaluate("document.querySelectorAll('[data-at]').length")
                sys.stdout.write(f"{size} {scheme}: {told} figures and sentences compared, {len(found)} problems\n")
                sys.stdout.writelines(f"  {line}\n" for line in found)
                count += len(found)
                if pictures is not None:
                    page.screenshot(path=pictures / f"{size}-{scheme}.png", full_page=True)
    return count


if __name__ == "__main__":
    sys.exit(min(1, main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)))
