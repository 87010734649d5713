"""`marl`: train teams of agents on the documented environments."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mtquant.cli import options
from mtquant.cli.engines import Engine, Launch, default_workers
from mtquant.cli.train import EngineOption, WorkersOption, git_commit, run_recorded
from mtquant.cli.view import make_view
from mtquant.config.marl import TrainingMode, UnifiedTrainingConfig
from mtquant.config.teams import resolve_teams
from mtquant.context import store_root
from mtquant.errors import DataError
from mtquant.execution.preparation import record_run
from mtquant.registry import did_you_mean
from mtquant.store.runs import append_event

Mode = Annotated[TrainingMode, typer.Argument(help="Environment; `mixed` is the four of the market in turn.")]
Episodes = Annotated[int | None, typer.Option("--episodes", min=1, help="Episodes of experience, over all rows.")]
Bars = Annotated[str | None, typer.Option("--bars", help="File of one instrument's bars, or a planted market.")]


def marl(  # noqa: PLR0913
    mode: Mode = TrainingMode.TACTICAL,
    episodes: Episodes = None,
    bars: Bars = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="YAML file of settings.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", "-s", help="One setting, as in training.learning_rate=0.0003.")
    ] = None,
    curriculum: Annotated[bool, typer.Option("--curriculum", help="Let episodes get harder.")] = False,
    search: Annotated[bool, typer.Option("--search", help="Try step sizes in short trainings first.")] = False,
    seed: options.Seed = None,
    engine: EngineOption = Engine.PREFECT,
    workers: WorkersOption = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Train a team of agents by MAPPO, measure it on unseen bars, export it."""
    root = store_root()
    spec = team_settings(
        mode, config, changes or (), episodes=episodes, bars=bars, curriculum=curriculum, search=search, seed=seed
    )
    record = record_run(root, spec, ["mtquant", *sys.argv[1:]], engine.value)
    append_event(root, record.run_id, "created", profile="marl", git=git_commit())
    launch = Launch(engine, workers or default_workers())
    run_recorded(root, record, launch, make_view(as_json, quiet=quiet), fresh=True)


def team_settings(
    mode: TrainingMode,
    config: Path | None,
    changes: Sequence[str],
    *,
    episodes: int | None = None,
    bars: str | None = None,
    curriculum: bool = False,
    search: bool = False,
    seed: int | None = None,
) -> UnifiedTrainingConfig:
    """Return the settings that the options describe.

    Raises `ConfigError` that lists every problem, and `DataError` for bars that are nowhere.
    """
    stated = {
        "total_episodes": episodes,
        "environment.bars": bars,
        "training.seed": seed,
        "enable_curriculum_learning": curriculum or None,
        "enable_hyperparameter_optimization": search or None,
    }
    given: list[str | tuple[str, object]] = [*changes]
    given += [(key, value) for key, value in stated.items() if value is not None]
    spec = resolve_teams(mode, config, given)
    _require_bars(spec.environment.get("bars"))
    return spec


def _require_bars(bars: object) -> None:
    """Raise `DataError` where `bars` are neither a file nor a planted market, before a run is recorded."""
    from mtquant.synthetic import SYNTHETIC

    if isinstance(bars, str) and bars not in SYNTHETIC and not Path(bars).is_file():
        hint = did_you_mean(bars, SYNTHETIC)
        raise DataError(f"`{bars}` is neither a file of one instrument's bars nor a planted market.{hint}")
