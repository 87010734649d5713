"""From settings to a recorded run, and from a recorded run to its units."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtquant.config.agents import PipelineSpec
from mtquant.execution.attempt import read_settings
from mtquant.pipeline import PlannedUnit, is_planted, plan, units_of, with_upstream
from mtquant.store.garbage import referring
from mtquant.store.runs import RunRecord, append_event, create_run, save_run
from mtquant.store.units import Unit, UnitSpec
from mtquant.synthetic.settings import with_objective


@dataclass(frozen=True)
class PreparedRun:
    """A run whose units are known and have their folders in the store."""

    record: RunRecord
    spec: PipelineSpec
    units: tuple[UnitSpec, ...]
    plan: tuple[PlannedUnit, ...]
    """What was to be done when it was prepared."""


def record_run(
    root: Path,
    spec: PipelineSpec,
    command: Sequence[str],
    engine: str,
    targets: Sequence[str] = (),
    origin: str | None = None,
) -> RunRecord:
    """Record a new run before its bars are read, so that it can be resumed whatever happens next.

    A folder of bars is recorded by its absolute path: the run may be resumed from elsewhere. A planted market brings
    its payment and costs (`synthetic.settings`).
    """
    spec = with_objective(spec)
    if not is_planted(spec):
        data = spec.data.model_copy(update={"source": str(Path(spec.data.source).absolute())})
        spec = spec.model_copy(update={"data": data})
    return create_run(root, list(command), spec.model_dump(mode="json"), engine, targets, origin)


def prepare_run(root: Path, record: RunRecord, digests: Mapping[str, str] | None = None) -> PreparedRun:
    """Return the units of a recorded run, from its bars as they are now, and write them into its record.

    `digests` may be given where the bars were read already. Raises `DataError` where they cannot be.
    """
    # torch comes with it, which a recorded run may now wait for
    from mtquant.execution.names import check_names

    spec = read_settings(record)
    check_names(spec)
    if digests is None:
        # Reading bars imports pandas; a caller that has the digests does not pay for it.
        from mtquant.execution.sources import prepare

        digests = prepare(spec)
    units = with_upstream(units_of(spec, digests), record.targets)
    names = {unit.name for unit in units}
    with referring(root):
        planned = tuple(unit for unit in plan(spec, digests, root) if unit.spec.name in names)
        for unit in units:
            Unit(root, unit).create()
        record = record.with_units(units)
        save_run(root, record)
    append_event(root, record.run_id, "prepared", plan={unit.spec.name: [unit.state, unit.reason] for unit in planned})
    return PreparedRun(record, spec, units, planned)
