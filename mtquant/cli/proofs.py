"""What `doctor` proves where it is asked to: that leaks are found, and that learners learn."""

import sys

from mtquant.cli.output import write_json
from mtquant.context import store_root
from mtquant.errors import GateError


def prove(*, leaks: bool, learning: bool, as_json: bool) -> None:
    """Print the tables that were asked for. Raises `GateError` where something was not found, blamed or learned."""
    values: dict[str, object] = {}
    failed: list[str] = []
    if leaks:
        table, values["leaks"], wrong = _leaks()
        failed += wrong
        _say(table, as_json)
    if learning:
        table, values["learning"], wrong = _learning(as_json)
        failed += wrong
        _say(table, as_json)
    if as_json:
        write_json(values)
    if failed:
        raise GateError(f"{len(failed)} of what was tried did not come out as it must: {', '.join(failed)}.")


def _leaks() -> tuple[str, list[dict[str, object]], list[str]]:
    # imported here: the usual `doctor` answers without torch
    from mtquant.evaluation.causality import leak_suite, suite_table

    trials = leak_suite()
    values: list[dict[str, object]] = [
        {
            "name": trial.name,
            "about": trial.about,
            "check": trial.found.check if trial.found else None,
            "found": str(trial.found) if trial.found else None,
            "passed": trial.passed,
        }
        for trial in trials
    ]
    return suite_table(trials), values, [trial.name for trial in trials if not trial.passed]


def _learning(quiet: bool) -> tuple[str, list[dict[str, object]], list[str]]:
    from functools import partial

    from mtquant.gates.definitions import small_gates
    from mtquant.gates.runner import finish, run_gates, table

    results = run_gates(small_gates(), partial(finish, store_root()), lambda text: _say(text, quiet))
    return table(results), [r.values() for r in results], [r.gate.name for r in results if not r.passed]


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
