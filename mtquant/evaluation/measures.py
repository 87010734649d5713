"""Name, unit and definition of every measure a summary holds, and how numbers are written for people."""

import math
from dataclasses import dataclass
from typing import Literal

from mtquant.evaluation.statistics import Interval

Unit = Literal["ratio", "percent", "utility", "count", "probability", "years"]


@dataclass(frozen=True)
class Measure:
    """How one measure is shown and what it means."""

    label: str
    unit: Unit
    definition: str


MEASURES: dict[str, Measure] = {
    "sharpe": Measure("Sharpe ratio", "ratio", "Annualised mean over deviation of daily net returns."),
    "sharpe_standard_error": Measure(
        "Standard error of the Sharpe ratio", "ratio", "With skew and kurtosis, days taken as independent."
    ),
    "sortino": Measure("Sortino ratio", "ratio", "Annualised mean over the root mean square of losses."),
    "calmar": Measure("Calmar ratio", "ratio", "Compound growth per year over the deepest drawdown."),
    "annual_return": Measure("Net return per year", "percent", "Arithmetic mean, after costs."),
    "annual_growth": Measure("Growth per year", "percent", "Compound, after costs."),
    "annual_volatility": Measure("Volatility per year", "percent", "Deviation of daily net returns."),
    "max_drawdown": Measure("Deepest drawdown", "percent", "Largest loss from a peak in any pass, bar by bar."),
    "win_rate": Measure(
        "Win rate", "percent", "Share of windows (of the stated horizon, not overlapping, with a position) above zero."
    ),
    "win_horizon_bars": Measure("Horizon of the win rate, bars", "count", "Length of a window."),
    "profit_factor": Measure("Profit factor", "ratio", "Daily gains over daily losses."),
    "utility": Measure(
        "Realised utility per bar", "utility", "Net return less the risk penalty (g/2) x'Rx, in units of bar risk u0."
    ),
    "sharpe.worst_pass": Measure("Sharpe ratio of the worst pass", "ratio", "Where there are several passes."),
    "sharpe.best_pass": Measure("Sharpe ratio of the best pass", "ratio", "Where there are several passes."),
    "worst_year": Measure("Worst year", "percent", "Net return of the worst full year from the start of a pass."),
    "years_above_zero": Measure("Years above zero", "percent", "Share of those years that earned something."),
    "years": Measure("Years", "years", "Length of all passes together."),
    "passes": Measure("Passes", "count", "Independent test histories or segments."),
    "passes_ruined": Measure("Passes ruined", "count", "Accounts closed before their end."),
    "var_compliance": Measure(
        "VaR compliance, ex ante", "percent", "Share of bars whose value at risk was within the limit."
    ),
    "var_mean": Measure("Value at risk, mean", "percent", "Ex ante, per day, share of equity."),
    "var_max": Measure("Value at risk, largest", "percent", "Ex ante, per day, share of equity."),
    "var_exceeded": Measure("Days that lost more than their VaR", "percent", "Realised; of days with risk."),
    "var_exceeded_expected": Measure("The same, expected", "percent", "One less the confidence; fewer is no better."),
    "var_kupiec_p": Measure(
        "p that both agree (Kupiec)",
        "probability",
        "Small: VaR and losses disagree; a positive mean alone makes losses rarer.",
    ),
    "var_limit_exceeded": Measure("Days that lost more than the VaR limit", "percent", "Realised; of all days."),
    "correlation_exposure_mean": Measure("Correlation exposure, mean", "ratio", "Weighted correlation of pairs."),
    "correlation_exposure_max": Measure("Correlation exposure, largest", "ratio", "Largest of any bar."),
    "turnover": Measure("Turnover per year", "ratio", "Sum of exposure changes, in units of exposure 1."),
    "gross_per_year": Measure("Gross return per year", "percent", "Before costs, arithmetic."),
    "cost_per_year": Measure("Costs per year", "percent", "Of equity, arithmetic."),
    "cost_share_of_gross": Measure("Costs as a share of gross", "percent", "Undefined where gross is not above zero."),
    "gross_exposure": Measure("Mean sum of exposures", "ratio", "Sum of |x|, in units of exposure 1."),
    "ex_ante_volatility": Measure("Volatility per year, ex ante", "percent", "From exposures and train correlations."),
    "hit_rate": Measure("Hit rate of positions", "percent", "Share of held instrument bars with a gross gain."),
    "projection_share": Measure("Bars on which the risk layer acted", "percent", "Wanted exposure was cut."),
    "projection_mean": Measure("Exposure cut per bar", "ratio", "Mean L1 distance of wanted and allowed exposure."),
    "breaker_share": Measure("Bars under a circuit breaker", "percent", "At least one breaker active."),
    "stops_per_year": Measure("Stop-losses per year", "ratio", "All instruments together."),
    "specialists_effective": Measure("Effective number of specialists", "ratio", "exp(entropy) of the risk shares."),
    "appetite_mean": Measure("Risk appetite, mean", "ratio", "Decided by the meta-controller, 0 to 1."),
    "allocation_efficiency": Measure(
        "Allocation efficiency", "ratio", "Realised utility over that of equal budgets of the same specialists."
    ),
    "allocation_gain": Measure(
        "Allocation gain per year", "percent", "The difference of the two, as certainty-equivalent return."
    ),
    "specialist.*.active": Measure("active", "percent", "Share of bars with at least 0.05 units of risk."),
    "specialist.*.risk_share": Measure("share of risk", "percent", "Sum of x_g'(Rx) over sum of x'Rx."),
    "specialist.*.sharpe": Measure("Sharpe ratio", "ratio", "Of the group's own daily net profit."),
    "specialist.*.annual_return": Measure("net return per year", "percent", "Of the account's equity."),
    "specialist.*.budget": Measure("mean budget", "ratio", "Scale the meta-controller gave, risk units."),
    "instrument.*.sharpe": Measure("Sharpe ratio", "ratio", "Of the instrument's own daily net profit."),
    "instrument.*.annual_return": Measure("net return per year", "percent", "Of the account's equity."),
}


def measure_of(name: str) -> Measure:
    """Return the measure called `name`; `specialist.forex.active` is found as `specialist.*.active`."""
    if name in MEASURES:
        return MEASURES[name]
    head, _, rest = name.partition(".")
    return MEASURES[f"{head}.*.{rest.rpartition('.')[2]}"]


def label_of(name: str) -> str:
    """Return the label of `name`, with the specialist or instrument it belongs to."""
    label = measure_of(name).label
    return label if name in MEASURES else f"{name.split('.', 1)[1].rpartition('.')[0]}: {label}"


def written(value: float, unit: Unit, *, sign: bool = False) -> str:
    """Write a number for people: percent with one decimal, ratios with three digits, a true minus; NaN is `n/a`."""
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if unit == "probability" and 0.0 <= value < 0.001:
        return "< 0.001"
    scaled = 100.0 * value if unit == "percent" else value
    decimals = {"ratio": 2, "percent": 1, "utility": 4, "count": 0, "probability": 3, "years": 1}[unit]
    if unit == "ratio":
        decimals = 2 if abs(scaled) < 9.995 else 1 if abs(scaled) < 99.95 else 0
    text = f"{abs(scaled):,.{decimals}f}"
    rounded_to_zero = not any(c in "123456789" for c in text)
    mark = "" if rounded_to_zero else "−" if scaled < 0 else "+" if sign else ""
    return f"{mark}{text}{' %' if unit == 'percent' else ''}"


def spanned(interval: Interval, unit: Unit, *, sign: bool = False) -> str:
    """Write the ends of an interval: `1.63 to 2.07`; `no interval` where there is none."""
    if not interval.known:
        return "no interval"
    low = written(interval.low, unit, sign=sign)
    return f"{low.removesuffix(' %')} to {written(interval.high, unit, sign=sign)}"
