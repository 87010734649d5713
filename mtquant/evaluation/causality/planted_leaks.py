"""Leaks planted in a clean pipeline, each a few lines: what a search for leaks has to find."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import filtfilt

from mtquant.config.agents import FeatureSpec, PipelineSpec
from mtquant.data.correlation import fit_correlation
from mtquant.data.dataset import Dataset
from mtquant.data.market import HIGH, LOW, Market
from mtquant.data.volatility import scaled_moves
from mtquant.envs.engine import GameEngine
from mtquant.envs.game import MarketGame, Table
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.evaluation.causality.pipelines import GROUP, Alter, engine, joint, specialist
from mtquant.evaluation.causality.search import EnvFactory
from mtquant.sim.kernel import CLOSE, OPEN, StepResult
from mtquant.types import Float

WEEK = 5
HORIZON = 20
HALF_LIVES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
STEPS = 40
MOVES_ONLY = FeatureSpec(return_half_lives=HALF_LIVES, return_lags=1, indicators=())


@dataclass(frozen=True)
class PlantedLeak:
    """One leak and the checks that have to find it."""

    about: str
    checks: tuple[str, ...]
    """Kinds of records that may show it first."""
    factory: EnvFactory


def _moves(market: Market) -> Float:
    """Return `[T, K]` simple returns of each bar."""
    close = market.close
    out: Float = np.diff(close, axis=0, prepend=close[:1]) / np.abs(close)
    return out


def _next_moves(market: Market) -> Float:
    """Return `[T, K]` the return of the bar that follows; 0 at the end."""
    moves = _moves(market)
    return np.concatenate([moves[1:], np.zeros((1, moves.shape[1]))])


def _shown(column: Callable[[Dataset], Float]) -> Alter:
    """Replace the first feature by `column` [T, K]."""

    def alter(dataset: Dataset) -> Dataset:
        features = np.array(dataset.features)
        features[:, :, 0] = column(dataset)
        return replace(dataset, features=features)

    return alter


def _centred_mean(dataset: Dataset) -> Float:
    x = np.array(dataset.features[:, :, 0], dtype=np.float64)
    out: Float = (np.roll(x, 1, axis=0) + x + np.roll(x, -1, axis=0)) / 3.0
    return out


def _back_filled(dataset: Dataset) -> Float:
    """Where a bar is missing, show the next one that exists."""
    moves, known = _moves(dataset.market), dataset.market.tradable
    out = moves.copy()
    for t in range(len(out) - 2, -1, -1):
        out[t] = np.where(known[t], moves[t], out[t + 1])
    return out


def _full_sample_scaled(dataset: Dataset) -> Float:
    close = dataset.market.close
    low, high = close.min(axis=0), close.max(axis=0)
    out: Float = (close - low) / (high - low)
    return out


def _weekly_stamped_at_open(dataset: Dataset) -> Float:
    """Show the week's return from its first bar on."""
    close = dataset.market.close
    opening = np.arange(len(close)) // WEEK * WEEK
    closing = np.minimum(opening + WEEK - 1, len(close) - 1)
    out: Float = close[closing] / close[opening] - 1.0
    return out


def _two_sided_filter(dataset: Dataset) -> Float:
    out: Float = filtfilt([0.1], [1.0, -0.9], _moves(dataset.market), axis=0)
    return out


def _back_adjusted(dataset: Dataset) -> Float:
    out: Float = dataset.market.close / dataset.market.close[-1]
    return out


def _target_mean_of_weekday(dataset: Dataset) -> Float:
    """Encode the weekday by the mean next return on it, over the whole sample."""
    target = _next_moves(dataset.market)
    day = np.arange(len(target)) % WEEK
    means = np.stack([target[day == d].mean(axis=0) for d in range(WEEK)])
    out: Float = means[day]
    return out


def _macro_before_publication(dataset: Dataset) -> Dataset:
    macro = np.array(dataset.macro)
    macro[:-HORIZON] = dataset.macro[HORIZON:]
    return replace(dataset, macro=macro)


def _normalised_on_everything(dataset: Dataset) -> Dataset:
    values = np.asarray(dataset.features, dtype=np.float64)
    return replace(dataset, feature_mean=values.mean(axis=(0, 1)), feature_std=values.std(axis=(0, 1)) + 1e-6)


def _correlation_of_everything(dataset: Dataset) -> Dataset:
    market = dataset.market
    eps = scaled_moves(market, dataset.point_volatility)
    return replace(dataset, correlation=fit_correlation(eps, market.tradable, market.symbols, planted=False))


def _future_volatility(dataset: Dataset) -> Dataset:
    """Size positions by the range of the bar to come."""
    high, low = dataset.market.ohlcv[:, :, HIGH], dataset.market.ohlcv[:, :, LOW]
    coming = np.concatenate([(high - low)[1:], (high - low)[-1:]])
    return replace(dataset, point_volatility=np.maximum(coming, 1e-4 * dataset.market.close))


def _signal_chosen_on_test(dataset: Dataset) -> Dataset:
    """Of six signals, show the one whose sign would have earned most on the test split."""
    target = _next_moves(dataset.market)
    inside = dataset.splits.test.mask(len(target))
    earned = [(np.sign(dataset.features[:, :, i]) * target)[inside].sum() for i in range(len(HALF_LIVES))]
    best = int(np.argmax(earned))
    features = np.array(dataset.features)
    features[:, :, 0] = dataset.features[:, :, best]
    return replace(dataset, features=features, statistics={**dataset.statistics, "signal": np.array([float(best)])})


def _stopped_early_on_test(dataset: Dataset) -> Dataset:
    """Fit a forecast by gradient descent on the train split and keep the step that is best on the test split."""
    x, y = np.asarray(dataset.features, dtype=np.float64), _next_moves(dataset.market)
    y = y / y[: len(y) // 2].std(axis=0)
    train, test = (split.mask(len(y)) for split in (dataset.splits.train, dataset.splits.test))
    weights = np.zeros(x.shape[2])
    path = [weights]
    for _ in range(STEPS):
        error = x[train] @ weights - y[train]
        weights = weights - 0.05 * np.einsum("tkf,tk->f", x[train], error) / error.size
        path.append(weights)
    best = path[int(np.argmin([((x[test] @ w - y[test]) ** 2).mean() for w in path]))]
    features = np.array(dataset.features)
    features[:, :, 0] = x @ best
    return replace(dataset, features=features, statistics={**dataset.statistics, "weights": best})


def _filled_at_the_close_seen(built: GameEngine) -> GameEngine:
    """Let every bar open, for the account, at the close at which was decided."""
    sim = built.sim
    count = len(sim.symbols)
    table = np.array(sim.bars.table)
    table[count:, OPEN] = table[:-count, CLOSE]
    sim.bars = sim.bars._replace(table=table)
    return built


class _PaidABarEarly(SpecialistGame):
    """Pays the exposure of a bar with the move of the bar after it."""

    def reward(self, table: Table, result: StepResult) -> dict[str, Float]:
        """Return the shifted reward."""
        moved = np.take_along_axis(_next_moves(self.dataset.market)[result.t + 1], table.sim.state.slots, axis=1)
        paid: Float = (result.exposure * moved)[:, 0]
        return {self.agents[0]: paid}


def _paid_early(dataset: Dataset, spec: PipelineSpec) -> MarketGame:
    return _PaidABarEarly(dataset, spec, GROUP)


def _survivors(dataset: Dataset, spec: PipelineSpec) -> MarketGame:
    """Trade the instrument that will have risen most."""
    game = SpecialistGame(dataset, spec, GROUP)
    rise = dataset.market.close[-1] / dataset.market.close[0]
    game.members = np.array([int(np.argmax(rise))])
    return game


LEAKS: Mapping[str, PlantedLeak] = {
    "centred mean": PlantedLeak(
        "a moving average reaches one bar into the future", ("observation",), engine(alter=_shown(_centred_mean))
    ),
    "back-fill": PlantedLeak(
        "a missing bar shows the next one that exists", ("observation",), engine(alter=_shown(_back_filled))
    ),
    "full-sample scaling": PlantedLeak(
        "prices are scaled by their lowest and highest ever",
        ("observation",),
        engine(alter=_shown(_full_sample_scaled)),
    ),
    "higher time frame": PlantedLeak(
        "the week's return is stamped at its first bar", ("observation",), engine(alter=_shown(_weekly_stamped_at_open))
    ),
    "two-sided filter": PlantedLeak(
        "returns are smoothed forwards and backwards", ("observation",), engine(alter=_shown(_two_sided_filter))
    ),
    "back-adjusted prices": PlantedLeak(
        "prices are quoted relative to the last close", ("observation",), engine(alter=_shown(_back_adjusted))
    ),
    "shifted label": PlantedLeak(
        "the return to be forecast stands among the features",
        ("observation",),
        engine(alter=_shown(lambda dataset: _next_moves(dataset.market))),
    ),
    "target encoding": PlantedLeak(
        "a weekday is encoded by the mean next return on it",
        ("observation",),
        engine(alter=_shown(_target_mean_of_weekday)),
    ),
    "early macro figures": PlantedLeak(
        "macro figures stand at the day they describe, not of publication",
        ("observation",),
        engine(joint, _macro_before_publication),
    ),
    "normaliser of everything": PlantedLeak(
        "observations are scaled by statistics of validation and test, too",
        ("statistic",),
        engine(alter=_normalised_on_everything),
    ),
    "correlation of everything": PlantedLeak(
        "correlations of the risk layer are those of the whole sample",
        ("statistic",),
        engine(joint, _correlation_of_everything),
    ),
    "signal chosen on test": PlantedLeak(
        "of six signals the best one on the test split is used",
        ("statistic",),
        engine(alter=_signal_chosen_on_test, features=MOVES_ONLY),
    ),
    "early stopping on test": PlantedLeak(
        "training stops where the test split is fitted best",
        ("statistic",),
        engine(alter=_stopped_early_on_test, features=MOVES_ONLY),
    ),
    "survivors": PlantedLeak("the instrument that will rise most is traded", ("episode",), engine(_survivors)),
    "future volatility": PlantedLeak(
        "positions are sized by the range of the bar to come",
        ("position", "observation"),
        engine(alter=_future_volatility),
    ),
    "reward a bar early": PlantedLeak(
        "an exposure is paid with the move after the one it was held for", ("reward",), engine(_paid_early)
    ),
    "same-bar fill": PlantedLeak(
        "orders are filled at the close they were decided at",
        ("fill",),
        engine(specialist, rewire=_filled_at_the_close_seen),
    ),
}
"""Planted leaks by name."""
