"""Backtests and reports made of random numbers, for tests of what is computed from them."""

from dataclasses import replace

import numpy as np

from mtquant.context import Streams
from mtquant.evaluation.assess import Assessor, measured_by_phase
from mtquant.evaluation.attribution import Attribution
from mtquant.evaluation.content import LearningCurve, MarketNote, ReportContent, ShareRow
from mtquant.evaluation.explanation import Moved
from mtquant.evaluation.fan import equity_fan
from mtquant.evaluation.luck import Luck
from mtquant.evaluation.overfitting import Overfitting
from mtquant.evaluation.pooling import FoldRow
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import Measuring
from mtquant.evaluation.skill import judge_skill
from mtquant.evaluation.statistics import Interval
from mtquant.evaluation.stress import CostPoint, Robustness, Stressed, Window
from mtquant.evaluation.superiority import Superiority
from mtquant.evaluation.targets import documented_targets, judge
from mtquant.evaluation.trials import Search
from mtquant.types import Float

SYMBOLS = ("EURUSD", "GBPUSD", "XAUUSD", "WTIUSD", "SPX500")
GROUPS = ("forex", "commodities", "equity")
GROUP_OF = (0, 0, 1, 1, 2)
BARS_PER_YEAR = 260.0
UNIT_RISK = 0.10 / np.sqrt(BARS_PER_YEAR)
DAY = 86_400_000_000_000


def made_correlation(slots: int = len(SYMBOLS)) -> Float:
    """Return a positive definite correlation."""
    correlation = np.full((slots, slots), 0.2)
    np.fill_diagonal(correlation, 1.0)
    return correlation


def made_measuring() -> Measuring:
    """Return the settings of the measures for `made_result`."""
    return Measuring(correlation=made_correlation(), unit_risk=UNIT_RISK)


def made_result(
    name: str,
    seed: int,
    *,
    edge: float = 0.05,
    size: float = 0.5,
    bars: int = 300,
    passes: int = 2,
    meta: bool = False,
    lengths: tuple[int, ...] | None = None,
) -> BacktestResult:
    """Return a backtest whose accounts add up: random exposures that earn `edge` per unit of bar risk.

    The market (shocks) depends on the shape only, so results of the same shape can be paired.
    """
    rng, market = np.random.default_rng(seed), np.random.default_rng(99)
    slots = len(SYMBOLS)
    shocks = market.multivariate_normal(np.zeros(slots), made_correlation(), size=(bars, passes))
    noise = rng.standard_normal((bars, passes, slots))
    exposure = size * np.where(rng.random(shocks.shape) < 0.5 + edge, np.sign(shocks), -np.sign(shocks))
    exposure = 0.8 * exposure + 0.2 * size * noise
    alive = np.ones((bars, passes), dtype=bool)
    for n, length in enumerate(lengths or ()):
        alive[length:, n] = False
    exposure[~alive] = 0.0
    trade = np.diff(exposure, axis=0, prepend=0.0) * alive[:, :, None]
    equity = np.full((bars + 1, passes), 100_000.0)
    gross, cost = np.zeros_like(exposure), np.zeros_like(exposure)
    for t in range(bars):
        unit = (equity[t] * UNIT_RISK)[:, None]
        gross[t] = exposure[t] * shocks[t] * unit
        cost[t] = 0.004 * np.abs(trade[t]) * unit
        equity[t + 1] = equity[t] + (gross[t] - cost[t]).sum(axis=1)
    variance = np.einsum("sni,ij,snj->sn", exposure, made_correlation(), exposure)
    projection = np.where(alive & (rng.random((bars, passes)) < 0.1), rng.random((bars, passes)), 0.0)
    clock = (np.arange(bars)[:, None] + 10_000) * DAY + np.zeros((1, passes), dtype=np.int64)
    budgets = rng.dirichlet(np.ones(len(GROUPS)), size=(bars, passes)) * 2.0 if meta else None
    return BacktestResult(
        name=name,
        symbols=SYMBOLS,
        groups=GROUPS,
        group_of=GROUP_OF,
        time=clock,
        bar=np.arange(bars)[:, None] + np.zeros((1, passes), dtype=np.int64),
        alive=alive,
        equity=equity,
        gross=gross,
        cost=cost,
        exposure=exposure,
        trade=trade,
        value_at_risk=1.645 * UNIT_RISK * np.sqrt(variance),
        projection=projection,
        breaker=(rng.random((bars, passes)) < 0.01).astype(np.int64) * alive,
        stops=(rng.random((bars, passes)) < 0.02).astype(np.int64) * alive,
        bars_per_year=BARS_PER_YEAR,
        budgets=budgets,
        appetite=rng.random((bars, passes)) if meta else None,
    )


def made_share(phase: int, rng: np.random.Generator, group: str = "") -> ShareRow:
    """Return a row of the share of the optimum with random figures."""
    a, b, c, u = rng.uniform(0.3, 0.99, 4)
    return ShareRow(
        f"Phase {phase}" + (f", {group}" if group else ""),
        Interval(0.1 * u, 0.09 * u, 0.11 * u),
        Interval(a, a - 0.02, a + 0.02),
        "the best known allocation of these specialists",
        0.1 * u / a,
        bound=None if group else Interval(b, b - 0.02, b + 0.02),
        bound_utility=None if group else 0.1 * u / b,
        captured=Interval(c, c - 0.03, c + 0.03) if phase > 1 else None,
        previous="equal allocation" if phase > 1 else "",
        phase=phase,
    )


def made_content(
    seed: int = 0,
    *,
    planted: bool = True,
    bars: int = 300,
    passes: int = 2,
    samples: int = 40,
    edges: tuple[float, float, float] = (0.03, 0.06, 0.09),
) -> ReportContent:
    """Return a whole report about backtests of random numbers."""
    rng = np.random.default_rng(seed)
    made = [
        made_result(f"phase{p}", seed + p, edge=edge, bars=bars, passes=passes, meta=p > 1)
        for p, edge in zip((1, 2, 3), edges, strict=True)
    ]
    others = [
        made_result(n, seed + 10 + i, edge=0.0, bars=bars, passes=passes)
        for i, n in enumerate(("buy_and_hold", "momentum", "random"))
    ]
    others.append(made_result("flat", 0, size=0.0, bars=bars, passes=passes))
    assessor = Assessor([*made, *others], made_measuring(), Streams(seed), samples=samples)
    titles = ("Phase 1: specialists, equal budgets", "Phase 2: learned allocation", "Phase 3: joint fine-tuning")
    phases = tuple(
        assessor.assess(r, title=t, phase=i + 1, equal=made[0] if i == 1 else None)
        for i, (r, t) in enumerate(zip(made, titles, strict=True))
    )
    step = np.arange(0, 100_000, 2_000)
    return ReportContent(
        title="Embedded market, default profile",
        run_id=f"2031-02-03-abc{seed}",
        command=f"mtquant train --profile default seed={seed}",
        market=MarketNote(
            "embedded" if planted else "data/raw",
            planted,
            "D1",
            "test",
            "planted" if planted else "realistic",
            {s: f"generated, digest {i:08x}" for i, s in enumerate(SYMBOLS)},
            ("XAUUSD: 3 bars without volume",),
        ),
        phases=phases,
        baselines=tuple(assessor.assess(r, title=r.name.replace("_", " "), note="A rule of thumb.") for r in others),
        shares=(*(made_share(1, rng, group) for group in GROUPS), *(made_share(p, rng) for p in (2, 3)))
        if planted
        else (),
        promotions=(assessor.promotion(phases[1], phases[0]), assessor.promotion(phases[2], phases[1])),
        targets=judge(documented_targets(), measured_by_phase(phases)),
        curves=tuple(
            LearningCurve(u, "utility", step, 0.05 * (1 - np.exp(-step / 3e4)) + 0.002 * rng.standard_normal(len(step)))
            for u in ("phase1-forex", "phase1-commodities", "phase1-equity", "phase2-meta", "phase3-joint")
        ),
        seed=seed,
        notes=("The macro block uses the market's own columns.",),
    )


PLAYERS = ("forex", "allocation", "costs")


def made_whole(seed: int = 3, *, planted: bool = False) -> ReportContent:
    """Return a report with everything in it: folds, paths, luck, attribution, robustness, search."""
    shift = 0.011 * (seed - 3)
    content = made_content(seed, planted=planted, bars=400)
    result = content.phases[-1]
    cells = {p: {"2019": 0.01 * i + shift, "2020": 0.02 - shift} for i, p in enumerate(PLAYERS)}
    by_player = {p: sum(cells[p].values()) for p in PLAYERS}
    stress = Stressed("volatility x 3", 0.1 + shift, 0.02 + shift, 0.3 + shift, -0.08 + shift, 0.01 + shift, 0.0)
    sharpes = {n: s + shift for n, s in (("chosen", 0.4), ("phase1", 0.1), ("phase2", 0.2), ("phase3", 0.4))}
    gains = (Interval(0.01 + shift, -0.01, 0.03), Interval(0.02, 0.01, 0.03 + shift))
    return replace(
        content,
        chosen=replace(result, name="chosen", title="Chosen on validation, fold by fold", phase=None),
        folds=(FoldRow(1, "2010-01-01 to 2012-01-01", "2012", "2013", 3, gains, sharpes),),
        paths={"Phase 3": (0.1 + shift, 0.2, 0.6 + shift)},
        luck=Luck(1000, 0.91 + shift, 0.0, 0.7 + shift),
        fan=equity_fan(result.days.returns, np.random.default_rng(0), samples=50),
        attribution=Attribution("phase3", PLAYERS, sum(by_player.values()), by_player, cells, cells, cells, cells),
        moved=(
            Moved("meta", {"portfolio": 0.7 + shift, "macro": 0.3 - shift}, 40 + round(1000 * shift), 1e-8),
            Moved("forex", {"features": 1.0}, 30, 1e-9),
        ),
        robustness=Robustness(
            "phase3",
            (CostPoint(0.0, 0.5 + shift, 0.05 + shift), CostPoint(5.0, -0.1, -0.01 + shift)),
            4.2 + 10.0 * shift,
            (stress,),
            (Window("pandemic", "2020-02-19", "2020-04-30", 50, {"phase3": -0.07 + shift}),),
        ),
        superiority=Superiority("chosen", 0.31 + shift, ("chosen", "momentum"), {"chosen": 1.0, "momentum": 0.4}),
        search=Search(judge_skill(result.days.returns, 260.0, unlisted=11), 1, Overfitting(2, 12_870, 0.44, 0.4, -0.1)),
    )
