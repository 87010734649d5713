"""A trading environment of another package: pandas, discrete actions, its own idea of a reward."""

import gymnasium
import numpy as np
import pandas as pd

from mtquant.data.market import Market
from mtquant.evaluation.causality import Access

FIRST = 20


def table_of(market: Market) -> pd.DataFrame:
    """Return the first instrument's bars as such packages want them."""
    return pd.DataFrame(market.ohlcv[:, 0], columns=["open", "high", "low", "close", "volume"])


class ForeignEnv(gymnasium.Env):
    """Short, flat or long; filled at the next open, paid the profit of the bar; sees two indicators."""

    def __init__(self, table: pd.DataFrame, *, window: int = 10, fill: str = "open") -> None:
        self.table, self.fill = table, fill
        returns = table["close"].pct_change().fillna(0.0)
        mean = returns.rolling(window).mean().fillna(0.0)
        self.seen = np.stack([returns, mean], axis=1)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
        self.action_space = gymnasium.spaces.Discrete(3)
        self.bar, self.position = 0, 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.bar, self.position = int(self.np_random.integers(FIRST, len(self.table) - 80)), 0.0
        return self.seen[self.bar].astype(np.float32), {}

    def step(self, action):
        wanted = float(action) - 1.0
        close, after = self.table["close"], self.table.iloc[self.bar + 1]
        price = after["open"] if self.fill == "open" else close[self.bar]
        paid = self.position * (price - close[self.bar]) + wanted * (after["close"] - price)
        self.position = wanted
        self.bar += 1
        return self.seen[self.bar].astype(np.float32), float(paid), False, self.bar == len(self.table) - 1, {}


ACCESS = Access(bar=lambda env: env.unwrapped.bar, names=("return", "mean return"))
