"""The unit graph: which units a run has, in which order, with which keys, and what of it is to be done.

Pure: the same settings and digests give the same units; `plan` reads the store and changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.config.agents import PipelineSpec
from mtquant.config.instruments import InstrumentSpec
from mtquant.errors import DataError, StoreError, UsageError
from mtquant.registry import did_you_mean
from mtquant.store.digests import code_versions
from mtquant.store.explanation import CLOCK, MACRO, SPLITS, differences, explain
from mtquant.store.files import require_folder
from mtquant.store.fold_names import fold_name, names_in_fold
from mtquant.store.units import Unit, UnitSpec, stored_units
from mtquant.synthetic import SYNTHETIC

SCHEMA = 1
"""Format of the key inputs; raising it makes every unit new."""

DATASET, META, JOINT, CONTROL = "dataset-market", "phase2-meta", "phase3-joint", "phase3-no-peers"
SINGLE = "single-agent"
REPORT, ONNX = "evaluate-report", "export-onnx"

_PLAYING = (
    "mtquant.context",
    "mtquant.data",
    "mtquant.sim",
    "mtquant.envs",
    "mtquant.agents.bundle",
    "mtquant.agents.policy",
)
_LEARNING = (
    *_PLAYING,
    "mtquant.agents.learning",
    "mtquant.agents.training.divergence",
    "mtquant.agents.training.model_checkpointing",
)
CODE: dict[str, tuple[str, ...]] = {
    "dataset": ("mtquant.data",),
    "phase1": (
        *_LEARNING,
        "mtquant.agents.training.callbacks",
        "mtquant.agents.training.phase1_trainer",
        "mtquant.metrics",
    ),
    "phase2": (*_LEARNING, "mtquant.agents.training.callbacks", "mtquant.agents.training.phase2_trainer"),
    "phase3": (
        *_LEARNING,
        "mtquant.agents.training.curricula",
        "mtquant.agents.training.curriculum_learning",
        "mtquant.agents.training.evidence",
        "mtquant.agents.training.joint_rollouts",
        "mtquant.agents.training.phase3_joint_training",
        "mtquant.metrics",
    ),
    "single": (*_LEARNING, "mtquant.agents.training.callbacks", "mtquant.agents.training.single_agent_trainer"),
    "evaluate": (
        *_PLAYING,
        "mtquant.agents.hierarchy",
        "mtquant.evaluation",
        "mtquant.execution.attributing",
        "mtquant.execution.choosing",
        "mtquant.execution.counting",
        "mtquant.execution.evaluating",
        "mtquant.execution.explaining",
        "mtquant.execution.robustness",
        "mtquant.execution.share_rows",
        "mtquant.execution.walk_forward",
        "mtquant.gates.shares",
        "mtquant.metrics",
        "mtquant.synthetic",
    ),
    "export": (
        *_PLAYING,
        "mtquant.agents.hierarchy",
        "mtquant.agents.network",
        "mtquant.agents.recording",
        "mtquant.evaluation.backtest",
        "mtquant.evaluation.result",
        "mtquant.export",
    ),
}
"""Packages and modules whose source decides the result of each kind of unit."""


def is_planted(spec: PipelineSpec) -> bool:
    """Return whether the bars are generated, with known truth, rather than read from a folder."""
    return spec.data.source in SYNTHETIC


def units_of(spec: PipelineSpec, digests: Mapping[str, str]) -> tuple[UnitSpec, ...]:
    """Return the units of a run, each after those it reads.

    `digests` has the content digest of every traded symbol, of `clock`, `macro` and `splits`, and of the splits of
    every fold (`execution.sources.prepare`). Raises `DataError` where one is missing.
    """
    folds = tuple(range(1, spec.walk_forward.count + 1))
    splits = tuple(fold_name(SPLITS, fold) for fold in folds) or (SPLITS,)
    missing = [name for name in (*spec.environment.instruments, CLOCK, *splits, MACRO) if name not in digests]
    if missing:
        raise DataError(f"The market has no digest of {missing}; it has {sorted(digests)}.")
    graph = _Graph(spec, digests)
    if not folds:
        trained = _add_training(graph)
        graph.add(REPORT, "report", _evaluation_slice(spec), trained)
    for graph.fold in folds:
        trained = _add_training(graph)
        graph.add(REPORT, f"fold-{graph.fold}", _evaluation_slice(spec), trained)
    deployed = graph.fold
    if folds:
        graph.fold = None
        walk = _evaluation_slice(spec) | {"walk_forward": _dump(spec.walk_forward)}
        graph.add(REPORT, "report", walk, tuple(fold_name(REPORT, fold) for fold in folds))
    exported = tuple(name for name in trained if name not in (CONTROL, SINGLE))
    graph.add(ONNX, "onnx", {"export": _dump(spec.export)}, tuple(fold_name(name, deployed) for name in exported))
    return tuple(graph.units)


def _add_training(graph: "_Graph") -> tuple[str, ...]:
    """Add the dataset and everything that learns on it; return their names."""
    spec = graph.spec
    graph.add(DATASET, "market", _dataset_slice(spec))
    specialists = tuple(f"phase1-{group}" for group in spec.groups)
    for name, group in zip(specialists, spec.groups, strict=True):
        graph.add(name, group, _phase1_slice(spec, group), (DATASET,), spec.members(group))
    graph.add(META, "meta", _phase2_slice(spec), (DATASET, *specialists))
    before = (DATASET, *specialists, META)
    joint = _phase3_slice(spec)
    graph.add(JOINT, "joint", joint, before)
    trained = (*before, JOINT)
    if is_planted(spec) and spec.phase3.peers:
        blind = joint | {"phase3": joint["phase3"] | {"peers": False}}
        graph.add(CONTROL, "joint-no-peers", blind, before)
        trained = (*trained, CONTROL)
    if spec.single_agent.enabled:
        graph.add(SINGLE, "agent", _single_slice(spec), (DATASET,))
        trained = (*trained, SINGLE)
    return trained


def with_upstream(units: Sequence[UnitSpec], names: Collection[str]) -> tuple[UnitSpec, ...]:
    """Return the named units and all that they read, in order; with no names, all units.

    Raises `UsageError` for an unknown name.
    """
    known = [unit.name for unit in units]
    for name in names:
        if name not in known:
            raise UsageError(f"There is no unit `{name}`.{did_you_mean(name, known)}")
    wanted = set(names or known)
    for unit in reversed(units):
        if unit.name in wanted:
            wanted |= set(unit.upstream)
    return tuple(unit for unit in units if unit.name in wanted)


class _Graph:
    """Collects units in order and gives each the keys of its upstream."""

    def __init__(self, spec: PipelineSpec, digests: Mapping[str, str]) -> None:
        self.spec = spec
        self.digests = digests
        self.units: list[UnitSpec] = []
        self.fold: int | None = None
        """Fold that units are added to."""

    def add(
        self,
        name: str,
        subject: str,
        config: dict[str, Any],
        upstream: tuple[str, ...] = (),
        symbols: Sequence[str] = (),
    ) -> None:
        """Append one unit; with no `symbols` it depends on every instrument and on the macro columns."""
        kind = name.split("-")[0]
        keys = {unit.name: unit.key for unit in self.units}
        read = {fold_name(entry, self.fold): entry for entry in upstream}
        splits = fold_name(SPLITS, self.fold)
        names = (*symbols, CLOCK, SPLITS) if symbols else (*self.spec.environment.instruments, CLOCK, SPLITS, MACRO)
        inputs = {
            "schema": SCHEMA,
            "kind": kind,
            "subject": subject,
            "config": config,
            "code": code_versions(CODE[kind]),
            "data": {entry: self.digests[splits if entry == SPLITS else entry] for entry in names},
            # The dataset enters by `data`, `config` and `code`: one instrument's bars do not touch the other groups.
            "upstream": {
                entry: keys[full] for full, entry in read.items() if names_in_fold((entry,))[entry] != DATASET
            },
            "seed": self.spec.seed,
        }
        full = fold_name(name, self.fold)
        self.units.append(UnitSpec(full, kind, subject, inputs, tuple(read), _steps(self.spec).get(kind, 1)))


def _whole_rollouts(timesteps: int, rollout: int) -> int:
    """Return the steps that whole rollouts take to cover `timesteps`, which is where a journal ends."""
    return -(-timesteps // rollout) * rollout


def _steps(spec: PipelineSpec) -> dict[str, int]:
    """Return the steps of each training kind."""
    one, two, three, single = spec.phase1, spec.phase2, spec.phase3, spec.single_agent.ppo
    return {
        "phase1": _whole_rollouts(one.timesteps, one.ppo.n_envs * one.ppo.n_steps),
        "phase2": _whole_rollouts(two.timesteps, two.ppo.n_envs * two.ppo.n_steps),
        "phase3": _whole_rollouts(three.timesteps, three.n_envs * three.n_steps),
        "single": _whole_rollouts(spec.single_agent_timesteps, single.n_envs * single.n_steps),
    }


def _dump(spec: Any, *without: str) -> dict[str, Any]:
    """Return settings as JSON values, leaving out what the unit does not read."""
    found: dict[str, Any] = spec.model_dump(mode="json", exclude=set(without))
    return found


def _catalogue(spec: PipelineSpec, symbols: Sequence[str]) -> dict[str, Any]:
    return {symbol: _dump(spec.catalogue.instruments[symbol]) for symbol in symbols}


def _dataset_slice(spec: PipelineSpec) -> dict[str, Any]:
    """How bars become a dataset; how they were obtained is in their digests."""
    traded = spec.environment.instruments
    costs = set(InstrumentSpec.model_fields) - {"group", "session", "contract_value", "price_may_be_negative"}
    instruments = {symbol: _dump(spec.catalogue.instruments[symbol], *costs) for symbol in traded}
    return {
        "planted": is_planted(spec),
        "features": _dump(spec.features),
        "order": list(traded),
        "instruments": instruments,
    }


def _phase1_slice(spec: PipelineSpec, group: str) -> dict[str, Any]:
    """What one group's specialist reads; other groups count only by the width of the observation."""
    members = spec.members(group)
    return {
        "planted": is_planted(spec),
        "features": _dump(spec.features, "macro_half_life"),
        "environment": _dump(spec.environment, "instruments"),
        "order": list(members),
        "instruments": _catalogue(spec, members),
        "widths": {"groups": len(spec.groups), "largest_group": max(len(spec.members(g)) for g in spec.groups)},
        "limits": _dump(spec.limits, "joint_stop_loss"),
        "phase1": _dump(spec.phase1),
    }


def _portfolio_slice(spec: PipelineSpec) -> dict[str, Any]:
    traded = spec.environment.instruments
    return {
        "planted": is_planted(spec),
        "features": _dump(spec.features),
        "environment": _dump(spec.environment, "instruments"),
        "order": list(traded),
        "instruments": _catalogue(spec, traded),
    }


def _phase2_slice(spec: PipelineSpec) -> dict[str, Any]:
    return _portfolio_slice(spec) | {"limits": _dump(spec.limits, "joint_stop_loss"), "phase2": _dump(spec.phase2)}


def _phase3_slice(spec: PipelineSpec) -> dict[str, Any]:
    # Decision bars and budget limits of phase 2 enter by the key of its unit.
    return _portfolio_slice(spec) | {"limits": _dump(spec.limits), "phase3": _dump(spec.phase3)}


def _single_slice(spec: PipelineSpec) -> dict[str, Any]:
    return _portfolio_slice(spec) | {
        "limits": _dump(spec.limits),
        "single_agent": _dump(spec.single_agent, "enabled", "timesteps") | {"timesteps": spec.single_agent_timesteps},
        "phase3": {"reward": _dump(spec.phase3.reward)},
    }


def _evaluation_slice(spec: PipelineSpec) -> dict[str, Any]:
    """Settings of the evaluation; on planted markets also the law that fresh episodes are drawn from."""
    law = {"source": spec.data.source, "planted": spec.data.planted} if is_planted(spec) else {}
    return _portfolio_slice(spec) | {"data": law, "limits": _dump(spec.limits), "evaluation": _dump(spec.evaluation)}


@dataclass(frozen=True)
class PlannedUnit:
    """What would be done with a unit, and why."""

    spec: UnitSpec
    state: str
    """`reuse`, `continue` or `run`."""
    step: int
    """Step it continues at; 0 for `run`, all steps for `reuse`."""
    reason: str
    changes: tuple[str, ...] = ()
    """Every difference from the nearest unit of that name in the store."""


def plan(spec: PipelineSpec, digests: Mapping[str, str], root: Path) -> list[PlannedUnit]:
    """Return for every unit whether it is reused, continued or run, and why. Changes nothing."""
    return plan_units(units_of(spec, digests), root)


def plan_units(units: Sequence[UnitSpec], root: Path) -> list[PlannedUnit]:
    """Do what `plan` does for units that are known."""
    require_folder(root)
    stored = stored_units(root)
    return [_planned(unit, root, stored) for unit in units]


def _planned(spec: UnitSpec, root: Path, stored: Sequence[Unit]) -> PlannedUnit:
    unit = Unit(root, spec)
    damage = ""
    try:
        if unit.verify():
            return PlannedUnit(spec, "reuse", spec.total_steps, "finished with the same inputs")
    except StoreError as error:
        damage = f"damaged: {error}"
    others = [other for other in stored if (other.spec.kind, other.spec.subject) == (spec.kind, spec.subject)]
    if any(other.spec.key == spec.key for other in others):
        return _begun(unit, damage)
    if damage:
        return PlannedUnit(spec, "run", 0, damage)
    # Of equally near units the newest explains best what changed since.
    others.sort(key=lambda other: (other.folder / "spec.json").stat().st_mtime, reverse=True)
    nearest = min(others, key=lambda other: len(differences(other.spec.inputs, spec.inputs)), default=None)
    if nearest is None:
        return PlannedUnit(spec, "run", 0, "new")
    changes = explain(nearest.spec.inputs, spec.inputs)
    shown = "; ".join(changes[:3]) + (f"; and {len(changes) - 3} more" if len(changes) > 3 else "")
    return PlannedUnit(spec, "run", 0, shown, changes)


def _begun(unit: Unit, damage: str) -> PlannedUnit:
    """Return what is to be done with a unit that is in the store and not complete."""
    holder, valid, newest = unit.holder(), unit.checkpoints.retained(), unit.checkpoints.newest_step()
    at_work = f"is being made by {holder}" if holder else ""
    if valid:
        step = valid[-1].step
        torn = "" if newest == step else f"; the one at step {newest:,} is damaged"
        reason = damage or at_work or f"stopped; a checkpoint is at step {step:,}"
        return PlannedUnit(unit.spec, "continue", step, reason + torn)
    lost = unit.checkpoints.lost() or len(unit.checkpoints.verify())
    if lost:
        found = "its checkpoint is" if lost == 1 else f"all {lost} checkpoints are"
        return PlannedUnit(unit.spec, "run", 0, f"{damage or 'stopped'}; {found} damaged, so it starts from step 0")
    begun = "begun before, without a checkpoint" if unit.attempts() else "named by a run before, not begun"
    return PlannedUnit(unit.spec, "run", 0, damage or at_work or begun)
