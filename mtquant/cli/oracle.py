"""`oracle`: what is known to be possible on a planted market."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from mtquant.cli import options
from mtquant.context import Streams

PathsOption = Annotated[int, typer.Option("--paths", min=2, help="Fresh histories to average over.")]
BarsOption = Annotated[int, typer.Option("--bars", min=300, help="Bars of each, warm-up of 150 included.")]


@dataclass(frozen=True)
class Reference:
    """One reference policy's values on fresh histories, in risk units, without noise."""

    policy: str
    utility: float
    """Per bar."""
    low: float
    high: float
    sharpe: float
    """Annual, after costs."""


def oracle(
    market: Annotated[str, typer.Argument(help="Planted market.")] = "embedded",
    paths: PathsOption = 64,
    bars: BarsOption = 1150,
    seed: Annotated[int, typer.Option("--seed", help="Root of the random streams.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Print what reference policies earn on a planted market: the yardsticks of the report."""
    found = references(market, paths, bars, seed)
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in found], indent=1))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("policy", no_wrap=True)
    for name in ("utility per bar", "95 % interval", "annual Sharpe"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in found:
        interval = f"{entry.low:+.4f} to {entry.high:+.4f}"
        table.add_row(entry.policy, f"{entry.utility:+.4f}", interval, f"{entry.sharpe:+.2f}")
    Console().print(table)


def references(market: str, paths: int, bars: int, seed: int) -> list[Reference]:
    """Return the values of all reference policies of `market`, worst first."""
    from mtquant.evaluation.oracles.books import follow
    from mtquant.evaluation.oracles.noise_free import mean_utility, score_book
    from mtquant.evaluation.oracles.policies import ORACLES, WARMUP, build_oracle
    from mtquant.synthetic import build_planted, evaluation_paths

    streams = Streams(seed)
    planted = build_planted(market, {}, streams)
    fresh = evaluation_paths(planted, streams, paths, bars)
    found = []
    for name in ORACLES:
        policy = build_oracle(name, fresh, planted)
        score = score_book(follow(policy, fresh.market, WARMUP), fresh.market, fresh.truth, WARMUP)
        value = mean_utility(score)
        found.append(Reference(name, value.value, value.low, value.high, score.sharpe))
    return sorted(found, key=lambda entry: entry.utility)
