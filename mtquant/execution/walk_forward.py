"""The report over all folds of a walk-forward: their tested bars, side by side, as one result."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mtquant import metrics
from mtquant.config.agents import PipelineSpec
from mtquant.config.load import to_yaml
from mtquant.data.folds import paths_of
from mtquant.errors import StoreError
from mtquant.evaluation.assess import Assessor, measured_by_phase
from mtquant.evaluation.content import Assessed, MarketNote, ReportContent
from mtquant.evaluation.days import DAYS, write_days
from mtquant.evaluation.explanation import pool_moved
from mtquant.evaluation.folded import (
    pool_attributions,
    pool_curves,
    pool_robustness,
    read_attribution,
    read_moved,
    read_robustness,
)
from mtquant.evaluation.pooling import FoldRow, path_sharpes, pool, pooled_measuring
from mtquant.evaluation.report import write_report
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.saving import load_result, result_names
from mtquant.evaluation.series import by_day
from mtquant.evaluation.statistics import Interval
from mtquant.evaluation.targets import judge
from mtquant.execution.choosing import CHOICE, Choice, judge_phases, measuring_of
from mtquant.execution.counting import POLICY, count_trial
from mtquant.execution.evaluating import CONTROLS, TITLES, assess_baselines, assess_phases, documented, headline_figures
from mtquant.store.digests import digest_json
from mtquant.store.files import write_atomic
from mtquant.store.fold_names import fold_name
from mtquant.store.promotions import DEPLOYED
from mtquant.store.units import UnitHandle, UnitResult, UnitSpec, read_spec
from mtquant.types import Float

CHOSEN = "chosen"


@dataclass(frozen=True)
class Fold:
    """What one fold's evaluation left."""

    number: int
    folder: Path
    choice: Choice
    report: dict[str, Any]
    """Its `report.json`."""
    policy: str
    """Key of the last phase it measured."""

    @classmethod
    def read(cls, number: int, folder: Path) -> "Fold":
        """Read a fold. Raises `StoreError` where a file is damaged."""
        try:
            choice = Choice(**json.loads((folder / CHOICE).read_bytes()))
            report = json.loads((folder / "report.json").read_bytes())
            policy = str(read_spec(folder.parent).inputs["upstream"][POLICY])
            return cls(number, folder, choice, report, policy)
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(f"The fold in {folder} cannot be read: {error}. Run `mtquant resume`.") from error

    def result(self, name: str) -> BacktestResult:
        """Return one backtest of the fold; `chosen` is that of the phase that validation chose."""
        return load_result(self.folder, f"phase{self.choice.chosen}" if name == CHOSEN else name)


def evaluate_folds(spec: PipelineSpec, unit: UnitSpec, folders: dict[str, Path], handle: UnitHandle) -> UnitResult:
    """Pool what the folds measured and write the report; nothing is traded again."""
    folds = [Fold.read(number, folders[fold_name("evaluate-report", number)]) for number in _numbers(spec)]
    names = (*result_names(folds[0].folder), CHOSEN)
    passes = [fold.result(CHOSEN).alive.shape[1] for fold in folds]
    results = {name: pool(name, [fold.result(name) for fold in folds]) for name in names}
    measuring = pooled_measuring([measuring_of(fold.choice.measuring) for fold in folds])
    assessor = Assessor(list(results.values()), measuring, handle.streams, samples=spec.evaluation.bootstrap_samples)
    phases = assess_phases(assessor, results)
    chosen = assessor.assess(
        results[CHOSEN], title="The walk-forward", note="In every fold the phase that validation chose."
    )
    controls = [assessor.assess(results[name], title=TITLES[name]) for name in CONTROLS if name in results]
    baselines = {name: results[name] for name in spec.evaluation.baselines}
    told = {entry["name"]: entry["note"] for entry in folds[-1].report["baselines"]}
    content = ReportContent(
        title=folds[-1].report["title"].replace("mtquant: ", "mtquant: walk-forward, "),
        run_id=unit.key[:12],
        command="mtquant train --walk-forward --config config.yaml",
        market=_market(folds[-1].report["market"]),
        phases=tuple(phases),
        baselines=assess_baselines(assessor, baselines, told),
        controls=tuple(controls),
        promotions=(*judge_phases(assessor, phases)[0], *(assessor.promotion(chosen, control) for control in controls)),
        targets=judge(documented(spec), measured_by_phase(phases)),
        chosen=chosen,
        folds=_rows(folds, passes, (chosen, *phases), assessor),
        paths=_paths(spec, (chosen, *phases), assessor),
        search=count_trial(spec, unit, handle, assessor, results[CHOSEN], digest_json([fold.policy for fold in folds])),
        curves=pool_curves([fold.report["curves"] for fold in folds]),
        alarms=tuple(f"fold {fold.number}, {alarm}" for fold in folds for alarm in fold.report["alarms"]),
        fan=assessor.fan(results[CHOSEN]),
        **_diagnoses(folds, passes),
        superiority=assessor.superiority(results[CHOSEN], list(baselines.values())),
        seed=spec.seed,
        notes=(_scheme(spec),),
    )
    outputs = write_report(content, handle.outputs)
    write_atomic(handle.outputs / "config.yaml", to_yaml(spec).encode())
    write_days(handle.outputs / DAYS, list(results.values()), assessor.clock, measuring, spec.evaluation.split)
    # The policies of the last fold have seen the newest bars; they are the ones that are exported.
    deployed = {DEPLOYED: float(folds[-1].choice.chosen)}
    return UnitResult(headline_figures([*phases, chosen], ()) | deployed, outputs)


def _diagnoses(folds: Sequence[Fold], passes: Sequence[int]) -> dict[str, Any]:
    """Return the folds' attributions and robustness put together, where they have them."""
    found: dict[str, Any] = {}
    reports = [fold.report for fold in folds]
    if all(report["attribution"] for report in reports):
        parts = [read_attribution(report["attribution"]) for report in reports]
        found["attribution"] = pool_attributions(parts, passes, CHOSEN)
    found["moved"] = pool_moved([read_moved(report["moved"]) for report in reports])
    if all(report["robustness"] for report in reports):
        found["robustness"] = pool_robustness([read_robustness(report["robustness"]) for report in reports], CHOSEN)
    return found


def _numbers(spec: PipelineSpec) -> range:
    return range(1, spec.walk_forward.count + 1)


def _market(found: Mapping[str, Any]) -> MarketNote:
    return MarketNote(**{**found, "warnings": tuple(found["warnings"])})


def _daily(entry: Assessed, assessor: Assessor) -> list[Float]:
    return by_day(entry.result, assessor.clock, assessor.measuring).returns


def _rows(
    folds: Sequence[Fold], passes: Sequence[int], entries: Sequence[Assessed], assessor: Assessor
) -> tuple[FoldRow, ...]:
    daily = {entry.name: _daily(entry, assessor) for entry in entries}
    year, free = assessor.clock.days_per_year, assessor.measuring.risk_free_rate
    rows, first = [], 0
    for fold, count in zip(folds, passes, strict=True):
        own = {name: np.concatenate(found[first : first + count]) for name, found in daily.items()}
        rows.append(
            FoldRow(
                fold=fold.number,
                **fold.choice.periods,
                chosen=fold.choice.chosen,
                gains=tuple(Interval(**gain) for gain in fold.choice.gains),
                sharpe={name: float(metrics.sharpe(returns, year, free)) for name, returns in own.items()},
            )
        )
        first += count
    return tuple(rows)


def _paths(spec: PipelineSpec, entries: Sequence[Assessed], assessor: Assessor) -> dict[str, tuple[float, ...]]:
    """Return the Sharpe ratios of the paths of combinatorial folds; nothing for others."""
    walk = spec.walk_forward
    if walk.scheme != "combinatorial":
        return {}
    tested = list(combinations(range(walk.groups), walk.test_groups))
    paths = paths_of(walk.groups, walk.test_groups)
    year = assessor.clock.days_per_year
    return {entry.short: tuple(path_sharpes(_daily(entry, assessor), paths, tested, year)) for entry in entries}


def _scheme(spec: PipelineSpec) -> str:
    walk = spec.walk_forward
    if walk.scheme == "combinatorial":
        return (
            f"{walk.count} combinations of {walk.test_groups} of {walk.groups} groups of bars, each tested once by "
            "policies trained on the rest; every bar is tested several times, so the pooled figures repeat it."
        )
    seen = "all bars before it" if walk.scheme == "anchored" else "as many bars before it as the first fold has"
    return (
        f"{walk.folds} folds, {walk.scheme}: each test block was traded once, by policies trained on {seen}. Utilities "
        "and risks use the average over folds of the correlations and volatilities of the train splits."
    )
