"""The Typer application: which commands there are, and how any of them ends."""

from collections.abc import Sequence

import typer

from mtquant import __version__
from mtquant.cli import (
    bars,
    doctor,
    garbage,
    init,
    inspection,
    oracle,
    promote,
    results,
    runs,
    servers,
    settings,
    stop,
    train,
    verify,
)
from mtquant.cli.failures import exit_code_of

app = typer.Typer(
    name="mtquant",
    help="Train, resume, evaluate and export a hierarchy of trading agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mtquant {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Train, resume, evaluate and export a hierarchy of trading agents."""


app.command()(init.init)
app.command()(train.train)
app.command()(train.plan)
app.command()(train.resume)
app.command()(stop.stop)
app.command()(inspection.status)
app.add_typer(runs.runs_app, name="runs")
app.command()(inspection.logs)
app.command()(results.evaluate)
app.command()(results.export)
app.command()(results.sync)
app.command()(promote.promote)
app.command()(verify.verify)
app.command()(garbage.gc)
app.command("import")(bars.import_files)
app.add_typer(settings.config_app, name="config")
app.command()(servers.ui)
app.command()(doctor.doctor)
app.command()(oracle.oracle)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error becomes one message on standard error."""
    try:
        app(list(arguments), prog_name="mtquant")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:  # noqa: BLE001
        return exit_code_of(error)
    return 0
