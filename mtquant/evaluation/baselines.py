"""Baselines: rules of thumb that every agent has to stand beside, through the same account, costs and limits.

Each is an `ActFn` of the portfolio game: observation `[N, 1 + K]` (bar index, exposures held), action `[N, K]`
(exposure wanted). Its core is a table of targets per bar that uses bars up to and including that bar, and
never looks across histories.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import quadprog
from scipy.optimize import minimize
from scipy.signal import lfilter

from mtquant.data.dataset import Dataset
from mtquant.data.splits import Split
from mtquant.errors import DataError
from mtquant.types import Array, Float

SKIPPED_SHARE = 1.0 / 12.0
"""The latest month of a year, which 12-1 momentum leaves out."""


@dataclass(frozen=True)
class BaselineSetting:
    """What baselines are built from; all of them aim at the same ex-ante portfolio volatility."""

    dataset: Dataset
    symbols: tuple[str, ...]
    """Instruments in the order of the game's slots."""
    split: Split
    """Bars the pass will run over: decides how far back momentum can look, and which histories are computed."""
    unit_volatility: float = 0.10
    """Annual volatility of exposure 1 (`environment.target_volatility`)."""
    portfolio_volatility: float = 0.10
    """Annual ex-ante volatility of the portfolio."""
    turnover: float = 0.0
    """Mean sum of |dx| per bar that `random` matches: the agent's."""
    rng: np.random.Generator | None = None
    """Stream of `random`."""

    @property
    def columns(self) -> list[int]:
        """Columns of the dataset that `symbols` are."""
        known = self.dataset.market.symbols
        missing = [s for s in self.symbols if s not in known]
        if missing:
            raise DataError(f"Baselines for {missing} were asked for; the market has {list(known)}.")
        return [known.index(s) for s in self.symbols]

    @property
    def traded(self) -> list[tuple[int, int]]:
        """Histories in which the split has bars; costly rules are flat in all others, where nobody asks them."""
        return [
            (start, stop)
            for start, stop in self.dataset.market.history_bounds()
            if any(first < stop and start < last for first, last in self.split.segments)
        ]

    @property
    def close(self) -> Float:
        """[T, K] closes."""
        return np.asarray(self.dataset.market.close, dtype=np.float64)[:, self.columns]

    @property
    def point_volatility(self) -> Float:
        """[T, K] standard deviation of one bar's price change, price points."""
        return np.asarray(self.dataset.point_volatility, dtype=np.float64)[:, self.columns]

    @property
    def correlation(self) -> Float:
        """[K, K] correlation of one-bar returns over the train split."""
        return np.asarray(self.dataset.correlation, dtype=np.float64)[np.ix_(self.columns, self.columns)]

    @property
    def risk(self) -> float:
        """Root of x'Rx at which exposures have the portfolio volatility."""
        return self.portfolio_volatility / self.unit_volatility


@dataclass(frozen=True)
class Baseline:
    """A table of target exposures as an `ActFn`; looks rows up by the bar index in column 0."""

    name: str
    table: Float
    """[T, K] exposure wanted at the close of each bar, risk units."""
    note: str = ""
    """What a reader has to know about it."""
    hold: bool = False
    """Whether a position, once entered, is left alone (its exposure drifts with prices)."""

    def __call__(self, observation: Array, /) -> Array:
        """Return `[N, K]` exposures wanted for observations `[N, 1 + K]`."""
        wanted = self.table[np.asarray(observation)[:, 0].astype(np.int64)]
        held = np.asarray(observation, dtype=np.float64)[:, 1:]
        return np.where(held == 0.0, wanted, held) if self.hold else wanted


def sized(direction: Float, correlation: Float, risk: float) -> Float:
    """Scale each row of `direction` [T, K] to x'Rx = risk^2; a row of zeros stays zero."""
    size = np.sqrt(np.maximum(np.einsum("ti,ij,tj->t", direction, correlation, direction), 0.0))
    safe = np.where(size > 0.0, size, 1.0)
    out: Float = direction * np.where(size > 0.0, risk / safe, 0.0)[:, None]
    return out


def _finish(name: str, setting: BaselineSetting, direction: Float, note: str, *, hold: bool = False) -> Baseline:
    table = sized(direction, setting.correlation, setting.risk)
    table.flags.writeable = False
    return Baseline(name, table, note, hold)


def flat(setting: BaselineSetting) -> Baseline:
    """Hold nothing."""
    return _finish("flat", setting, np.zeros_like(setting.close), "Holds nothing and earns exactly zero.")


def buy_and_hold(setting: BaselineSetting) -> Baseline:
    """Buy equal notional once and leave it alone; a position that a limit closed is bought again."""
    note = "Equal notional, long, bought at the first bar and never rebalanced; volatility drifts."
    return _finish("buy_and_hold", setting, _equal_notional(setting), note, hold=True)


def equal_weight(setting: BaselineSetting) -> Baseline:
    """Hold equal notional of every instrument, long, rebalanced each bar."""
    return _finish("equal_weight", setting, _equal_notional(setting), "Equal notional, long, rebalanced each bar.")


def inverse_volatility(setting: BaselineSetting) -> Baseline:
    """Hold notional in proportion to 1 / volatility of every instrument, long, rebalanced each bar."""
    note = "Equal risk (notional 1 / volatility), long, rebalanced each bar."
    return _finish("inverse_volatility", setting, np.ones_like(setting.close), note)


def risk_parity(setting: BaselineSetting) -> Baseline:
    """Hold every instrument, long, so that each contributes the same share of the portfolio's risk.

    With the correlation of the train split; the unique solution is where x'Rx / 2 - mean(ln x) is least (Spinu, 2013).
    """
    correlation = setting.correlation
    slots = len(correlation)

    def value(logs: Float) -> tuple[float, Float]:
        x = np.exp(logs)
        return 0.5 * float(x @ correlation @ x) - float(logs.mean()), x * (correlation @ x) - 1.0 / slots

    found = minimize(value, np.zeros(slots), jac=True, method="BFGS", options={"gtol": 1e-10})
    direction = np.broadcast_to(np.exp(found.x), setting.close.shape)
    note = "Equal contributions to risk by the correlations of the train split, long, rebalanced each bar."
    return _finish("risk_parity", setting, direction, note)


def minimum_variance(setting: BaselineSetting) -> Baseline:
    """Hold the long notional weights of least variance, estimated anew every month from the bars of the last year.

    The covariance of one-bar moves is shrunk as Ledoit and Wolf (2004) estimate; between estimates weights stand and
    volatilities move on. Flat for the first half year of a history.
    """
    year = max(4, round(setting.dataset.market.bars_per_year))
    half, month = year // 2, max(1, year // 12)
    notional = _equal_notional(setting)
    direction = np.zeros_like(notional)
    for start, stop in setting.traded:
        moves = np.diff(setting.close[start:stop], axis=0) / setting.point_volatility[start : stop - 1]
        weights = np.zeros(notional.shape[1])
        for t in range(stop - start):
            # moves[:t] end with the close of bar t
            if t >= half and (t - half) % month == 0:
                weights = _least_variance(moves[max(0, t - year) : t], notional[start + t])
            direction[start + t] = notional[start + t] * weights
    note = f"Long weights of least variance (Ledoit-Wolf covariance of {year} bars), estimated every {month} bars."
    return _finish("minimum_variance", setting, direction, note)


def macd(setting: BaselineSetting, spans: tuple[tuple[int, int], ...] = ((8, 24), (16, 48), (32, 96))) -> Baseline:
    """Follow the mean of three moving-average convergence signals, of which extreme ones count less, at equal risk.

    Differences of exponential means over the deviation of prices (63 bars), over their own deviation (252 bars),
    through y exp(-y^2 / 4) / 0.89. Flat until half of both windows is there. Baz and others, "Dissecting investment
    strategies in the cross section and time series" (2015).
    """
    close = setting.close
    direction = np.zeros_like(close)
    for start, stop in setting.traded:
        part = close[start:stop]
        spread = _deviation(part, 63)
        total = np.zeros_like(part)
        for fast, slow in spans:
            gap = (_ewma(part, 2 * fast - 1) - _ewma(part, 2 * slow - 1)) / spread
            y = gap / _deviation(gap, 252)
            total += y * np.exp(-0.25 * y * y) / 0.89
        direction[start:stop] = np.nan_to_num(total / len(spans), nan=0.0, posinf=0.0, neginf=0.0)
    named = ", ".join(f"{fast}/{slow}" for fast, slow in spans)
    return _finish("macd", setting, direction, f"Mean of the MACD signals {named}, equal risk.")


def momentum(setting: BaselineSetting) -> Baseline:
    """Follow the sign of the price change from twelve months to one month ago, at equal risk.

    Months are counted in bars. Where the split and the bars before it offer less than a year, the look-back
    is cut to what lets at least half of the shortest segment trade, and the note says so. Flat until the
    look-back is full. Jegadeesh and Titman (1993); time series: Moskowitz, Ooi and Pedersen (2012).
    """
    market = setting.dataset.market
    year = max(2, round(market.bars_per_year))
    lookback = min(year, _offered(setting))
    skipped = max(1, round(lookback * SKIPPED_SHARE))
    note = f"Sign of the price change from {lookback} to {skipped} bars ago (12-1 months), equal risk."
    if lookback < year:
        note += f" Cut from {year} bars: the split offers no more."
    close = setting.close
    direction = np.zeros_like(close)
    for start, stop in market.history_bounds():
        part = close[start:stop]
        if len(part) > lookback:
            direction[start + lookback : stop] = np.sign(part[lookback - skipped : -skipped] - part[:-lookback])
    return _finish("momentum", setting, direction, note)


def ma_crossover(setting: BaselineSetting, fast: int = 16, slow: int = 64) -> Baseline:
    """Follow the sign of a fast minus a slow exponential mean of closes (spans in bars), at equal risk.

    Flat for the first `slow` bars of a history.
    """
    if not 1 <= fast < slow:
        raise DataError(f"A crossover needs 1 <= fast < slow; fast {fast} and slow {slow} were given.")
    close = setting.close
    direction = np.zeros_like(close)
    for start, stop in setting.dataset.market.history_bounds():
        gap = _ewma(close[start:stop], fast) - _ewma(close[start:stop], slow)
        direction[start + slow : stop] = np.sign(gap[slow:])
    note = f"Sign of the exponential means of {fast} minus {slow} bars, equal risk."
    return _finish("ma_crossover", setting, direction, note)


def random(setting: BaselineSetting) -> Baseline:
    """Drift at random with the agent's turnover: first-order autoregressions, independent per instrument.

    For a stationary deviation s the mean |dx| is 2 s sqrt((1 - rho) / pi), which fixes rho. The volatility is
    that of the others on average over time, not at each bar.
    """
    if setting.rng is None:
        raise DataError("The baseline `random` needs a random stream (`rng`).")
    bars, slots = len(setting.dataset.market.time), len(setting.columns)
    deviation = setting.risk / math.sqrt(slots)
    persistence = 1.0 - math.pi / 4.0 * (setting.turnover / (slots * deviation)) ** 2
    rho = min(max(persistence, -0.99), 1.0 - 1e-6)
    note = f"Random exposures with the agent's turnover ({setting.turnover:.3g} of exposure per bar)."
    if rho != persistence:
        note += " The turnover could not be matched."
    drawn = setting.rng.standard_normal((bars, slots))
    table = np.zeros((bars, slots))
    spread = math.sqrt(1.0 - rho * rho)
    for start, stop in setting.traded:
        noise = deviation * drawn[start:stop]
        first = noise[:1]
        rest, _ = lfilter([spread], [1.0, -rho], noise[1:], axis=0, zi=rho * first)
        table[start:stop] = np.concatenate([first, rest])
    table.flags.writeable = False
    return Baseline("random", table, note)


def _equal_notional(setting: BaselineSetting) -> Float:
    # exposure per notional is the relative volatility, so equal notional is exposure in proportion to it
    close = np.abs(setting.close)
    out: Float = setting.point_volatility / np.where(close > 0.0, close, np.inf)
    return out


def _least_variance(moves: Float, notional: Float) -> Float:
    """Return long weights [K], sum 1, of least variance; `notional` [K] is the exposure of one unit of notional."""
    # slow to import, and only needed here
    from sklearn.covariance import ledoit_wolf

    covariance = ledoit_wolf(moves)[0] * np.outer(notional, notional)
    scale = float(np.trace(covariance)) / len(notional)
    slots = len(notional)
    limits = np.concatenate([np.ones((slots, 1)), np.eye(slots)], axis=1)
    out: Float = quadprog.solve_qp(covariance / scale, np.zeros(slots), limits, np.eye(slots + 1)[0], 1)[0]
    return np.maximum(out, 0.0)


def _deviation(values: Float, window: int) -> Float:
    """Return the standard deviation of the last `window` rows; NaN before half of them is there, and where it is 0."""
    out: Float = pd.DataFrame(values).rolling(window, min_periods=window // 2).std().to_numpy()
    return np.where(out > 0.0, out, np.nan)


def _offered(setting: BaselineSetting) -> int:
    """Return the longest look-back with which half of every segment of the split can trade, at least 2."""
    bounds = setting.dataset.market.history_bounds()
    offers = []
    for first, last in setting.split.segments:
        start = next(s for s, e in bounds if s <= first < e)
        offers.append(first - start + (last - first) // 2)
    return max(2, min(offers, default=2))


def _ewma(values: Float, span: int) -> Float:
    alpha = 2.0 / (span + 1.0)
    out = np.empty_like(values)
    level = values[0]
    for t, value in enumerate(values):
        level = level + alpha * (value - level)
        out[t] = level
    return out


BASELINES: dict[str, Callable[..., Baseline]] = {
    "flat": flat,
    "buy_and_hold": buy_and_hold,
    "equal_weight": equal_weight,
    "inverse_volatility": inverse_volatility,
    "risk_parity": risk_parity,
    "minimum_variance": minimum_variance,
    "momentum": momentum,
    "ma_crossover": ma_crossover,
    "macd": macd,
    "random": random,
}
