"""The evaluation unit: out-of-sample passes of every phase, baselines, shares of the optimum, report."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mtquant.agents.hierarchy import Trained, load_trained
from mtquant.config.agents import PipelineSpec
from mtquant.config.load import to_yaml
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.envs.games.portfolio import AGENT, PortfolioGame
from mtquant.evaluation.alarms import alarms
from mtquant.evaluation.assess import Assessor, measured_by_phase
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.baselines import BASELINES, BaselineSetting
from mtquant.evaluation.content import Assessed, LearningCurve, MarketNote, Promotion, ReportContent, ShareRow
from mtquant.evaluation.days import DAYS, write_days
from mtquant.evaluation.report import write_report
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import Measuring
from mtquant.evaluation.statistics import Interval
from mtquant.evaluation.targets import documented_targets, judge
from mtquant.execution.share_rows import share_rows
from mtquant.registry import build
from mtquant.store.files import write_atomic
from mtquant.store.journal import Journal, headline
from mtquant.store.promotions import DEPLOYED
from mtquant.store.units import UnitHandle, UnitResult, UnitSpec
from mtquant.synthetic import SYNTHETIC

TITLES = {
    "phase1": "Phase 1: specialists at equal budgets",
    "phase2": "Phase 2: learned allocation",
    "phase3": "Phase 3: joint fine-tuning",
    "no-peers": "Control: joint training, equal steps, without peers",
}


def evaluate(spec: PipelineSpec, unit: UnitSpec, folders: dict[str, Path], handle: UnitHandle) -> UnitResult:
    """Open the split once, measure everything on the same bars and write the report."""
    dataset = Dataset.load(folders["dataset-market"] / "dataset")
    trained = load_trained(spec, dataset, folders)
    split = dataset.splits[spec.evaluation.split]
    hierarchies = [trained.phase1, trained.phase2, trained.phase3, *([trained.control] if trained.control else [])]
    results = {h.name: h.backtest(dataset, spec, split) for h in hierarchies}
    baselines, remarks = _baselines(spec, dataset, results["phase3"], handle.streams)
    measuring = Measuring.of(spec, dataset)
    measured = [*results.values(), *baselines.values()]
    assessor = Assessor(measured, measuring, handle.streams, samples=spec.evaluation.bootstrap_samples)
    phases = [
        assessor.assess(
            results[f"phase{n}"], title=TITLES[f"phase{n}"], phase=n, equal=results["phase1"] if n == 2 else None
        )
        for n in (1, 2, 3)
    ]
    controls = [assessor.assess(results["no-peers"], title=TITLES["no-peers"])] if trained.control else []
    shares = share_rows(spec, dataset, trained, handle.streams) if spec.data.source in SYNTHETIC else ()
    targets = documented_targets(spec.phase3.reward.sharpe_target, spec.phase3.reward.max_drawdown_target)
    promotions, deployed = judge_phases(assessor, phases)
    content = ReportContent(
        title=f"mtquant: {Path(spec.data.source).name}, {dataset.market.timeframe}",
        run_id=unit.key[:12],
        command="mtquant train --config config.yaml",
        market=_market_note(spec, dataset),
        phases=tuple(phases),
        baselines=tuple(
            assessor.assess(result, title=name.replace("_", " "), note=remarks[name])
            for name, result in baselines.items()
        ),
        controls=tuple(controls),
        shares=tuple(shares),
        promotions=(*promotions, *(assessor.promotion(phases[2], control) for control in controls)),
        targets=judge(targets, measured_by_phase(phases)),
        curves=_curves(folders),
        alarms=_alarms(folders),
        seed=spec.seed,
        notes=_notes(spec, dataset, trained),
    )
    outputs = write_report(content, handle.outputs)
    write_atomic(handle.outputs / "config.yaml", to_yaml(spec).encode())
    _write_messages(results["phase3"], handle.outputs / "messages.parquet")
    write_days(handle.outputs / DAYS, measured, assessor.clock, measuring, spec.evaluation.split)
    return UnitResult(_headline(phases, shares) | {DEPLOYED: float(deployed)}, outputs)


def judge_phases(assessor: Assessor, phases: Sequence[Assessed]) -> tuple[tuple[Promotion, ...], int]:
    """Return the comparisons of phases 1 to 3 and the number of the one that deploys: the last that earned its place.

    Phase 1 is the specialists at equal budgets. Where phase 2 is not better than that, phase 3 has to beat both.
    """
    second = assessor.promotion(phases[1], phases[0])
    third = assessor.promotion(phases[2], phases[1])
    if second.earned:
        return (second, third), 3 if third.earned else 2
    over_first = assessor.promotion(phases[2], phases[0])
    return (second, third, over_first), 3 if third.earned and over_first.earned else 1


def _baselines(
    spec: PipelineSpec, dataset: Dataset, agent: BacktestResult, streams: Streams
) -> tuple[dict[str, BacktestResult], dict[str, str]]:
    """Return the baselines' passes over the split and what a reader has to know about each."""
    split = dataset.splits[spec.evaluation.split]
    turnover = float(np.abs(agent.trade).sum(axis=2)[agent.alive].mean())
    setting = BaselineSetting(
        dataset,
        dataset.market.symbols,
        split,
        unit_volatility=spec.environment.target_volatility,
        turnover=turnover,
        rng=streams.rng("evaluation", "random"),
    )
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


def _market_note(spec: PipelineSpec, dataset: Dataset) -> MarketNote:
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


def _headline(phases: list[Assessed], shares: tuple[ShareRow, ...]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for assessed in phases:
        for name in ("sharpe", "utility", "max_drawdown", "win_rate"):
            interval: Interval = assessed.intervals[name]
            metrics[f"phase{assessed.phase}/{name}"] = interval.value
            metrics[f"phase{assessed.phase}/{name}_low"] = interval.low
            metrics[f"phase{assessed.phase}/{name}_high"] = interval.high
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
