"""Settings that follow from a planted market: its optimum refers to one payment, one cost and one set of limits."""

from typing import Any, TypeVar

from mtquant.config.agents import Phase1Spec, Phase2Spec, PipelineSpec, RewardSpec
from mtquant.config.spec import Spec
from mtquant.synthetic.factors import FactorLaw, SpreadParams
from mtquant.synthetic.hidden_regime import DESKS, RegimeParams
from mtquant.synthetic.registry import SYNTHETIC, Params, planted_params

S = TypeVar("S", bound=Spec)


def with_objective(spec: PipelineSpec) -> PipelineSpec:
    """Return `spec` with payment and costs of its planted market; bars of your own leave it as it is.

    Only fields that still have their default change, so what was stated otherwise stands; applying it twice
    changes nothing more. Factor markets also switch the limits off and widen the action to what the optimum
    needs, because their optimum is that of an unlimited account; markets with a proportional cost charge it as
    the `flat` profile. On the hidden-regime market the caps are the account's: budgets sum to at most the gross
    cap, the position limit is the only one that can bind, and specialists hold one unit of their one instrument.
    Raises `ConfigError` for unknown parameters of the market.
    """
    if spec.data.source not in SYNTHETIC:
        return spec
    params = planted_params(spec.data.source, spec.data.planted)
    objective = params.objective

    def paid(reward: RewardSpec) -> RewardSpec:
        return _follow(reward, risk_aversion=objective.risk_aversion)

    instruments = {
        symbol: _follow(instrument, impact=objective.impact)
        for symbol, instrument in spec.catalogue.instruments.items()
    }
    return spec.model_copy(
        update={
            "environment": _follow(spec.environment, **_account(params)),
            "limits": _follow(spec.limits, **_limits(params)),
            "catalogue": spec.catalogue.model_copy(update={"instruments": instruments}),
        }
        | {
            phase: settings.model_copy(update={"reward": paid(settings.reward)})
            for phase, settings in (
                ("phase1", _desks(spec, params)),
                ("phase2", _capped(spec, params)),
                ("phase3", spec.phase3),
            )
        }
    )


def _account(params: Params) -> dict[str, Any]:
    """Return what an account of this market is like."""
    account: dict[str, Any] = {"target_volatility": params.objective.target_volatility}
    if isinstance(params, FactorLaw):
        account["target_range"] = params.objective.action_range
    if isinstance(params, SpreadParams):
        account |= {"costs": "flat", "transaction_cost": params.transaction_cost}
    if isinstance(params, RegimeParams):
        # Nothing is gained by moving slowly where trading is free.
        account |= {"target_range": params.objective.action_range, "adjustment_rate": 1.0, "instruments": DESKS}
    return account


def _limits(params: Params) -> dict[str, Any]:
    """Return the risk layer of this market."""
    if isinstance(params, FactorLaw):
        return {"enabled": False}
    if isinstance(params, RegimeParams):
        # The cap on one position in the risk layer's terms; stops and breakers have no place in its optimum.
        return {"max_position_size": 1.0, "position_base": params.position_cap, "stop_loss": "off"}
    return {}


def _desks(spec: PipelineSpec, params: Params) -> Phase1Spec:
    """Return phase 1; on the hidden-regime market specialists hold one unit, because only allocation is tested."""
    return _follow(spec.phase1, constant_exposure=1.0) if isinstance(params, RegimeParams) else spec.phase1


def _capped(spec: PipelineSpec, params: Params) -> Phase2Spec:
    """Return phase 2 with budgets that sum to at most the gross cap and are in force at once."""
    if not isinstance(params, RegimeParams):
        return spec.phase2
    return _follow(spec.phase2, budget_limit=params.gross_cap, budget_smoothing=1.0)


def _follow(spec: S, **values: Any) -> S:
    """Return `spec` with `values` in the fields that still have their default."""
    fields = type(spec).model_fields
    return spec.model_copy(update={n: v for n, v in values.items() if getattr(spec, n) == fields[n].default})
