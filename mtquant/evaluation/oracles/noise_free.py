"""The noise-free score: positions taken on realised prices, paid with the expected return the generator knows.

U_t = x_t'alpha_t - (g/2) x_t'R x_t - (l/2)|dx_t|^2 - c|dx_t|_1 in units of u0. Policies and references are
compared on the same paths, as ratios of means with delta-method intervals over episodes.
"""

from dataclasses import dataclass

import numpy as np

from mtquant.data.dataset import Dataset
from mtquant.data.market import Market
from mtquant.evaluation.oracles.books import changes, scored_bars
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.statistics import Interval, mean_of, ratio_of_means
from mtquant.synthetic.planted import Objective, Truth
from mtquant.types import Float, Int


@dataclass(frozen=True)
class NoiseFreeScore:
    """Sums over the bars of each of E episodes, in u0."""

    gross: Float
    """[E] x'alpha."""
    risk: Float
    """[E] x'Rx."""
    cost: Float
    """[E]"""
    bars: Float
    """[E]"""
    objective: Objective

    @property
    def episodes(self) -> Float:
        """[E] utility summed over each episode."""
        total: Float = self.gross - 0.5 * self.objective.g * self.risk - self.cost
        return total

    @property
    def utility(self) -> float:
        """Mean utility per bar."""
        return float(self.episodes.sum() / self.bars.sum())

    @property
    def sharpe(self) -> float:
        """Annual net Sharpe ratio against the risk of the shocks; 0 for a flat policy."""
        if not self.risk.any():
            return 0.0
        per_bar = (self.gross - self.cost).sum() / np.sqrt(self.risk.sum() * self.bars.sum())
        return float(per_bar * np.sqrt(self.objective.bars_per_year))

    @property
    def volatility(self) -> float:
        """Annual volatility, as a share of equity."""
        return float(np.sqrt(self.risk.sum() / self.bars.sum()) * self.objective.target_volatility)

    @property
    def cost_share(self) -> float:
        """Costs over expected gross profit; NaN without any."""
        return float(self.cost.sum() / self.gross.sum()) if self.gross.sum() else float("nan")


def score_result(
    result: BacktestResult, truth: Truth, volatility_ratio: Float | None = None, slots: Int | None = None
) -> NoiseFreeScore:
    """Score a backtest; every pass is an episode.

    volatility_ratio [K]: true over estimated volatility (`volatility_ratio`), where exposures were measured with an
    estimate. slots [N, 1]: the instrument of each pass, for backtests of one instrument per row.
    """
    ratio = np.ones(len(truth.symbols)) if volatility_ratio is None else volatility_ratio
    alive = result.alive.astype(np.float64)
    if slots is None:
        return _score(result.exposure * ratio, result.trade, truth.alpha[result.bar], alive, truth)
    alpha = truth.alpha[result.bar, slots[:, 0]][:, :, None]
    return _score(result.exposure * ratio[slots], result.trade, alpha, alive, truth, np.eye(1))


def score_book(book: Float, market: Market, truth: Truth, warmup: int, instrument: int | None = None) -> NoiseFreeScore:
    """Score exposures `[T, K]` decided at each bar; every history is an episode.

    With `instrument`, that one's book alone, as if nothing else were held.
    """
    bounds = market.history_bounds()
    length = bounds[0][1] - bounds[0][0]
    picked = slice(None) if instrument is None else slice(instrument, instrument + 1)

    def columns(values: Float) -> Float:
        return np.swapaxes(values.reshape(len(bounds), length, *values.shape[1:]), 0, 1)

    held, traded, alpha = (columns(v)[:, :, picked] for v in (book, changes(market, book), truth.alpha))
    inside = columns(scored_bars(market, warmup).astype(np.float64))
    return _score(held, traded, alpha, inside, truth, None if instrument is None else np.eye(1))


def _score(
    exposure: Float, trade: Float, alpha: Float, alive: Float, truth: Truth, correlation: Float | None = None
) -> NoiseFreeScore:
    """Sum `[S, N, K]` positions over the bars where `alive [S, N]`."""
    risk_of = truth.correlation if correlation is None else correlation
    gross = np.einsum("snk,snk,sn->n", exposure, alpha, alive)
    risk = np.einsum("snk,snk,sn->n", exposure @ risk_of, exposure, alive)
    cost = 0.5 * truth.objective.impact * np.einsum("snk,snk,sn->n", trade, trade, alive)
    if truth.objective.spread:
        cost = cost + truth.objective.spread * np.einsum("snk,sn->n", np.abs(trade), alive)
    return NoiseFreeScore(gross, risk, cost, alive.sum(axis=0), truth.objective)


def volatility_ratio(dataset: Dataset, truth: Truth) -> Float:
    """Return `[K]` true over estimated one-bar volatility of a planted dataset."""
    ratio: Float = truth.volatility * dataset.market.close[0] / dataset.point_volatility[0]
    return ratio


def share(policy: NoiseFreeScore, reference: NoiseFreeScore) -> Interval:
    """Return U / U_ref on the same episodes; above 1 is possible where the reference is not an optimum."""
    return ratio_of_means(policy.episodes, reference.episodes)


def captured_gain(policy: NoiseFreeScore, previous: NoiseFreeScore, reference: NoiseFreeScore) -> Interval:
    """Return (U - U_prev) / (U_ref - U_prev) on the same episodes; NaN ends where there is no gain to capture."""
    return ratio_of_means(policy.episodes - previous.episodes, reference.episodes - previous.episodes)


def mean_utility(score: NoiseFreeScore) -> Interval:
    """Return the utility per bar with its interval over episodes."""
    return ratio_of_means(score.episodes, score.bars)


def sharpe_interval(score: NoiseFreeScore) -> Interval:
    """Return the annual Sharpe ratio with its delta-method interval over episodes; NaN ends below two."""
    bars = score.bars.sum()
    net, risk = (score.gross - score.cost).sum() / bars, score.risk.sum() / bars
    if risk == 0.0:
        return Interval(0.0, 0.0, 0.0)
    # SR = net / sqrt(risk), both means over bars: its derivative gives each episode's influence.
    pull = (score.gross - score.cost - net * score.bars) / np.sqrt(risk)
    influence = pull - 0.5 * net / risk**1.5 * (score.risk - risk * score.bars)
    spread = mean_of(influence / score.bars.mean())
    year = np.sqrt(score.objective.bars_per_year)
    return Interval(score.sharpe, score.sharpe + spread.low * year, score.sharpe + spread.high * year)
