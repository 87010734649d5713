"""From settings to a recorded run, and from a recorded run to its units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.config.agents import PipelineSpec
from mtquant.execution.attempt import Settings, read_settings
from mtquant.pipeline import PlannedUnit, is_planted, plan_units, units_of, with_upstream
from mtquant.store.garbage import referring
from mtquant.store.runs import RunRecord, append_event, create_run, save_run
from mtquant.store.units import Unit, UnitSpec
from mtquant.synthetic.settings import with_objective


@dataclass(frozen=True)
class PreparedRun:
    """A run whose units are known and have their folders in the store."""

    record: RunRecord
    spec: Settings
    units: tuple[UnitSpec, ...]
    plan: tuple[PlannedUnit, ...]
    """What was to be done when it was prepared."""


def record_run(
    root: Path,
    spec: Settings,
    command: Sequence[str],
    engine: str,
    targets: Sequence[str] = (),
    origin: str | None = None,
) -> RunRecord:
    """Record a new run before its bars are read, so that it can be resumed whatever happens next.

    A folder of bars is recorded by its absolute path: the run may be resumed from elsewhere. A planted market brings
    its payment and costs (`synthetic.settings`).
    """
    if isinstance(spec, PipelineSpec):
        spec = with_objective(spec)
        if not is_planted(spec):
            data = spec.data.model_copy(update={"source": str(Path(spec.data.source).absolute())})
            spec = spec.model_copy(update={"data": data})
    else:
        spec = spec.model_copy(update={"environment": with_absolute_files(spec.environment)})
    return create_run(root, list(command), spec.model_dump(mode="json"), engine, targets, origin)


def prepare_run(root: Path, record: RunRecord, digests: Mapping[str, str] | None = None) -> PreparedRun:
    """Return the units of a recorded run, from its bars as they are now, and write them into its record.

    `digests` may be given where the bars were read already. Raises `DataError` where they cannot be.
    """
    spec = read_settings(record)
    units = with_upstream(_units(spec, digests), record.targets)
    with referring(root):
        planned = tuple(plan_units(units, root))
        for unit in units:
            Unit(root, unit).create()
        record = record.with_units(units)
        save_run(root, record)
    append_event(root, record.run_id, "prepared", plan={unit.spec.name: [unit.state, unit.reason] for unit in planned})
    return PreparedRun(record, spec, units, planned)


def _units(spec: Settings, digests: Mapping[str, str] | None) -> tuple[UnitSpec, ...]:
    """Return all units of a run of the pipeline or of teams."""
    # torch comes with these, which a recorded run may now wait for
    from mtquant.execution.names import check_names
    from mtquant.execution.teams import units_of_teams

    if not isinstance(spec, PipelineSpec):
        return units_of_teams(spec)
    check_names(spec)
    if digests is None:
        # Reading bars imports pandas; a caller that has the digests does not pay for it.
        from mtquant.execution.sources import prepare

        digests = prepare(spec)
    return units_of(spec, digests)


def with_absolute_files(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return `settings` with every file named by its absolute path."""
    return {
        name: str(Path(value).absolute()) if isinstance(value, str) and Path(value).is_file() else value
        for name, value in settings.items()
    }
