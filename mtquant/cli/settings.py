"""`config show`, `config check`, `config diff` and `config explain`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mtquant.cli import options
from mtquant.config.agents import PipelineSpec
from mtquant.errors import UsageError

config_app = typer.Typer(help="Settings: show, check, compare, explain.", no_args_is_help=True)


@config_app.command("show")
def show(
    profile: options.Profile = None,
    config: options.Config = None,
    data: options.Data = None,
    changes: options.Setting = None,
    as_json: options.Json = False,
) -> None:
    """Print all settings as one YAML file, defaults included."""
    from mtquant.config.load import to_yaml

    spec = options.resolved_settings(profile, config, data, None, changes)
    typer.echo(spec.model_dump_json(indent=1) if as_json else to_yaml(spec), nl=False)


@config_app.command("check")
def check(profile: options.Profile = None, config: options.Config = None, changes: options.Setting = None) -> None:
    """Say whether the settings are valid; every problem is listed with file, line and key."""
    spec = options.resolved_settings(profile, config, None, None, changes)
    typer.echo(f"valid: {len(spec.environment.instruments)} instruments in {len(spec.groups)} groups, seed {spec.seed}")


@config_app.command("diff")
def diff(
    ours: Annotated[str, typer.Argument(help="A profile, a YAML file, or a run.")],
    theirs: Annotated[str, typer.Argument(help="Another one.")] = "default",
    as_json: options.Json = False,
) -> None:
    """Print every setting in which two profiles, files or runs differ."""
    from mtquant.config.explain import differences

    found = differences(_spec(ours), _spec(theirs))
    if as_json:
        typer.echo(json.dumps([{"key": key, ours: a, theirs: b} for key, a, b in found], indent=1))
        return
    for key, a, b in found:
        typer.echo(f"{key}: {json.dumps(a)} -> {json.dumps(b)}")
    if not found:
        typer.echo("no difference")


@config_app.command("explain")
def explain(
    key: Annotated[str, typer.Argument(help="A setting or block, as in phase1.ppo; none for all.")] = "",
) -> None:
    """Print what settings mean, what may be written and the default."""
    from mtquant.config.explain import settings

    for setting in settings(key):
        default = "has to be stated" if setting.default is None else f"default {json.dumps(setting.default)}"
        typer.echo(f"{setting.key} ({setting.kind}; {default})\n    {setting.meaning}")


def _spec(name: str) -> PipelineSpec:
    """Return the settings of a YAML file, a profile, or a run."""
    from mtquant.config.load import profiles, resolve
    from mtquant.context import store_root
    from mtquant.execution.attempt import read_pipeline
    from mtquant.store.runs import list_runs, load_run

    if Path(name).is_file():
        return resolve(None, Path(name)).spec
    if name in profiles():
        return resolve(name).spec
    if any(run.startswith(name) for run in list_runs(store_root())):
        return read_pipeline(load_run(store_root(), name))
    raise UsageError(f"`{name}` is no file, no profile ({', '.join(profiles())}) and no run in {store_root()}.")
