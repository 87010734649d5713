"""Which units something in the store refers to: runs, promotions, and what those units were made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtquant.errors import StoreError
from mtquant.store.promotions import CHALLENGER, CHAMPION, Policy, holder_of_alias, read_assignments, standing
from mtquant.store.runs import list_runs, load_run
from mtquant.store.units import Done, Unit, stored_units


@dataclass(frozen=True)
class References:
    """Folders of units that have to stay, and what could not be read on the way."""

    folders: frozenset[str]
    problems: tuple[str, ...]
    """With any, the folders are not all: nothing may be taken for unreferenced."""


def references(root: Path) -> References:
    """Return what refers to units. Damaged records are told as problems."""
    folders, problems = set[str](), list[str]()
    for run_id in list_runs(root):
        try:
            folders |= {entry["folder"] for entry in load_run(root, run_id).units.values()}
        except (StoreError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"run {run_id}: {error}")
    units = stored_units(root)
    try:
        named = {key for policy in kept_policies(root) for key in (policy.export, policy.evaluation)}
    except StoreError as error:
        named = set[str]()
        problems.append(str(error))
    # A run names all that its units read; a promotion need not.
    promoted = [unit for unit in units if unit.spec.key in named]
    folders |= {unit.folder.name for unit in _with_upstream(promoted, units)}
    return References(frozenset(folders), tuple(problems))


def kept_policies(root: Path) -> list[Policy]:
    """Return what promotion may still need: the challenger, the champion and every champion to roll back to.

    Raises `StoreError` where the record of promotions cannot be read.
    """
    found = read_assignments(root)
    champions = [assignment.policy for assignment in standing(found, CHAMPION)]
    challenger = holder_of_alias(found, CHALLENGER)
    return champions + ([challenger.policy] if challenger else [])


def is_promoted(root: Path, run_id: str) -> bool:
    """Return whether an alias stands on the run or may be rolled back to it. Raises `StoreError`."""
    return run_id in {policy.run_id for policy in kept_policies(root)}


def _with_upstream(kept: Sequence[Unit], units: Sequence[Unit]) -> list[Unit]:
    """Return `kept` and every unit that those were made from, directly or not."""
    found = {unit.folder.name: unit for unit in kept}
    waiting = list(kept)
    while waiting:
        for unit in _read_by(waiting.pop(), units):
            if unit.folder.name not in found:
                found[unit.folder.name] = unit
                waiting.append(unit)
    return list(found.values())


def _read_by(unit: Unit, units: Sequence[Unit]) -> list[Unit]:
    keys = unit.spec.inputs.get("upstream", {})
    done = _done(unit)
    found = []
    for name in unit.spec.upstream:
        same = [other for other in units if other.spec.name == name]
        if name in keys:
            found += [other for other in same if other.spec.key == keys[name]]
        elif done is None:
            # Not in the key (the dataset) and not consumed yet: any of that name may be the one.
            found += same
        else:
            found += [other for other in same if _outputs(other) in (None, done.consumed.get(name))]
    return found


def _done(unit: Unit) -> Done | None:
    try:
        return unit.done()
    except StoreError:
        return None


def _outputs(unit: Unit) -> dict[str, str] | None:
    """Return the outputs of a unit, None where that is unknown."""
    done = _done(unit)
    return done.outputs if done else None
