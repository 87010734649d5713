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
from mtquant.store.files import require_folder
from mtquant.store.units import Unit, UnitSpec, stored_units
from mtquant.synthetic import SYNTHETIC

SCHEMA = 1
"""Format of the key inputs; raising it makes every unit new."""

DATASET, META, JOINT, CONTROL = "dataset-market", "phase2-meta", "phase3-joint", "phase3-no-peers"
REPORT, ONNX = "evaluate-report", "export-onnx"
CLOCK, SPLITS, MACRO = "clock", "splits", "macro"

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
        "mtquant.agents.training.phase3_joint_training",
        "mtquant.metrics",
    ),
    "evaluate": (
        *_PLAYING,
        "mtquant.agents.hierarchy",
        "mtquant.evaluation",
        "mtquant.execution.evaluating",
        "mtquant.execution.share_rows",
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

    `digests` has the content digest of every traded symbol, of `clock`, `macro` and `splits`
    (`execution.sources.prepare`). Raises `DataError` where one is missing.
    """
    missing = [name for name in (*spec.environment.instruments, CLOCK, SPLITS, MACRO) if name not in digests]
    if missing:
        raise DataError(f"The market has no digest of {missing}; it has {sorted(digests)}.")
    graph = _Graph(spec, digests)
    graph.add(DATASET, "market", _dataset_slice(spec))
    specialists = tuple(f"phase1-{group}" for group in spec.groups)
    for name, group in zip(specialists, spec.groups, strict=True):
        graph.add(name, group, _phase1_slice(spec, group), (DATASET,), spec.members(group))
    graph.add(META, "meta", _phase2_slice(spec), (DATASET, *specialists))
    trained = (*specialists, META)
    joint = _phase3_slice(spec)
    graph.add(JOINT, "joint", joint, (DATASET, *trained))
    finals: tuple[str, ...] = (JOINT,)
    if is_planted(spec) and spec.phase3.peers:
        blind = joint | {"phase3": joint["phase3"] | {"peers": False}}
        graph.add(CONTROL, "joint-no-peers", blind, (DATASET, *trained))
        finals = (JOINT, CONTROL)
    graph.add(REPORT, "report", _evaluation_slice(spec), (DATASET, *trained, *finals))
    graph.add(ONNX, "onnx", {"export": _dump(spec.export)}, (DATASET, *trained, JOINT))
    return tuple(graph.units)


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
        names = (*symbols, CLOCK, SPLITS) if symbols else (*self.spec.environment.instruments, CLOCK, SPLITS, MACRO)
        inputs = {
            "schema": SCHEMA,
            "kind": kind,
            "subject": subject,
            "config": config,
            "code": code_versions(CODE[kind]),
            "data": {entry: self.digests[entry] for entry in names},
            # The dataset enters by `data`, `config` and `code`: one instrument's bars do not touch the other groups.
            "upstream": {entry: keys[entry] for entry in upstream if entry != DATASET},
            "seed": self.spec.seed,
        }
        self.units.append(UnitSpec(name, kind, subject, inputs, upstream, _steps(self.spec).get(kind, 1)))


def _whole_rollouts(timesteps: int, rollout: int) -> int:
    """Return the steps that whole rollouts take to cover `timesteps`, which is where a journal ends."""
    return -(-timesteps // rollout) * rollout


def _steps(spec: PipelineSpec) -> dict[str, int]:
    """Return the steps of each training kind."""
    one, two, three = spec.phase1, spec.phase2, spec.phase3
    return {
        "phase1": _whole_rollouts(one.timesteps, one.ppo.n_envs * one.ppo.n_steps),
        "phase2": _whole_rollouts(two.timesteps, two.ppo.n_envs * two.ppo.n_steps),
        "phase3": _whole_rollouts(three.timesteps, three.n_envs * three.n_steps),
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
    nearest = min(others, key=lambda other: len(_differences(other.spec.inputs, spec.inputs)), default=None)
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


_PARTS = ("config", "data", "code", "upstream")
"""Parts of a key in the order in which a person looks for the reason; others come first."""
_Path = tuple[str, ...]


def explain(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what differs between the key inputs of two units, one line per setting, what the user did first."""
    found = _differences(before, after)
    lines = [_setting(path, old, new) for path, old, new in found if path[0] not in _PARTS[1:]]
    lines += _gone_and_come([entry for entry in found if entry[0][0] == "config"])
    data = [entry for entry in found if entry[0][0] == "data"]
    lines += [f"{path[1]} changed" for path, _, _ in data if path[1] in (CLOCK, SPLITS, MACRO)]
    lines += _named("data of {} changed", [entry for entry in data if entry[0][1] not in (CLOCK, SPLITS, MACRO)])
    code = [entry for entry in found if entry[0][0] == "code"]
    lines += _named("code of {} changed", [entry for entry in code if entry[0][1].startswith("mtquant")])
    lines += [f"{path[1]} {old} -> {new}" for path, old, new in code if not path[1].startswith("mtquant")]
    lines += _named(
        "upstream {} changes", [entry for entry in found if entry[0][0] == "upstream"], "upstream {} change"
    )
    return tuple(dict.fromkeys(line for line in lines if line))


_ABSENT = "(absent)"


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[tuple[_Path, Any, Any]]:
    """Return path, old and new value of every difference; what one side lacks is one difference, whatever is in it."""
    found: list[tuple[_Path, Any, Any]] = []
    for name in {**before, **after}:
        old, new = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [((name, *path), a, b) for path, a, b in _differences(old, new)]
        elif _plain(old) != _plain(new):
            found.append(((name,), old, new))
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back: a list for a tuple."""
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _setting(path: _Path, old: Any, new: Any) -> str:
    """Return a changed setting; nothing for one that `_gone_and_come` tells."""
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        return ""
    name = ".".join(path[1:]) or path[0]
    if name == "order":
        # Of other instruments, the catalogue tells.
        return "order of the instruments changed" if sorted(old) == sorted(new) else ""
    return f"{name} {_shown(old)} -> {_shown(new)}"


def _gone_and_come(changes: Sequence[tuple[_Path, Any, Any]]) -> list[str]:
    """Return one line for all blocks that left the same parent, and one for all that came."""
    lines = []
    for word, here in (("without", 1), ("with", 2)):
        blocks = [entry[0] for entry in changes if isinstance(entry[here], Mapping) and entry[3 - here] == _ABSENT]
        for parent in dict.fromkeys(path[1:-1] for path in blocks):
            names = ", ".join(path[-1] for path in blocks if path[1:-1] == parent)
            lines.append(f"{'.'.join(parent) or 'settings'} {word} {names}")
    return lines


def _named(sentence: str, changes: Sequence[tuple[_Path, Any, Any]], of_several: str = "") -> list[str]:
    names = [".".join(path[1:]) for path, _, _ in changes]
    chosen = of_several or sentence if len(names) > 1 else sentence
    return [chosen.format(", ".join(names))] if names else []


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
