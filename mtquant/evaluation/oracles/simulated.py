"""A reference policy played by the simulator, as the market's own settings have it."""

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.config.load import load_pipeline
from mtquant.data.dataset import Dataset
from mtquant.envs.games.portfolio import AGENT, PortfolioGame
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.result import BacktestResult
from mtquant.synthetic.planted import Planted
from mtquant.synthetic.settings import with_objective
from mtquant.types import ActFn


def simulate(policy: ActFn, planted: Planted, market: str, warmup: int, *, limits: bool = True) -> BacktestResult:
    """Play every history of the test split once, with the costs and limits that `market` brings.

    Without `limits` the account is unlimited, as closed forms have it. Exposures are measured with the true
    volatility; there are no features.
    """
    symbols = ", ".join(planted.market.symbols)
    settings = (f"data.source={market}", f"environment.instruments=[{symbols}]", f"environment.warmup_steps={warmup}")
    spec: PipelineSpec = with_objective(load_pipeline("default", None, settings))
    if not limits:
        spec = spec.model_copy(update={"limits": spec.limits.model_copy(update={"enabled": False})})
    game = PortfolioGame(_bare(planted), spec)
    return backtest(game, planted.splits.test, {AGENT: policy}, "reference")


def _bare(planted: Planted) -> Dataset:
    market, truth = planted.market, planted.truth
    bars, count = market.close.shape
    return Dataset(
        market,
        planted.splits,
        np.zeros((bars, count, 1), dtype=np.float32),
        ("none",),
        (0,),
        np.zeros(1),
        np.ones(1),
        truth.volatility * market.close,
        truth.correlation,
        np.zeros((bars, 5), dtype=np.float32),
        ("none",) * 5,
        True,
    )
