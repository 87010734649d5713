"""The evaluation unit: out-of-sample passes of every phase, baselines, shares of the optimum, report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.hierarchy import Hierarchy, Trained, load_trained
from mtquant.config.agents import PipelineSpec
from mtquant.config.load import to_yaml
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.data.splits import Split, between
from mtquant.envs.games.portfolio import AGENT, PortfolioGame
from mtquant.envs.games.single_agent import AGENT as SINGLE
from mtquant.envs.games.single_agent import SingleAgentGame
from mtquant.evaluation.alarms import alarms
from mtquant.evaluation.assess import Assessor, measured_by_phase
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.baselines import BASELINES, BaselineSetting
from mtquant.evaluation.content import Assessed, LearningCurve, MarketNote, ReportContent, ShareRow
from mtquant.evaluation.days import DAYS, write_days
from mtquant.evaluation.luck import Luck, judge_luck, random_sharpes
from mtquant.evaluation.report import write_report
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.saving import save_results
from mtquant.evaluation.series import Measuring
from mtquant.evaluation.statistics import Interval
from mtquant.evaluation.targets import Target, documented_targets, judge
from mtquant.execution.attributing import attribute_profit
from mtquant.execution.choosing import CHOICE, Choice, choose_phase, judge_phases
from mtquant.execution.counting import POLICY, count_trial
from mtquant.execution.explaining import EXPLANATION, explain_decisions
from mtquant.execution.robustness import measure_robustness
from mtquant.execution.share_rows import share_rows
from mtquant.registry import build
from mtquant.store.files import write_atomic
from mtquant.store.fold_names import fold_of
from mtquant.store.journal import Journal, headline
from mtquant.store.promotions import DEPLOYED
from mtquant.store.units import UnitHandle, UnitResult, UnitSpec
from mtquant.synthetic import SYNTHETIC

TITLES = {
    "phase1": "Phase 1: specialists at equal budgets",
    "phase2": "Phase 2: learned allocation",
    "phase3": "Phase 3: joint fine-tuning",
    "no-peers": "Control: joint training, equal steps, without peers",
    SINGLE: "Control: one policy over all instruments, equal steps",
}
CONTROLS = ("no-peers", SINGLE)


def evaluate(spec: PipelineSpec, unit: UnitSpec, folders: dict[str, Path], handle: UnitHandle) -> UnitResult:
    """Open the split once, measure everything on the same bars and write the report."""
    dataset = Dataset.load(folders["dataset-market"] / "dataset")
    trained = load_trained(spec, dataset, folders)
    split = tested(spec, dataset)
    # a fold is traded with what validation chose; a single training shows its last phase
    choice = None if fold_of(unit.name) is None else choose_phase(spec, dataset, trained, handle.streams)
    agent = trained.hierarchies[2 if choice is None else choice.chosen - 1]
    results = {h.name: h.backtest(dataset, spec, split) for h in trained.hierarchies}
    results |= _single_agent(spec, dataset, split, folders)
    setting = _baseline_setting(spec, dataset, results[agent.name], handle.streams)
    baselines, remarks = _baselines(spec, dataset, setting)
    measuring = Measuring.of(spec, dataset)
    measured = [*results.values(), *baselines.values()]
    assessor = Assessor(measured, measuring, handle.streams, samples=spec.evaluation.bootstrap_samples)
    phases = assess_phases(assessor, results)
    controls = [assessor.assess(results[name], title=TITLES[name]) for name in CONTROLS if name in results]
    shares = share_rows(spec, dataset, trained, handle.streams) if spec.data.source in SYNTHETIC else ()
    promotions, deployed = judge_phases(assessor, phases)
    policy = str(unit.inputs["upstream"][POLICY])
    content = ReportContent(
        title=f"mtquant: {Path(spec.data.source).name}, {dataset.market.timeframe}",
        run_id=unit.key[:12],
        command="mtquant train --config config.yaml",
        market=market_note(spec, dataset),
        phases=tuple(phases),
        baselines=assess_baselines(assessor, baselines, remarks),
        controls=tuple(controls),
        shares=tuple(shares),
        promotions=(*promotions, *(assessor.promotion(phases[2], control) for control in controls)),
        targets=judge(documented(spec), measured_by_phase(phases)),
        curves=_curves(folders),
        alarms=_alarms(folders),
        # a fold is a part of a trial, which the report over all folds counts
        search=None if choice else count_trial(spec, unit, handle, assessor, results["phase3"], policy),
        fan=assessor.fan(results[agent.name]),
        superiority=assessor.superiority(results[agent.name], list(baselines.values())),
        luck=_luck(spec, dataset, setting, next(p for p in phases if p.name == agent.name), measuring),
        traded=choice.chosen if choice else None,
        seed=spec.seed,
        notes=_notes(spec, dataset, trained),
    )
    found = _diagnoses(spec, dataset, agent, trained.budget, results | baselines, assessor)
    content = replace(content, **found, **_explained(spec, dataset, agent, handle))
    outputs = write_report(content, handle.outputs)
    write_atomic(handle.outputs / "config.yaml", to_yaml(spec).encode())
    _write_messages(results[agent.name], handle.outputs / "messages.parquet")
    write_days(handle.outputs / DAYS, measured, assessor.clock, measuring, spec.evaluation.split)
    if choice is not None:
        _save_fold(handle.outputs, measured, choice)
    return UnitResult(headline_figures(phases, shares) | {DEPLOYED: float(deployed)}, outputs)


def _save_fold(folder: Path, measured: Sequence[BacktestResult], choice: Choice) -> None:
    """Write what the report over all folds pools."""
    save_results(folder, measured)
    write_atomic(folder / CHOICE, json.dumps(asdict(choice), indent=1).encode())


def _diagnoses(
    spec: PipelineSpec,
    dataset: Dataset,
    agent: Hierarchy,
    budget: float,
    results: Mapping[str, BacktestResult],
    assessor: Assessor,
) -> dict[str, Any]:
    """Return where the agent's profit came from and how it bears other circumstances, as far as settings ask."""
    split = tested(spec, dataset)
    found: dict[str, Any] = {}
    if spec.evaluation.attribution:
        found["attribution"] = attribute_profit(agent, dataset, spec, split, results[agent.name], budget)
    if spec.evaluation.robustness:
        shown = {name: results[name] for name in (agent.name, *spec.evaluation.baselines)}
        found["robustness"] = measure_robustness(agent, dataset, spec, split, shown, assessor)
    return found


def _explained(spec: PipelineSpec, dataset: Dataset, agent: Hierarchy, handle: UnitHandle) -> dict[str, Any]:
    """Return what moved the agent's decisions, where settings ask; each decision goes to a file."""
    if not spec.evaluation.explained_bars:
        return {}
    return {"moved": explain_decisions(agent, dataset, spec, tested(spec, dataset), handle.outputs / EXPLANATION)}


def _single_agent(
    spec: PipelineSpec, dataset: Dataset, split: Split, folders: Mapping[str, Path]
) -> dict[str, BacktestResult]:
    """Return the backtest of the control without a hierarchy, where it was trained."""
    folder = folders.get("single-agent")
    if folder is None:
        return {}
    act = PolicyBundle.load(folder / SINGLE).act_fn()
    return {SINGLE: backtest(SingleAgentGame(dataset, spec), split, {SINGLE: act}, SINGLE)}


def tested(spec: PipelineSpec, dataset: Dataset) -> Split:
    """Return the bars to evaluate. Raises `DataError` where days are named that the policies have seen."""
    wanted = spec.evaluation
    if wanted.by_date:
        return between(dataset.market, dataset.splits, wanted.first_day, wanted.last_day)
    return dataset.splits[wanted.split]


def assess_phases(assessor: Assessor, results: Mapping[str, BacktestResult]) -> list[Assessed]:
    """Return phases 1 to 3 with measures and intervals."""
    return [
        assessor.assess(
            results[f"phase{n}"], title=TITLES[f"phase{n}"], phase=n, equal=results["phase1"] if n == 2 else None
        )
        for n in (1, 2, 3)
    ]


def assess_baselines(
    assessor: Assessor, baselines: Mapping[str, BacktestResult], remarks: Mapping[str, str]
) -> tuple[Assessed, ...]:
    """Return the baselines with measures and intervals."""
    return tuple(
        assessor.assess(result, title=name.replace("_", " "), note=remarks[name]) for name, result in baselines.items()
    )


def documented(spec: PipelineSpec) -> tuple[Target, ...]:
    """Return the documents' targets as the settings have them."""
    return documented_targets(spec.phase3.reward.sharpe_target, spec.phase3.reward.max_drawdown_target)


def _baseline_setting(spec: PipelineSpec, dataset: Dataset, agent: BacktestResult, streams: Streams) -> BaselineSetting:
    return BaselineSetting(
        dataset,
        dataset.market.symbols,
        tested(spec, dataset),
        unit_volatility=spec.environment.target_volatility,
        turnover=float(np.abs(agent.trade).sum(axis=2)[agent.alive].mean()),
        rng=streams.rng("evaluation", "random"),
    )


def _luck(
    spec: PipelineSpec, dataset: Dataset, setting: BaselineSetting, agent: Assessed, measuring: Measuring
) -> Luck | None:
    game = PortfolioGame(dataset, spec)
    drawn = random_sharpes(game, setting.split, setting, measuring, spec.evaluation.random_draws)
    return judge_luck(agent.summary["sharpe"], drawn)


def _baselines(
    spec: PipelineSpec, dataset: Dataset, setting: BaselineSetting
) -> tuple[dict[str, BacktestResult], dict[str, str]]:
    """Return the baselines' passes over the split and what a reader has to know about each."""
    split = setting.split
    out, notes = {}, {}
    for name in spec.evaluation.baselines:
        policy = build(BASELINES, {"name": name, "setting": setting}, "baseline")
        notes[name] = policy.note
        out[name] = backtest(PortfolioGame(dataset, spec), split, {AGENT: policy}, name)
    return out, notes


def _curves(folders: Mapping[str, Path]) -> tuple[LearningCurve, ...]:
    out = []
    for name, folder in folders.items():
        lines = Journal(folder.parent / "metrics.jsonl").read()
        measured = [(line.step, *found) for line in lines if (found := headline(line.metrics))]
        if measured:
            steps, names, values = zip(*measured, strict=True)
            out.append(LearningCurve(name, names[0], np.array(steps, dtype=np.int64), np.array(values)))
    return tuple(out)


def _alarms(folders: Mapping[str, Path]) -> tuple[str, ...]:
    journals = {name: Journal(folder.parent / "metrics.jsonl").read() for name, folder in folders.items()}
    return tuple(f"{name}: {alarm}" for name, lines in journals.items() for alarm in alarms(lines))


def market_note(spec: PipelineSpec, dataset: Dataset) -> MarketNote:
    """Return which bars were traded."""
    costs = spec.environment.costs
    if costs == "auto":
        costs = "planted" if dataset.planted else "realistic"
    source = spec.data.source if dataset.planted else Path(spec.data.source).name
    return MarketNote(
        source,
        dataset.planted,
        dataset.market.timeframe,
        spec.evaluation.split,
        costs,
        dataset.provenance,
        dataset.warnings,
    )


def _notes(spec: PipelineSpec, dataset: Dataset, trained: Trained) -> tuple[str, ...]:
    return (
        f"Phase 1 is shown at the common budget {trained.budget:.2f}, fitted on the validation split.",
        f"Macro block of the meta-controller: {', '.join(dataset.macro_names)}.",
        f"Limits are read as {spec.limits.reading.replace('_', ' ')}; stop-loss of phases 1 and 2: "
        f"{spec.limits.stop_loss}, of phase 3: {spec.limits.joint_stop_loss}.",
    )


def headline_figures(phases: Sequence[Assessed], shares: Sequence[ShareRow]) -> dict[str, float]:
    """Return the figures of an evaluation's marker: per phase with their intervals, and shares of the optimum."""
    metrics: dict[str, float] = {}
    for assessed in phases:
        for name in ("sharpe", "utility", "max_drawdown", "win_rate"):
            interval: Interval = assessed.intervals[name]
            head = assessed.name if assessed.phase is None else f"phase{assessed.phase}"
            metrics[f"{head}/{name}"] = interval.value
            metrics[f"{head}/{name}_low"] = interval.low
            metrics[f"{head}/{name}_high"] = interval.high
    for found in shares:
        key = found.title.lower().replace(", ", "_").replace(" ", "_")
        metrics |= {f"share/{key}": found.share.value, f"share/{key}_low": found.share.low}
    return metrics


def _write_messages(result: BacktestResult, path: Path) -> None:
    """Write what the agents said to each other in every bar: the audit log of the last phase."""
    assert result.budgets is not None
    assert result.appetite is not None
    assert result.books is not None
    alive = result.alive
    columns: dict[str, object] = {
        "time": pd.to_datetime(result.time[alive], utc=True),
        "segment": np.broadcast_to(np.arange(alive.shape[1]), alive.shape)[alive],
        "appetite": result.appetite[alive],
    }
    columns |= {f"budget.{g}": result.budgets[..., i][alive] for i, g in enumerate(result.groups)}
    columns |= {f"book.{s}": result.books[..., k][alive] for k, s in enumerate(result.symbols)}
    columns |= {f"exposure.{s}": result.exposure[..., k][alive] for k, s in enumerate(result.symbols)}
    pd.DataFrame(columns).to_parquet(path, index=False)
