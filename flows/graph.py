"""What the picture of a run shows: its units, the gate behind the specialists, the registration at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mtquant.pipeline import ONNX
from mtquant.store.units import UnitSpec

GATE, REGISTER = "gate", "register"


@dataclass(frozen=True)
class Node:
    """One task of the flow."""

    name: str
    kind: str
    """The unit's kind, `gate` or `register`."""
    needs: tuple[str, ...]
    """Nodes that end before it begins; what they leave decides whether it does."""
    drawn: tuple[str, ...]
    """Those of `needs` that no other one implies: the edges of the picture."""


def nodes_of(units: Sequence[UnitSpec]) -> tuple[Node, ...]:
    """Return the nodes for the units of a run, each after those it needs.

    The gate stands between the specialists and everything that reads one; the registration follows the export.
    """
    specialists = tuple(unit.name for unit in units if unit.kind == "phase1")
    needs: dict[str, tuple[str, ...]] = {}
    kinds: dict[str, str] = {}
    for unit in units:
        reads_specialists = bool(set(unit.upstream) & set(specialists))
        if reads_specialists and GATE not in needs:
            needs[GATE], kinds[GATE] = specialists, GATE
        needs[unit.name] = (*unit.upstream, *((GATE,) if reads_specialists else ()))
        kinds[unit.name] = unit.kind
    if specialists and GATE not in needs:
        needs[GATE], kinds[GATE] = specialists, GATE
    if ONNX in needs:
        read = {name for before in needs.values() for name in before}
        needs[REGISTER], kinds[REGISTER] = tuple(name for name in needs if name not in read), REGISTER
    return tuple(Node(name, kinds[name], before, _reduced(before, needs)) for name, before in needs.items())


def _reduced(direct: Sequence[str], needs: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the transitive reduction of one node's edges."""
    implied = {name for other in direct for name in _before(other, needs)}
    return tuple(name for name in direct if name not in implied)


def _before(name: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    found = set(needs[name])
    return found.union(*(_before(other, needs) for other in found))
