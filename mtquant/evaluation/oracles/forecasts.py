"""Discounted sums of expected edges: all that an optimal policy needs to know of the future."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from mtquant.errors import ConfigError
from mtquant.synthetic.catalogue import CATALOGUE, GROUPS
from mtquant.synthetic.embedded import EmbeddedParams
from mtquant.synthetic.factors import FactorLaw
from mtquant.synthetic.hidden_regime import RegimeParams, filter_regime
from mtquant.synthetic.jump_linear import forecast_loadings
from mtquant.synthetic.observed import by_history, posterior_from_macro, signals_from_closes
from mtquant.synthetic.planted import Planted
from mtquant.types import Float

Information = Literal["filter", "truth", "none"]
"""How the regime is known: filtered from macro columns, told, or not at all."""
Forecast = Callable[[float], Float]
"""From a discount to `[T, K]` sum_k discount^k E_t alpha_{t+k}, k >= 0."""


def forecast(planted: Planted, information: Information) -> Forecast:
    """Return the forecast of a planted market; signals come from its closes (or its shown signal columns)."""
    params = planted.truth.params
    if isinstance(params, EmbeddedParams):
        return _embedded(planted, params, information)
    if isinstance(params, FactorLaw) and planted.signals is not None:
        return _factors(planted.signals, params)
    if isinstance(params, RegimeParams):
        return _means(planted, params, information)
    raise ConfigError(f"There is no reference policy for markets of type `{type(params).__name__}`.")


def beliefs(planted: Planted, information: Information) -> Float:
    """Return `[T, S]` probability of each regime under `information`."""
    states = planted.truth.posterior.shape[1]
    if information == "truth":
        return np.eye(states)[planted.truth.regime]
    params = planted.truth.params
    if information == "filter" and isinstance(params, EmbeddedParams):
        return posterior_from_macro(planted.market, params)
    if information == "filter" and isinstance(params, RegimeParams):
        return filter_regime(params, by_history(planted.market, planted.market.macro[:, 0])).reshape(-1, states)
    return np.full((len(planted.market.time), states), 1.0 / states)


def _embedded(planted: Planted, params: EmbeddedParams, information: Information) -> Forecast:
    truth = planted.truth
    signals = signals_from_closes(planted.market, truth.volatility, params)
    belief = beliefs(planted, information)
    group_of = [GROUPS.index(CATALOGUE[s].group) for s in truth.symbols]

    def discounted(discount: float) -> Float:
        weights = np.einsum("ts,gsf->tgf", belief, forecast_loadings(params, discount))
        total: Float = (weights[:, group_of] * signals).sum(axis=2)
        return total

    return discounted


def _means(planted: Planted, params: RegimeParams, information: Information) -> Forecast:
    belief = beliefs(planted, information)
    group_of = [GROUPS.index(CATALOGUE[s].group) for s in planted.truth.symbols]

    def discounted(discount: float) -> Float:
        ahead = np.linalg.inv(np.eye(belief.shape[1]) - discount * params.transition)
        total: Float = belief @ ahead @ params.means[:, group_of]
        return total

    return discounted


def _factors(signals: Float, params: FactorLaw) -> Forecast:
    def discounted(discount: float) -> Float:
        return signals @ (params.loadings / (1.0 - discount * (1.0 - params.phi)))

    return discounted
