"""`evaluate`, `export` and `sync`: results of a finished training, made or published again."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from mtquant.cli import options
from mtquant.cli.engines import Engine, Launch, default_workers
from mtquant.cli.failures import say_error
from mtquant.cli.train import git_commit, run_recorded
from mtquant.cli.view import make_view
from mtquant.context import store_root
from mtquant.errors import MTQuantError, UsageError
from mtquant.execution.attempt import read_pipeline
from mtquant.execution.preparation import record_run
from mtquant.pipeline import ONNX, REPORT
from mtquant.store.runs import append_event, list_runs, load_run
from mtquant.tracking.describe import CREATED, first_event
from mtquant.tracking.location import without_secrets


class Split(StrEnum):
    """Split that an evaluation opens."""

    TEST = "test"
    VALIDATION = "validation"


SyncArgument = Annotated[str | None, typer.Argument(metavar="RUN", help="Name of the run; else all of the store.")]
SplitOption = Annotated[Split | None, typer.Option("--split", help="Split to open.")]
FromOption = Annotated[
    datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day to evaluate, as in 2019-01-01.")
]
ToOption = Annotated[datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day to evaluate.")]
EpisodesOption = Annotated[
    int | None, typer.Option("--episodes", min=2, help="Fresh episodes of the noise-free score (planted markets).")
]

ExplainOption = Annotated[
    int | None,
    typer.Option("--explain", min=1, metavar="BARS", help="Say what moved the decisions, on so many bars (Captum)."),
]


def evaluate(
    run: options.Run = None,
    split: SplitOption = None,
    first: FromOption = None,
    last: ToOption = None,
    episodes: EpisodesOption = None,
    explain: ExplainOption = None,
    as_json: options.Json = False,
) -> None:
    """Evaluate what a run trained, out of sample, and write the report; missing units are trained first.

    Days that the run trained on or chose its models on are refused.
    """
    changes: dict[str, object] = {"split": split, "paired_episodes": episodes, "first_day": first, "last_day": last}
    if explain:
        from mtquant.execution.explaining import require_captum

        require_captum()
        changes["explained_bars"] = explain
    changes = {name: value.date() if isinstance(value, datetime) else value for name, value in changes.items()}
    _derived(run, REPORT, {name: value for name, value in changes.items() if value is not None}, as_json)


def export(run: options.Run = None, as_json: options.Json = False) -> None:
    """Export what a run trained to ONNX, checked against torch; missing units are trained first."""
    _derived(run, ONNX, {}, as_json)


def sync(run: SyncArgument = None) -> None:
    """Publish to MLflow what is not there yet: one run, or all runs of the store, oldest first."""
    root = store_root()
    names = [load_run(root, run).run_id] if run else list_runs(root)
    if not names:
        raise UsageError(f"There is no run in {root.absolute()}. Start one with `mtquant train`.")
    from mtquant.tracking.publisher import Publisher

    publisher, failed = Publisher(root), 0
    for name in names:
        try:
            done = publisher.publish(name)
        except Exception as error:  # noqa: BLE001
            # Each run on its own: one that cannot be published must not hold back the others.
            failed += 1
            say_error(f"{name}: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
            continue
        typer.echo(f"{name}: published, {done.points} new points")
    if failed:
        raise MTQuantError(f"{failed} of {len(names)} runs could not be published to {without_secrets(publisher.uri)}.")


def _derived(run: str | None, target: str, evaluation: dict[str, object], as_json: bool) -> None:
    """Make one unit of a run's graph, as a run of its own where settings change or the run did not have it."""
    root = store_root()
    origin = load_run(root, run)
    spec = read_pipeline(origin)
    if evaluation:
        # Through the spec's own validation, as if it had been written in a file.
        changed = spec.evaluation.model_dump() | evaluation
        spec = spec.model_copy(update={"evaluation": type(spec.evaluation).model_validate(changed)})
    record = record_run(root, spec, ["mtquant", target, origin.run_id], "direct", (target,), origin.run_id)
    profile = first_event(root, origin.run_id, CREATED).get("profile")
    append_event(root, record.run_id, CREATED, profile=profile, git=git_commit())
    launch = Launch(Engine.DIRECT, default_workers(), None)
    run_recorded(root, record, launch, make_view(as_json), fresh=True)
