"""`oracle`: what is known to be possible, and that reference policies attain it when they are played."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Annotated, Any

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
    market: Annotated[str | None, typer.Argument(help="Planted market; without one, every known optimum.")] = None,
    paths: PathsOption = 64,
    bars: BarsOption = 1150,
    seed: Annotated[int, typer.Option("--seed", help="Root of the random streams.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Print every known optimum beside what its policy earns when played, or the references of one market."""
    if market is None:
        _list_optima(paths, bars, seed, as_json)
        return
    found = references(market, paths, bars, seed)
    gap = embedded_gap(found) if market == "embedded" else None
    if as_json:
        content: Any = [asdict(entry) for entry in found]
        typer.echo(json.dumps(content if gap is None else {"references": content, "gap": gap}, indent=1))
        return
    table = _table("policy", "utility per bar", "95 % interval", "annual Sharpe")
    for entry in found:
        interval = f"{entry.low:+.4f} to {entry.high:+.4f}"
        table.add_row(entry.policy, f"{entry.utility:+.4f}", interval, f"{entry.sharpe:+.2f}")
    Console().print(table)
    if gap is not None:
        Console().print(f"\n{gap_sentence(gap)}", highlight=False)


def references(market: str, paths: int, bars: int, seed: int) -> list[Reference]:
    """Return the values of all reference policies of `market`, worst first."""
    from mtquant.evaluation.oracles.books import follow
    from mtquant.evaluation.oracles.noise_free import mean_utility, score_book
    from mtquant.evaluation.oracles.policies import WARMUP, build_oracle, offered
    from mtquant.synthetic import build_planted, evaluation_paths

    streams = Streams(seed)
    planted = build_planted(market, {}, streams)
    fresh = evaluation_paths(planted, streams, paths, bars)
    found = []
    for name in offered(fresh):
        policy = build_oracle(name, fresh, planted)
        score = score_book(follow(policy, fresh.market, WARMUP), fresh.market, fresh.truth, WARMUP)
        value = mean_utility(score)
        found.append(Reference(name, value.value, value.low, value.high, score.sharpe))
    return sorted(found, key=lambda entry: entry.utility)


def embedded_gap(found: list[Reference]) -> dict[str, float]:
    """Return how far the runnable references of the embedded market lie below what is exact.

    `bound`: closed form with the regime told. The optimum without being told lies between `joint`, which is
    played, and the bound, so `gap` is what is not known about it.
    """
    from mtquant.synthetic.embedded import EmbeddedParams
    from mtquant.synthetic.jump_linear import joint, policy_value

    params = EmbeddedParams()
    bound = policy_value(params, joint(params)).utility
    played = {entry.policy: entry.utility for entry in found}
    return {
        "bound": bound,
        "bound_played": played["full-information"],
        "joint": played["joint"],
        "joint_share": played["joint"] / played["full-information"],
        "gap": 1.0 - played["joint"] / played["full-information"],
        "phase2_over_equal": played["phase2"] / played["equal"],
        "joint_over_phase2": played["joint"] / played["phase2"],
    }


def gap_sentence(gap: dict[str, float]) -> str:
    """Return for people how tight the bound of the embedded market is."""
    return (
        f"No policy can pass {gap['bound']:.4f} per bar (regime told, closed form; {gap['bound_played']:.4f} on these "
        f"histories). The joint reference, which filters the regime, earns {gap['joint_share']:.1%} of that: the "
        f"optimum lies in the {gap['gap']:.1%} between them, and shares of `joint` can exceed 1 by no more."
    )


def _list_optima(paths: int, bars: int, seed: int, as_json: bool) -> None:
    from mtquant.evaluation.oracles.known import KNOWN, KnownOptimum, Size, standard_errors

    size = Size(paths, bars, seed)
    found: list[KnownOptimum] = [build(size) for build in KNOWN]
    if as_json:
        entries = [asdict(entry) | {"standard_errors": _number(standard_errors(entry))} for entry in found]
        typer.echo(json.dumps(entries, indent=1))
        return
    table = _table("problem", "value", "exact", "played", "95 % interval", "from")
    for entry in found:
        interval = f"{entry.played.low:.5f} to {entry.played.high:.5f}"
        row = (entry.name, entry.quantity, f"{entry.value:.5f}", f"{entry.played.value:.5f}", interval, entry.source)
        table.add_row(*row)
    Console().print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        words = column in ("policy", "problem", "value", "from")
        table.add_column(column, justify="left" if words else "right", no_wrap=column != "value")
    return table


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
