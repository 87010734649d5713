"""Options that several commands share, and what they mean together."""

from pathlib import Path
from typing import Annotated

import typer

from mtquant.config.agents import PipelineSpec
from mtquant.errors import DataError, UsageError
from mtquant.registry import did_you_mean

Profile = Annotated[str | None, typer.Option("--profile", "-p", help="Profile: smoke, default or spec.")]
Config = Annotated[Path | None, typer.Option("--config", "-c", help="YAML file with what differs from the profile.")]
Data = Annotated[str | None, typer.Option("--data", "-d", help="Folder of bars, or the name of a planted market.")]
Timeframe = Annotated[str | None, typer.Option("--timeframe", "-t", help="Bar length in the folder: M5, M30, H1, D1.")]
Setting = Annotated[list[str] | None, typer.Option("--set", "-s", help="One setting, as in phase1.timesteps=20000.")]
Seed = Annotated[int | None, typer.Option("--seed", help="Root of every random stream.")]
Run = Annotated[str | None, typer.Argument(metavar="RUN", help="Name of the run, or its beginning; else the newest.")]
Json = Annotated[bool, typer.Option("--json", help="Write JSON for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only where the results are, and errors.")]
WalkForward = Annotated[
    bool, typer.Option("--walk-forward", help="Train and test once per fold (`walk_forward` in the settings).")
]
Phase = Annotated[int | None, typer.Option("--phase", min=1, max=3, help="Only this phase and what it needs.")]


def resolved_settings(
    profile: str | None,
    config: Path | None,
    data: str | None = None,
    timeframe: str | None = None,
    changes: list[str] | None = None,
    seed: int | None = None,
    walk_forward: bool = False,
) -> PipelineSpec:
    """Return the settings that the options describe; notes of the configuration go to standard error.

    Raises `ConfigError` that lists every problem.
    """
    from mtquant.cli.failures import say_note
    from mtquant.config.load import resolve
    from mtquant.synthetic.settings import with_objective

    stated: list[str | tuple[str, object]] = list(changes or ())
    named = {
        "data.source": data,
        "data.timeframe": timeframe,
        "seed": seed,
        "walk_forward.enabled": walk_forward or None,
    }
    stated += [(key, value) for key, value in named.items() if value is not None]
    found = resolve(profile, config, stated)
    for note in found.notes:
        say_note(note)
    return with_objective(found.spec)


def require_source(spec: PipelineSpec) -> None:
    """Raise `DataError` where `data.source` is neither a planted market nor a folder, before a run is recorded."""
    from mtquant.pipeline import is_planted
    from mtquant.synthetic import SYNTHETIC

    if not is_planted(spec) and not Path(spec.data.source).is_dir():
        hint = did_you_mean(spec.data.source, SYNTHETIC)
        raise DataError(f"`{spec.data.source}` is neither a folder of bars nor a planted market.{hint}")


def targets_of(spec: PipelineSpec, phase: int | None) -> tuple[str, ...]:
    """Return the units that `--phase` asks for; none means all."""
    from mtquant.store.fold_names import fold_name

    if phase is None:
        return ()
    if phase not in (1, 2, 3):
        raise UsageError(f"There is no phase {phase}; 1, 2 and 3 are possible.")
    names = {1: tuple(f"phase1-{group}" for group in spec.groups), 2: ("phase2-meta",), 3: ("phase3-joint",)}[phase]
    folds: list[int | None] = list(range(1, spec.walk_forward.count + 1))
    return tuple(fold_name(name, fold) for fold in folds or [None] for name in names)
