"""`train`, `plan` and `resume`."""

import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mtquant.cli import options
from mtquant.cli.engines import Engine, Launch, Watcher, complete_record, default_workers, execute
from mtquant.cli.failures import say_note
from mtquant.cli.processes import arguments_of
from mtquant.cli.progress import Progress
from mtquant.cli.report import failed_report, forget_failure
from mtquant.cli.seeds import several, show_seeds
from mtquant.cli.view import View, make_view
from mtquant.context import store_root
from mtquant.errors import LockedError, MTQuantError, Preempted, UsageError
from mtquant.execution.numerics import threads
from mtquant.execution.preparation import PreparedRun, prepare_run, record_run
from mtquant.pipeline import ONNX, REPORT
from mtquant.store.files import remove_tree
from mtquant.store.locks import Holder
from mtquant.store.runs import (
    RunRecord,
    append_event,
    begin_lock,
    list_runs,
    load_run,
    run_folder,
    run_holder,
    run_lock,
    unit_of_run,
)
from mtquant.store.status import run_status
from mtquant.store.units import Unit
from mtquant.tracking.location import tracking_uri, without_secrets
from mtquant.tracking.published import pending_units
from mtquant.tracking.tensorboard import TensorBoardEvents

TEAMS = {"mappo": "rewards.md", "onnx": "manifest.json"}
"""Kinds of units of teams, and the file of theirs that people look for."""
"""Kind of the units that train teams, and the report that each leaves."""
EngineOption = Annotated[Engine, typer.Option("--engine", "-e", help="Prefect flow, or the units without Prefect.")]
WorkersOption = Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Units trained side by side.")]
LogDirOption = Annotated[Path | None, typer.Option("--log-dir", help="Folder for a training.log per phase.")]
SeedsOption = Annotated[int | None, typer.Option("--seeds", min=1, help="As many runs, one a seed, counted from it.")]
BoardOption = Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard events, into logs/.")]


def train(  # noqa: PLR0913
    profile: options.Profile = None,
    config: options.Config = None,
    data: options.Data = None,
    timeframe: options.Timeframe = None,
    changes: options.Setting = None,
    seed: options.Seed = None,
    seeds: SeedsOption = None,
    walk_forward: options.WalkForward = False,
    engine: EngineOption = Engine.PREFECT,
    workers: WorkersOption = None,
    phase: options.Phase = None,
    log_dir: LogDirOption = None,
    tensorboard: BoardOption = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train all three phases, evaluate, export; what is finished already is reused."""
    root = store_root()
    spec = options.resolved_settings(profile, config, data, timeframe, changes, seed, walk_forward)
    options.require_source(spec)
    targets = options.targets_of(spec, phase)
    launch = Launch(engine, workers or default_workers(), _log_dir(log_dir, tensorboard))
    records = []
    for one in several(spec, seeds):
        record = record_run(root, one, ["mtquant", *sys.argv[1:]], engine.value, targets)
        append_event(root, record.run_id, "created", profile=profile or "default", git=git_commit())
        view = make_view(as_json, quiet=quiet)
        records.append(run_recorded(root, record, launch, view, tensorboard=tensorboard, fresh=True).record)
    if seeds is not None:
        show_seeds(root, records, as_json)


def plan(  # noqa: PLR0913
    profile: options.Profile = None,
    config: options.Config = None,
    data: options.Data = None,
    timeframe: options.Timeframe = None,
    changes: options.Setting = None,
    seed: options.Seed = None,
    walk_forward: options.WalkForward = False,
    phase: options.Phase = None,
    as_json: options.Json = False,
) -> None:
    """Show what `train` with the same options would do, and why; changes nothing."""
    from mtquant.execution.sources import prepare
    from mtquant.pipeline import plan as planned
    from mtquant.pipeline import units_of, with_upstream

    spec = options.resolved_settings(profile, config, data, timeframe, changes, seed, walk_forward)
    options.require_source(spec)
    digests = prepare(spec)
    names = {unit.name for unit in with_upstream(units_of(spec, digests), options.targets_of(spec, phase))}
    units = [unit for unit in planned(spec, digests, store_root()) if unit.spec.name in names]
    make_view(as_json).plan(units, {"store": str(store_root().absolute())})


def resume(  # noqa: PLR0913
    run: options.Run = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Make this phase (1, 2, 3, evaluate, export) and what follows again.")
    ] = None,
    restart: Annotated[
        bool, typer.Option(help="Start a unit from step 0 where all its checkpoints are damaged; else exit with 5.")
    ] = True,
    engine: Annotated[Engine | None, typer.Option("--engine", "-e", help="Else the one the run had.")] = None,
    workers: WorkersOption = None,
    log_dir: LogDirOption = None,
    tensorboard: BoardOption = False,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Continue a run exactly where it stopped; finished units are not trained again unless `--from` asks for it."""
    root = store_root()
    record = load_run(root, run)
    chosen = engine or Engine(record.engine)
    launch = Launch(chosen, workers or default_workers(), _log_dir(log_dir, tensorboard), restart=restart)
    append_event(root, record.run_id, "resumed", git=git_commit(), engine=chosen.value, start=start)
    if start is not None:
        begin_again(root, record, start)
    run_recorded(root, record, launch, make_view(as_json, quiet=quiet), tensorboard=tensorboard, fresh=False)


def begin_again(root: Path, record: RunRecord, start: str) -> None:
    """Set the results and checkpoints of a phase and of what reads it aside, so that they are made from step 0.

    They lie in each unit's `quarantine` until `mtquant gc`. Raises `UsageError` for an unknown phase and `LockedError`
    where a unit is at work.
    """
    with run_lock(root, record.run_id):
        for unit in again_from(root, record, start):
            with unit.lock():
                unit.set_aside(checkpoints=True)


def again_from(root: Path, record: RunRecord, start: str) -> list[Unit]:
    """Return the units of the phase `start` and all that read them, in order."""
    units = [unit_of_run(root, record, name) for name in record.units]
    kinds = list(dict.fromkeys(unit.spec.kind for unit in units))
    kind = f"phase{start}" if start.isdigit() else start
    if kind not in kinds:
        raise UsageError(
            f"The run {record.run_id} has no phase `{start}`; it has {', '.join(kinds) or 'no units yet'}."
        )
    found: list[Unit] = []
    for unit in units:
        if unit.spec.kind == kind or {known.spec.name for known in found} & set(unit.spec.upstream):
            found.append(unit)
    return found


def run_recorded(
    root: Path, record: RunRecord, launch: Launch, view: View, *, tensorboard: bool = False, fresh: bool
) -> PreparedRun:
    """Prepare a recorded run, show the plan, execute it and show where the results are."""
    with ExitStack() as beginning:
        # `status` and `stop` see the run by this lock until the engine has its own.
        beginning.enter_context(begin_lock(root, record.run_id))
        _refuse_held(run_holder(root, record.run_id), f"The run {record.run_id}")
        with view.preparing():
            prepared = prepare_run(root, record)
        if all(unit.state == "reuse" for unit in prepared.plan):
            view.plan(prepared.plan, {})
            if not fresh:
                complete_record(root, prepared.record)
            return replace(prepared, record=_nothing_to_do(root, prepared, view, fresh))
        _refuse_held_units(root, prepared, fresh)
        view.plan(prepared.plan, facts_before(root, prepared.record, launch))
        board = _board(root, prepared.record, launch) if tensorboard else None
        view.begin(Progress(root, prepared.record))

        def tick() -> None:
            if run_holder(root, record.run_id) is not None:
                beginning.close()
            view.tick()
            if board is not None:
                board.update_soon()

        try:
            execute(root, prepared, launch, Watcher(tick, view.say))
        except MTQuantError as error:
            if not isinstance(error, Preempted):
                say_note(f"what is left of it: {failed_report(root, prepared.record)}")
            raise
        finally:
            view.finish()
            if board is not None:
                board.close()
            _say_logs(root, prepared.record)
    forget_failure(root, prepared.record)
    view.end(results_of(root, prepared.record))
    return prepared


def _refuse_held_units(root: Path, prepared: PreparedRun, fresh: bool) -> None:
    """Raise `LockedError` where a unit is being made by another run; a record made for nothing goes."""
    try:
        for unit in prepared.units:
            holder = Unit(root, unit).holder()
            # A process of this run whose engine is gone is on its way to its checkpoint; the engine waits for it.
            if holder is None or prepared.record.run_id not in arguments_of(holder.pid):
                _refuse_held(holder, f"The unit {unit.name}")
    except LockedError:
        if fresh:
            remove_tree(run_folder(root, prepared.record.run_id))
        raise


def _refuse_held(holder: Holder | None, what: str) -> None:
    """Raise `LockedError` before anything starts where another process is at work."""
    if holder is not None:
        raise LockedError(f"{what} is held by {holder}. `mtquant status` shows how far it is; start this one after it.")


def _say_logs(root: Path, record: RunRecord) -> None:
    """Say where the story of a failed unit is told."""
    for unit in run_status(root, record).units:
        if unit.state == "failed":
            say_note(f"what happened in {unit.name}: mtquant logs {record.run_id} {unit.name}")


def facts_before(root: Path, record: RunRecord, launch: Launch) -> dict[str, str]:
    """Return what a person wants to know before training starts."""
    return {
        "run": record.run_id,
        "store": str(root.absolute()),
        "tracking": without_secrets(tracking_uri(root)),
        "workers": f"{launch.workers} side by side, {threads()} thread{'s' if threads() > 1 else ''} each",
        "engine": launch.engine.value,
        "stop": "Ctrl-C or `mtquant stop`; `mtquant resume` continues exactly",
    }


def results_of(root: Path, record: RunRecord) -> dict[str, str]:
    """Return where the results are: only files that exist."""
    found = {"run": record.run_id}
    report = _output(root, record, REPORT, "report.html")
    if report is not None:
        found["report"] = str(report)
    onnx = _output(root, record, ONNX, "")
    if onnx is not None:
        found["onnx"] = str(onnx)
    for name in record.units:
        kind, _, mode = name.partition("-")
        team = _output(root, record, name, TEAMS[kind]) if kind in TEAMS else None
        if team is not None:
            found[f"{mode} {kind}" if kind == "onnx" else mode] = str(team.parent if kind == "onnx" else team)
    pending = pending_units(root, record, tracking_uri(root))
    if pending:
        log = run_folder(root, record.run_id) / "tracking.log"
        found["tracking"] = f"not yet in MLflow: {', '.join(pending)} (see {log}); `mtquant sync` publishes them"
    else:
        found["tracking"] = "`mtquant ui` shows the learning curves in MLflow"
    return found


def git_commit() -> str:
    """Return the commit of the working folder, with `+` where files differ from it; empty outside a repository."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _nothing_to_do(root: Path, prepared: PreparedRun, view: View, fresh: bool) -> RunRecord:
    """Say why nothing happens, and drop the record that this command has just made."""
    record = prepared.record
    if fresh:
        twin = _run_with(root, record)
        if twin is not None:
            remove_tree(run_folder(root, record.run_id))
            record = twin
    view.say(
        f"Nothing to do: all {len(prepared.units)} units are finished with the same settings, data and code "
        f"(run {record.run_id}). Change a setting to train something else."
    )
    view.end(results_of(root, record))
    return record


def _run_with(root: Path, record: RunRecord) -> RunRecord | None:
    """Return the newest other run that has the same units, or None."""
    for run_id in reversed(list_runs(root)):
        if run_id != record.run_id:
            other = load_run(root, run_id)
            if all(other.units.get(name) == entry for name, entry in record.units.items()):
                return other
    return None


def _output(root: Path, record: RunRecord, unit: str, name: str) -> Path | None:
    if unit not in record.units:
        return None
    found = unit_of_run(root, record, unit)
    path = found.outputs / name
    return path.absolute() if found.done() is not None and path.exists() else None


def _log_dir(log_dir: Path | None, tensorboard: bool) -> Path | None:
    return Path("logs") if log_dir is None and tensorboard else log_dir


def _board(root: Path, record: RunRecord, launch: Launch) -> TensorBoardEvents:
    return TensorBoardEvents(root, record, (launch.log_dir or Path("logs")) / "tensorboard" / record.run_id)
