"""Planted markets by name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from mtquant.context import Streams
from mtquant.errors import ConfigError
from mtquant.registry import did_you_mean
from mtquant.synthetic import embedded, factors, hidden_regime
from mtquant.synthetic.planted import Planted

Params = (
    embedded.EmbeddedParams
    | factors.FactorParams
    | factors.DividedParams
    | factors.SpreadParams
    | hidden_regime.RegimeParams
)
LAWS: dict[str, type[Params]] = {
    "embedded": embedded.EmbeddedParams,
    "factors": factors.FactorParams,
    "divided": factors.DividedParams,
    "spread": factors.SpreadParams,
    "hidden-regime": hidden_regime.RegimeParams,
}
"""Families of planted markets: one parameter record each."""


@dataclass(frozen=True)
class PlantedMarket:
    """One entry: a law and the parameters that make the preset."""

    law: type[Params]
    preset: Mapping[str, Any]
    summary: str

    def params(self, overrides: Mapping[str, Any]) -> Params:
        """Return the parameters of the preset changed by `overrides`."""
        return self.law.model_validate_json(json.dumps({**self.preset, **overrides}))


def _entry(name: str) -> PlantedMarket:
    if name not in SYNTHETIC:
        raise ConfigError(f"Unknown planted market `{name}`.{did_you_mean(name, SYNTHETIC)}")
    return SYNTHETIC[name]


def planted_params(name: str, overrides: Mapping[str, Any]) -> Params:
    """Return the parameters of market `name`; raise `ConfigError` for a name or value it does not know."""
    entry = _entry(name)
    known = entry.law.model_fields
    for key in overrides:
        if key not in known:
            raise ConfigError(f"The planted market `{name}` has no parameter `{key}`.{did_you_mean(str(key), known)}")
    try:
        return entry.params(overrides)
    except (ValidationError, TypeError, ValueError) as error:
        detail = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(str(part) for part in detail["loc"])
        raise ConfigError(
            f"`data.planted.{where}` of the planted market `{name}` was refused: {detail['msg']}."
        ) from error


def build_planted(
    name: str, overrides: Mapping[str, Any], streams: Streams, symbols: Sequence[str] | None = None
) -> Planted:
    """Generate market `name` with `overrides` of its parameters; `symbols` default to all eight.

    Raises `ConfigError` for unknown names or parameters, `DataError` for instruments it does not have.
    """
    params = planted_params(name, overrides)
    if isinstance(params, embedded.EmbeddedParams):
        return embedded.generate(params, streams, symbols)
    if isinstance(params, hidden_regime.RegimeParams):
        return hidden_regime.generate(params, streams, symbols)
    return factors.generate(params, streams, symbols)


def evaluation_paths(planted: Planted, streams: Streams, n_paths: int = 256, n_bars: int = 1150) -> Planted:
    """Generate fresh histories of the same law and instruments for the noise-free score (test split only).

    `n_bars` includes the warm-up. Statistics for features (volatility, means) must come from the trained market.
    """
    params = planted.truth.params
    if isinstance(params, embedded.EmbeddedParams):
        return embedded.generate_paths(params, streams, n_paths, n_bars, planted.truth.symbols)
    if isinstance(params, hidden_regime.RegimeParams):
        return hidden_regime.generate_paths(params, streams, n_paths, n_bars, planted.truth.symbols)
    if isinstance(params, factors.FactorLaw):
        return factors.generate_paths(params, streams, n_paths, n_bars, planted.truth.symbols)
    raise ConfigError(f"Parameters of type `{type(params).__name__}` belong to no planted market.")


_EMBEDDED, _FACTORS, _SPREAD = LAWS["embedded"], LAWS["factors"], LAWS["spread"]
_BASE = {"loading": 0.07, "risk_aversion_per_bar": 0.10, "impact": 1.0}

SYNTHETIC: dict[str, PlantedMarket] = {
    "embedded": PlantedMarket(_EMBEDDED, {}, "signals in prices, hidden regimes, eight correlated instruments"),
    "embedded-null": PlantedMarket(_EMBEDDED, {"edge_scale": 0.0}, "the same without any signal: nothing can be won"),
    "embedded-no-regimes": PlantedMarket(_EMBEDDED, {"regimes": False}, "every group has the same edge at all times"),
    "embedded-independent": PlantedMarket(_EMBEDDED, {"correlation_scale": 0.0}, "uncorrelated instruments"),
    "embedded-flat": PlantedMarket(
        _EMBEDDED, {"regimes": False, "correlation_scale": 0.0}, "no regimes, no correlation: later phases gain nothing"
    ),
    "embedded-hourly": PlantedMarket(
        _EMBEDDED,
        {"timeframe": "H1", "bars_per_year": 6240.0, "impact": 0.8 / 24**0.5, "edge_scale": 1.0 / 24**0.5},
        "the same annual Sharpe ratios with an hourly label; needs 24 times the data",
    ),
    "gp-easy": PlantedMarket(_FACTORS, {}, "two shown signals per instrument, strong edge"),
    "gp-base": PlantedMarket(_FACTORS, _BASE, "two shown signals per instrument, weak edge"),
    "gp-joint": PlantedMarket(
        _FACTORS,
        # The joint optimum's positions have a standard deviation of 1.6 and reach 7.
        {**_BASE, "loading": 0.10, "correlation": 0.5, "action_range": 6.0},
        "shown signals, correlated shocks: joint trading wins",
    ),
    "gp-divided": PlantedMarket(LAWS["divided"], {}, "three shown signals, one for each agent of a team"),
    "spread": PlantedMarket(_SPREAD, {}, "one shown signal, proportional costs that a cost-blind trader cannot afford"),
    "spread-narrow": PlantedMarket(_SPREAD, {"spread": 0.05}, "half the costs: ignoring them loses a tenth"),
    "spread-slow": PlantedMarket(_SPREAD, {"spread": 0.02, "phi_signal": 0.02}, "small costs, a slow signal"),
    "hidden-regime": PlantedMarket(
        LAWS["hidden-regime"], {}, "no signal but a noisy report on a regime that moves the means of the groups"
    ),
    "no-signal": PlantedMarket(_FACTORS, {"loading": 0.0}, "the shown signals predict nothing"),
}
