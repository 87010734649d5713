"""Dialects of bar files: which column is what, recognised from the first rows and reported by name."""

import re
from dataclasses import dataclass, replace

from mtquant.data.source import Table
from mtquant.errors import DataError

TIME = ("timestamp", "datetime", "date_time", "gmt_time", "local_time", "utc_time", "open_time", "date", "time")
PRICES = {
    "open": ("open", "o", "open_price"),
    "high": ("high", "h", "high_price"),
    "low": ("low", "l", "low_price", "llow"),
    "close": ("close", "c", "last", "close_price"),
}
VOLUME = ("volume", "v", "tick_volume", "tickvolume", "tickvol", "ticks", "vol", "real_volume")
IGNORED = ("spread", "adj_close", "openinterest", "open_interest", "dividends", "stock_splits", "symbol", "ticker")
EXAMPLE = "timestamp,open,high,low,close,volume"


@dataclass(frozen=True)
class Layout:
    """Where the numbers are; a price in two columns is the mean of bid and ask."""

    dialect: str
    first_row: int
    time: tuple[int, ...]
    prices: tuple[tuple[int, ...], ...]
    volume: int | None
    width: int
    notes: tuple[str, ...] = ()
    says_utc: bool = False


def detect(table: Table) -> Layout:
    """Return the layout of a file; raises `DataError` where no rule fits, showing the first line."""
    first = [cell.strip() for cell in table.rows[0]]
    if first[0].lower() == "price" and len(table.rows) > 2 and table.rows[1][0].strip().lower() == "ticker":
        return _yahoo_multi_header(table)
    if first[0][:1].isdigit():
        return _headerless(table, first)
    return _named(table, [_plain(cell) for cell in first], 1)


def _plain(name: str) -> str:
    """Return a column name in lower case without brackets; blanks become underscores."""
    return re.sub(r"[\s\-]+", "_", name.strip().strip("<>\"'").strip().lower())


def _headerless(table: Table, first: list[str]) -> Layout:
    where = first[0]
    width = len(first)
    if re.fullmatch(r"\d{8} \d{6}", where) and width in (5, 6):
        note = "HistData publishes in New York standard time all year: set the time zone to `Etc/GMT+5`"
        return _row_layout("histdata", width, 1, (note,))
    if re.fullmatch(r"\d{8} \d{2}:\d{2}(:\d{2})?", where):
        if width in (9, 11):
            step = 5 if width == 11 else 4
            prices = tuple((1 + i, 1 + i + step) for i in range(4))
            note = "prices are the mean of bid and ask; volume is 0 (a quote has none)"
            return Layout("lean-quotes", 0, (0,), prices, None, width, (note,))
        if width in (5, 6):
            return _row_layout("lean-trades", width, 1)
    if re.fullmatch(r"\d{4}\.\d{2}\.\d{2}", where) and width in (6, 7) and ":" in first[1]:
        return _row_layout("metatrader4", width, 2)
    if width in (5, 6) and re.match(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}", where):
        note = "no header: columns are taken as time, open, high, low, close, volume"
        return _row_layout("headerless", width, 1, (note,))
    raise DataError(
        f"{table.path}, row {table.lines[0]}: `{','.join(first)[:80]}` fits no known layout without a header. "
        f"Add a header line such as `{EXAMPLE}`."
    )


def _row_layout(name: str, width: int, times: int, notes: tuple[str, ...] = ()) -> Layout:
    volume = times + 4 if width > times + 4 else None
    prices = tuple((times + i,) for i in range(4))
    return Layout(name, 0, tuple(range(times)), prices, volume, width, notes + _without_volume(volume))


def _without_volume(column: int | None) -> tuple[str, ...]:
    return () if column is not None else ("no volume column: volume is 0",)


def _yahoo_multi_header(table: Table) -> Layout:
    tickers = {cell.strip() for cell in table.rows[1][1:] if cell.strip()}
    if len(tickers) > 1:
        raise DataError(
            f"{table.path}, row {table.lines[1]}: the file holds {len(tickers)} tickers ({sorted(tickers)[:5]}); "
            "download one file per instrument."
        )
    third = _plain(table.rows[2][0])
    names = [third if third in TIME else "date", *(_plain(cell) for cell in table.rows[0][1:])]
    return replace(_named(table, names, 3 if third in TIME else 2), dialect="yahoo-multi-header")


def _named(table: Table, names: list[str], first_row: int) -> Layout:
    prices = []
    for wanted, aliases in PRICES.items():
        found = [i for i, name in enumerate(names) if name in aliases]
        if len(found) != 1:
            what = f"no `{wanted}` column" if not found else f"{len(found)} `{wanted}` columns"
            raise DataError(
                f"{table.path}, row {table.lines[first_row - 1]}: {what} among {[n for n in names if n]}. "
                f"Name the columns as in `{EXAMPLE}`."
            )
        prices.append((found[0],))
    time = _time_columns(table, names, first_row)
    volume = next((names.index(name) for name in VOLUME if name in names), None)
    used = {*time, *(c for price in prices for c in price), volume}
    known = {*IGNORED, *VOLUME}
    unknown = [n for i, n in enumerate(names) if i not in used and n and n not in known]
    notes = _without_volume(volume) + ((f"columns {unknown} are not used",) if unknown else ())
    if len(table.rows) <= first_row:
        raise DataError(f"{table.path} has a header and no bars. Export the bars again.")
    sample = table.rows[first_row]
    value = sample[time[0]].strip() if time[0] < len(sample) else ""
    return Layout(
        _dialect(names, value, len(time)),
        first_row,
        time,
        tuple(prices),
        volume,
        len(names),
        notes,
        says_utc=names[time[0]] in ("gmt_time", "utc_time"),
    )


def _time_columns(table: Table, names: list[str], first_row: int) -> tuple[int, ...]:
    if "date" in names and "time" in names:
        return names.index("date"), names.index("time")
    for name in TIME:
        if name in names:
            return (names.index(name),)
    if not names[0]:
        return (0,)
    raise DataError(
        f"{table.path}, row {table.lines[first_row - 1]}: no time column among {[n for n in names if n]}. "
        f"Name the columns as in `{EXAMPLE}`."
    )


def _dialect(names: list[str], value: str, time_columns: int) -> str:
    """Name the program whose export looks like this."""
    if time_columns == 2 and re.match(r"\d{4}\.\d{2}\.\d{2}", value):
        return "metatrader5"
    if re.match(r"\d{4}\.\d{2}\.\d{2} ", value):
        return "metatrader"
    if re.match(r"\d{2}\.\d{2}\.\d{4} ", value):
        return "dukascopy"
    if re.match(r"\d{1,2}/\d{1,2}/\d{4}", value):
        return "chart-export"
    if names[0] in ("date", "datetime") and re.fullmatch(r"\d{4}-\d{2}-\d{2}([ T].*[+-]\d{2}:\d{2})?", value):
        return "yahoo"
    if names[0] == "timestamp" and value.endswith("Z"):
        return "plain"
    return "named-columns"
