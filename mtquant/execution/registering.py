"""Movements of the aliases: `challenger` after every run, `champion` only through the gate, and back."""

from collections.abc import Sequence
from pathlib import Path

from mtquant.errors import GateError, StoreError, UsageError
from mtquant.pipeline import ONNX, REPORT
from mtquant.registry import did_you_mean
from mtquant.store.promotions import (
    ALIASES,
    CHALLENGER,
    CHAMPION,
    FORCED,
    MET,
    REGISTERED,
    ROLLBACK,
    Assignment,
    Policy,
    append_assignment,
    changing,
    holder_of_alias,
    read_assignments,
    stage_of,
    standing,
)
from mtquant.store.runs import RunRecord, load_run, unit_of_run
from mtquant.store.units import Done, Unit


def register_challenger(root: Path, run_id: str) -> Assignment | None:
    """Record the run's policy as `challenger` and return the record; None where the run has no policy to deploy.

    A run whose evaluation and export are not both complete has none. A policy is registered once: doing it again
    changes nothing. Raises `StoreError` where the record of aliases is damaged.
    """
    record = load_run(root, run_id)
    policy = policy_of(root, record)
    if policy is None:
        return None
    with changing(root):
        for entry in read_assignments(root):
            if entry.alias == CHALLENGER and entry.policy.digest == policy.digest:
                return entry
        return append_assignment(root, CHALLENGER, policy, REGISTERED)


def policy_of(root: Path, record: RunRecord) -> Policy | None:
    """Return what a run exported and evaluated, or None where it has not both. Raises `StoreError` where damaged."""
    if not {REPORT, ONNX} <= set(record.units):
        return None
    report, onnx = (unit_of_run(root, record, name) for name in (REPORT, ONNX))
    evaluated, exported = report.done(), onnx.done()
    stage = stage_of(evaluated.metrics) if evaluated else None
    if exported is None or stage is None:
        return None
    return Policy(record.run_id, stage, onnx.spec.key, report.spec.key, dict(exported.outputs))


def promote(
    root: Path, run_id: str | None = None, *, alias: str = CHAMPION, force: bool = False, reason: str = ""
) -> Assignment:
    """Move `alias` to a run's policy and return the record of it; the present one where it stands there already.

    Without `run_id` the present challenger is taken, else the newest run. `champion` asks that every file of the run
    is what it was when it was made, and that each gain (`promotion.figures_of`) has its lower end above zero; `force`
    with a reason passes over the gains, never over missing or damaged files. Raises `GateError`.
    """
    _check_alias(alias)
    if force and not reason.strip():
        raise UsageError("--force needs a --reason; it is kept in the record.")
    with changing(root):
        assignments = read_assignments(root)
        challenger = holder_of_alias(assignments, CHALLENGER)
        record = load_run(root, run_id or (challenger.policy.run_id if challenger else None))
        policy = verified_policy(root, record)
        current = holder_of_alias(assignments, alias)
        if current is not None and current.policy.digest == policy.digest:
            return current
        if alias == CHALLENGER:
            return append_assignment(root, alias, policy, REGISTERED, reason=reason)
        # statistics are heavy to import
        from mtquant.execution.promotion import figures_of

        figures = figures_of(root, policy, current.policy if current else None)
        failed = [figure for figure in figures if not figure.met]
        if failed and not force:
            raise GateError(_refusal(policy, [str(figure) for figure in failed], current))
        found = {figure.against: figure.values() for figure in figures}
        return append_assignment(root, alias, policy, FORCED if failed else MET, figures=found, reason=reason)


def roll_back(root: Path, *, alias: str = CHAMPION, reason: str = "") -> Assignment:
    """Return `alias` to where it stood before its last movement. Raises `UsageError` where there is nothing before.

    Raises `GateError` where the policy from before is no longer whole.
    """
    _check_alias(alias)
    with changing(root):
        found = standing(read_assignments(root), alias)
        if len(found) < 2:
            have = f"It stands on run {found[0].policy.run_id}, its first." if found else "It was never given."
            raise UsageError(f"There is no earlier `{alias}` to go back to. {have}")
        before, last = found[-2], found[-1]
        verified_policy(root, load_run(root, before.policy.run_id))
        return append_assignment(root, alias, before.policy, ROLLBACK, reason=reason, rollback_of=last.number)


def verified_policy(root: Path, record: RunRecord) -> Policy:
    """Return the run's policy after comparing every byte of every unit with its marker. Raises `GateError`."""
    done = {name: _verified(root, record, name) for name in record.units}
    policy = policy_of(root, record)
    if policy is None:
        raise GateError(
            f"The run {record.run_id} has nothing to promote: that needs a policy that was evaluated and exported "
            f"(units {REPORT} and {ONNX}). `mtquant train` with the same settings makes the missing units and reuses "
            "the finished ones."
        )
    for reader in (REPORT, ONNX):
        for name, read in done[reader].consumed.items():
            if name in done and read != done[name].outputs:
                raise GateError(
                    f"{reader} of run {record.run_id} was made from another {name} than the one in the store. "
                    f"Nothing was promoted; train the run again."
                )
    return policy


def _verified(root: Path, record: RunRecord, name: str) -> Done:
    try:
        unit: Unit = unit_of_run(root, record, name)
        done = unit.verify()
    except StoreError as error:
        raise GateError(f"The run {record.run_id} cannot be promoted: {error}") from error
    if done is None:
        raise GateError(
            f"The run {record.run_id} cannot be promoted: {name} is not complete. Only finished runs can; "
            f"finish it with `mtquant resume {record.run_id}`."
        )
    return done


def _check_alias(alias: str) -> None:
    if alias not in ALIASES:
        raise UsageError(
            f"There is no alias `{alias}`; it is one of {', '.join(ALIASES)}.{did_you_mean(alias, ALIASES)}"
        )


def _refusal(policy: Policy, failed: Sequence[str], current: Assignment | None) -> str:
    stays = f"The champion stays run {current.policy.run_id}." if current else "There is no champion yet."
    lines = "\n".join(f"  {line}" for line in failed)
    return (
        f"The run {policy.run_id} was not promoted. What its {policy.stage} gains out of sample has to have the lower "
        f"end of its interval above 0:\n{lines}\n{stays} `--force --reason TEXT` promotes anyway and keeps the reason."
    )
