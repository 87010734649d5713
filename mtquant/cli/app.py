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
    marl,
    oracle,
    promote,
    report,
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


BEGIN, TRAIN, WATCH, RESULTS, STORE = "To begin", "To train", "To watch", "Results", "The store"
app.command(rich_help_panel=BEGIN)(init.init)
app.command(rich_help_panel=BEGIN)(doctor.doctor)
app.command("import", rich_help_panel=BEGIN)(bars.import_files)
app.add_typer(settings.config_app, name="config", rich_help_panel=BEGIN)
app.command(rich_help_panel=BEGIN)(oracle.oracle)
app.command(rich_help_panel=TRAIN)(train.plan)
app.command(rich_help_panel=TRAIN)(train.train)
app.command(rich_help_panel=TRAIN)(marl.marl)
app.command(rich_help_panel=TRAIN)(stop.stop)
app.command(rich_help_panel=TRAIN)(train.resume)
app.command(rich_help_panel=WATCH)(inspection.status)
app.command(rich_help_panel=WATCH)(inspection.logs)
app.command(rich_help_panel=WATCH)(servers.ui)
app.add_typer(report.report_app, name="report", rich_help_panel=RESULTS)
app.add_typer(runs.runs_app, name="runs", rich_help_panel=RESULTS)
app.command(rich_help_panel=RESULTS)(results.evaluate)
app.command(rich_help_panel=RESULTS)(results.export)
app.command(rich_help_panel=RESULTS)(promote.promote)
app.command(rich_help_panel=STORE)(verify.verify)
app.command(rich_help_panel=STORE)(results.sync)
app.command(rich_help_panel=STORE)(garbage.gc)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every error becomes one message on standard error."""
    try:
        app(list(arguments), prog_name="mtquant")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:  # noqa: BLE001
        return exit_code_of(error)
    return 0
