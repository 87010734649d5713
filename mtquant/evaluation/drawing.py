"""How figures look: one drawing, written as PNG (light) and as SVG whose colours follow the page."""

import io
import re
from html import escape
from typing import Any

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

LIGHT = {
    "ink": "#1d2329",
    "muted": "#68727d",
    "line": "#dfe3e8",
    "other": "#a3acb6",
    "phase1": "#3a8fa6",
    "phase2": "#7a5bd0",
    "phase3": "#d4532a",
    "good": "#1e8556",
    "bad": "#c0392f",
    "group0": "#2c6fbd",
    "group1": "#c98a12",
    "group2": "#2f9169",
    "group3": "#ad4a91",
    "group4": "#7d7f30",
}
DARK = {
    "ink": "#e9ecef",
    "muted": "#9aa5b1",
    "line": "#343b44",
    "other": "#6f7a86",
    "phase1": "#5fb9d0",
    "phase2": "#a791f0",
    "phase3": "#ff8355",
    "good": "#57c48f",
    "bad": "#f2776b",
    "group0": "#6aa8f0",
    "group1": "#ecb84a",
    "group2": "#63c79d",
    "group3": "#de86c4",
    "group4": "#b9bb62",
}
"""Colours by name; a light colour stands for its name in the SVG, so all must differ."""

WIDTH, HEIGHT = 5.0, 2.7

STYLE: dict[Any, Any] = {
    "font.size": 9.0,
    "font.family": "sans-serif",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": LIGHT["line"],
    "axes.labelcolor": LIGHT["muted"],
    "text.color": LIGHT["ink"],
    "xtick.color": LIGHT["muted"],
    "ytick.color": LIGHT["muted"],
    "axes.grid": True,
    "grid.color": LIGHT["line"],
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.labelcolor": LIGHT["ink"],
    "svg.fonttype": "none",
    "svg.hashsalt": "mtquant",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
    "path.simplify": False,
}


def svg(figure: Figure, name: str, label: str) -> str:
    """Return the figure as inline SVG whose ids begin with `name`; `label` is what is read aloud."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # ids must differ between the figures of one page
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"'[^']*'(, '[^']*')*, sans-serif", "var(--font)", text)
    for key, colour in LIGHT.items():
        text = text.replace(colour, f"var(--{key})")
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    # hundredths of a point are below what a screen shows
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\d\.\d\d)\d+", r"\1", path[0]), text)
    head = f'<svg viewBox="\\1" role="img" aria-label="{escape(label)}">'
    return re.sub(r'<svg [^>]*viewBox="([^"]*)"[^>]*>', head, text, count=1)


def png(figure: Figure) -> bytes:
    """Return the figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def figure_of(height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return an empty figure."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def legend(figure: Figure, ncols: int = 4) -> None:
    """Put the legend above the axes."""
    figure.legend(loc="outside upper left", ncols=ncols, handlelength=1.6, columnspacing=1.2)


def date_axis(axes: Axes) -> None:
    """Label days since 1970, which is how matplotlib counts dates, as dates."""
    # with fewer it knows no interval for three years or three days
    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
