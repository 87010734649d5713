"""What each gate would have caught: the thing it guards, broken on purpose.

A gate that cannot fail shows nothing. Here a setting is broken in the way a mistake would break it, everything else
stays, and the gate has to say that it is not met.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtquant.gates.definitions import full_gates
from mtquant.gates.desks import DeskTraining
from mtquant.gates.execution import ExecutionTraining
from mtquant.gates.gate import Gate
from mtquant.gates.runner import GateResult, Say, Trainer, run_gates
from mtquant.gates.teams import TeamTraining
from mtquant.gates.trainings import Training

FREE_TRADES = "phase1.reward.transaction_cost_weight=0.0"
NO_JOINT_LEARNING = ("phase3.specialist_learning_rate=1.0e-9", "phase3.meta_learning_rate=1.0e-9")


@dataclass(frozen=True)
class Break:
    """A way to break what a gate guards."""

    gate: str
    what: str
    settings: tuple[str, ...] = ()


BREAKS = (
    Break("p1-gp-easy", "the specialist is not charged for its trades while it learns", (FREE_TRADES,)),
    Break("p1-gp-easy-lowest", "the same", (FREE_TRADES,)),
    Break("p1b-spread", "the same", (FREE_TRADES,)),
    Break(
        "p2-regime-capture",
        "the meta-controller sees the last report without any memory",
        ("features.macro_half_life=0.1",),
    ),
    Break("p3-netting-over-alone", "specialists do not see their peers", ("phase3.peers=false",)),
    Break("p3-netting", "specialists do not see their peers", ("phase3.peers=false",)),
    Break("exec-almgren-chriss", "the agent learns nothing"),
    Break("mappo-spread-early", "the team learns nothing"),
    Break("mappo-spread", "the team learns nothing"),
    Break("team-execution", "the team learns nothing"),
    Break("team-risk", "the team learns nothing"),
    Break("team-strategic", "the team learns nothing"),
    Break("team-tactical", "the team learns nothing"),
    Break("limits-ex-ante", "the risk layer is switched off", ("limits.enabled=false",)),
    Break("embedded-p1-forex", "the specialist is not charged for its trades while it learns", (FREE_TRADES,)),
    Break("embedded-p2-over-equal", "the meta-controller learns nothing", ("phase2.timesteps=1",)),
    Break("embedded-p2-reference", "the meta-controller learns nothing", ("phase2.timesteps=1",)),
    Break("embedded-p3-over-p2", "joint training learns nothing", NO_JOINT_LEARNING),
    Break("embedded-p3-joint", "joint training learns nothing", NO_JOINT_LEARNING),
    Break("embedded-p3-over-control", "joint training learns nothing", NO_JOINT_LEARNING),
)
"""Breaks that are settings. Leaks, wrong forecasts and limits that let more through are planted by the tests."""


def broken_gate(entry: Break) -> Gate:
    """Return the gate of `entry` on its broken training, with one seed."""
    gate = next(gate for gate in full_gates() if gate.name == entry.gate)
    if isinstance(gate.training, ExecutionTraining):
        return replace(gate, training=replace(gate.training, timesteps=1), seeds=(0,))
    if isinstance(gate.training, TeamTraining | DeskTraining):
        return replace(gate, training=replace(gate.training, total_steps=1), seeds=(0,))
    changed = {setting.partition("=")[0] for setting in entry.settings}
    kept = (setting for setting in gate.training.settings if setting.partition("=")[0] not in changed)
    settings = (*kept, *entry.settings)
    return replace(gate, training=Training(settings, gate.training.phase), seeds=(0,))


def run_broken(trainer: Trainer, say: Say, jobs: int = 1) -> list[tuple[Break, GateResult]]:
    """Train what is broken and return what each gate says of it."""
    return list(zip(BREAKS, run_gates([broken_gate(entry) for entry in BREAKS], trainer, say, jobs), strict=True))


def broken_table(found: Sequence[tuple[Break, GateResult]]) -> str:
    """Return aligned text, with gates that did not notice marked."""
    rows = [("gate", "value", "threshold", "verdict", "what was broken")]
    for entry, result in found:
        verdict = "MISSED" if result.passed else "caught"
        rows.append((entry.gate, f"{result.value:.3f}", f"{result.gate.threshold:g}", verdict, entry.what))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[4]]) for row in rows)


def broken_values(found: Sequence[tuple[Break, GateResult]]) -> list[dict[str, Any]]:
    """Return everything as JSON values."""
    return [
        result.values() | {"broken": entry.what, "settings": list(entry.settings), "caught": not result.passed}
        for entry, result in found
    ]
