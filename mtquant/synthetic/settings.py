"""Settings that follow from a planted market: its optimum refers to one payment, one cost and one set of limits."""

from typing import Any, TypeVar

from mtquant.config.agents import PipelineSpec, RewardSpec
from mtquant.config.spec import Spec
from mtquant.synthetic.factors import FactorParams
from mtquant.synthetic.registry import SYNTHETIC, planted_params

S = TypeVar("S", bound=Spec)


def with_objective(spec: PipelineSpec) -> PipelineSpec:
    """Return `spec` with payment and costs of its planted market; bars of your own leave it as it is.

    Only fields that still have their default change, so what was stated otherwise stands; applying it twice
    changes nothing more. Markets of the factor law also switch the limits off and widen the action to what the
    optimum needs, because their optimum is that of an unlimited account. Raises `ConfigError` for unknown
    parameters of the market.
    """
    if spec.data.source not in SYNTHETIC:
        return spec
    params = planted_params(spec.data.source, spec.data.planted)
    objective = params.objective
    unlimited = isinstance(params, FactorParams)

    def paid(reward: RewardSpec) -> RewardSpec:
        return _follow(reward, risk_aversion=objective.risk_aversion)

    environment = _follow(spec.environment, target_volatility=objective.target_volatility)
    if unlimited:
        environment = _follow(environment, target_range=objective.action_range)
    instruments = {
        symbol: _follow(instrument, impact=objective.impact)
        for symbol, instrument in spec.catalogue.instruments.items()
    }
    return spec.model_copy(
        update={
            "environment": environment,
            "limits": _follow(spec.limits, enabled=False) if unlimited else spec.limits,
            "catalogue": spec.catalogue.model_copy(update={"instruments": instruments}),
        }
        | {
            phase: settings.model_copy(update={"reward": paid(settings.reward)})
            for phase, settings in (("phase1", spec.phase1), ("phase2", spec.phase2), ("phase3", spec.phase3))
        }
    )


def _follow(spec: S, **values: Any) -> S:
    """Return `spec` with `values` in the fields that still have their default."""
    fields = type(spec).model_fields
    return spec.model_copy(update={n: v for n, v in values.items() if getattr(spec, n) == fields[n].default})
