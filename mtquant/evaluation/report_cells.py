"""The cells of a report: every figure says where in `report.json` it stands, so that a program can compare them.

`data-at` is a JSON pointer (RFC 6901); an object there is an interval, of which the cell shows both ends.
"""

from collections.abc import Mapping, Sequence
from html import escape

from mtquant.evaluation import measures
from mtquant.evaluation.content import Assessed, ReportContent
from mtquant.evaluation.measures import Unit, measure_of
from mtquant.evaluation.statistics import Interval


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, note: str = "", words: bool = False) -> str:
    """Return a table that scrolls sideways on its own; cells are HTML, the first of each row is its heading.

    `words` sets cells as text rather than figures.
    """
    if not rows:
        return ""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    under = f'<p class="note">{note}</p>' if note else ""
    kind = "scroll words" if words else "scroll"
    return f'<div class="{kind}"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>{under}'


def written(value: float, unit: Unit, at: str, *, sign: bool = False) -> str:
    """Return a number as HTML; it stands `at` in `report.json`."""
    return marked(measures.written(value, unit, sign=sign), at)


def spanned(interval: Interval, unit: Unit, at: str, *, sign: bool = False) -> str:
    """Return the ends of an interval as HTML; it stands `at` in `report.json`."""
    return marked(measures.spanned(interval, unit, sign=sign), at)


def marked(text: str, at: str) -> str:
    """Return `text` as HTML in which no percent sign stands alone on a line; it stands `at` in `report.json`."""
    return f'<span data-at="{escape(at)}">{words(text)}</span>'


def words(text: str) -> str:
    """Return a sentence as HTML in which no percent sign stands alone on a line."""
    return escape(text).replace(" %", "&nbsp;%")


def pointer(*keys: str | int) -> str:
    """Return the JSON pointer of `keys`."""
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in keys)


def places(content: ReportContent) -> dict[str, str]:
    """Return where each backtest stands in `report.json`, by name."""
    lists: Mapping[str, Sequence[Assessed]] = {
        "phases": content.phases,
        "controls": content.controls,
        "baselines": content.baselines,
    }
    found = {entry.name: pointer(key, n) for key, entries in lists.items() for n, entry in enumerate(entries)}
    return found | ({content.chosen.name: pointer("chosen")} if content.chosen else {})


def chip(text: str, mark: str) -> str:
    """Return a verdict in words, coloured."""
    return f'<span class="chip {mark}">{escape(text)}</span>'


def with_interval(interval: Interval, unit: Unit, at: str, *, sign: bool = False) -> str:
    """Return a value with its interval under it; the interval stands `at` in `report.json`."""
    ends = spanned(interval, unit, at, sign=sign)
    return f"{written(interval.value, unit, f'{at}/value', sign=sign)}<small>{ends}</small>"


def figure_of(entry: Assessed, name: str, at: str) -> str:
    """Return a measure of `entry`, which stands `at` in `report.json`, with its interval where it has one."""
    unit = measure_of(name).unit
    exact = name == "var_compliance"
    if name in entry.intervals and not exact:
        return with_interval(entry.intervals[name], unit, at + pointer("intervals", name))
    return written(entry.summary[name], unit, at + pointer("summary", name)) if name in entry.summary else "–"
