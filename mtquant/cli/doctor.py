"""`doctor`: whether this installation can do its work."""

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from typing import Annotated

import typer

from mtquant.cli import options
from mtquant.cli.doctor_servers import servers
from mtquant.cli.doctor_store import store
from mtquant.cli.engines import default_workers
from mtquant.cli.findings import BAD, OK, WARNING, Finding
from mtquant.cli.proofs import prove
from mtquant.context import market_data_root, store_root
from mtquant.errors import ConfigError, MTQuantError
from mtquant.execution.numerics import threads

PACKAGES = (
    "numpy",
    "torch",
    "stable-baselines3",
    "gymnasium",
    "pettingzoo",
    "pandas",
    "prefect",
    "fastapi",
    "mlflow",
    "onnxruntime",
    "torchjd",
    "TA-Lib",
)


def doctor(
    leaks: Annotated[bool, typer.Option("--leaks", help="Look for planted leaks, and for none where none is.")] = False,
    learning: Annotated[bool, typer.Option("--learning", help="Train against known optima, small.")] = False,
    as_json: options.Json = False,
) -> None:
    """Check versions, combinations known not to work, settings, threads, the store, disk space and servers."""
    if leaks or learning:
        prove(leaks=leaks, learning=learning, as_json=as_json)
        return
    found = findings()
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in found], indent=1))
    else:
        for entry in found:
            typer.echo(f"{entry.level:<8} {entry.what}: {entry.text}")
    bad = [entry.what for entry in found if entry.level == BAD]
    if bad:
        raise MTQuantError(f"{', '.join(bad)}: see above for what to do.")


def findings() -> list[Finding]:
    """Return everything that was looked at, in order."""
    found = [Finding("python", OK, f"{platform.python_version()} on {platform.machine()}")]
    found += [_package(name) for name in PACKAGES]
    found += _combinations(_version)
    found += [_settings(), _threads(), *store(store_root()), *servers(store_root())]
    return [*found, _market_data()]


def _version(name: str) -> tuple[int, ...] | None:
    try:
        text = metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
    return tuple(int(part) for part in text.split("+")[0].split(".")[:3] if part.isdigit())


def _package(name: str) -> Finding:
    try:
        return Finding(name, OK, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, BAD, "not installed; `make install` installs the tested versions")


def _combinations(version: Callable[[str], tuple[int, ...] | None]) -> list[Finding]:
    """Return combinations that install but do not work."""
    prefect, fastapi, mlflow, sb3 = (version(n) for n in ("prefect", "fastapi", "mlflow", "stable-baselines3"))
    found = []
    if prefect and fastapi and prefect < (3, 9) and fastapi >= (0, 151):
        text = "Prefect's server does not start with this fastapi; install fastapi<0.151, or use `--engine direct`"
        found.append(Finding("prefect with fastapi", BAD, text))
    if mlflow and mlflow < (3, 16, 1):
        found.append(Finding("mlflow", BAD, "CVE-2026-2635 is open below 3.16.1; upgrade"))
    if sb3 and not (2, 9) <= sb3 < (2, 10):
        text = "exact resume is tested with 2.9 only; install stable-baselines3>=2.9,<2.10"
        found.append(Finding("stable-baselines3", WARNING, text))
    return found


def _settings() -> Finding:
    from mtquant.config.load import config_folder, profiles, resolve

    try:
        for name in profiles():
            resolve(name)
    except ConfigError as error:
        return Finding("settings", BAD, str(error))
    return Finding("settings", OK, f"{config_folder().absolute()} with profiles {', '.join(profiles())}")


def _threads() -> Finding:
    workers, cores = default_workers(), os.cpu_count() or 1
    text = f"{workers} units side by side with {threads()} threads each on {cores} processors"
    return Finding("threads", OK if workers * threads() <= cores else WARNING, text)


def _market_data() -> Finding:
    found = market_data_root()
    text = str(found) if found else "none (tests on real bars skip); MTQUANT_MARKET_DATA names a folder"
    return Finding("market data", OK, text)
