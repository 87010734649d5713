"""Several seeds of the same settings: one run each, and what they have in common."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from mtquant.cli.output import console
from mtquant.config.agents import PipelineSpec
from mtquant.context import Streams
from mtquant.store.journal import to_json_number
from mtquant.store.runs import RunRecord, unit_of_run


@dataclass(frozen=True)
class Across:
    """One metric of a unit over all seeds."""

    unit: str
    metric: str
    values: tuple[float, ...]
    """One per seed, in their order."""
    value: float
    """Interquartile mean."""
    low: float
    high: float
    """95 % stratified bootstrap interval; NaN with one seed."""


def several(spec: PipelineSpec, seeds: int | None) -> list[PipelineSpec]:
    """Return `spec` once for each of `seeds` seeds, counted from its own; as it is where none is asked for."""
    return [spec.model_copy(update={"seed": spec.seed + i}) for i in range(seeds or 1)]


def across(root: Path, records: Sequence[RunRecord]) -> tuple[Across, ...]:
    """Return every final metric that all runs have, unit by unit."""
    # imported here: scipy's statistics are not needed to start a training
    import numpy as np

    from mtquant.evaluation.seeds import stratified_interval

    found = []
    for unit in records[0].units:
        results = [_metrics(root, record, unit) for record in records]
        for metric in results[0]:
            values = [result.get(metric, math.nan) for result in results]
            if np.isfinite(values).all():
                rng = Streams(0).rng("seeds", unit, metric)
                interval = stratified_interval(np.array(values)[:, None], rng)
                found.append(Across(unit, metric, tuple(values), interval.value, interval.low, interval.high))
    return tuple(found)


def show_seeds(root: Path, records: Sequence[RunRecord], as_json: bool) -> None:
    """Print the metrics of all seeds with interquartile mean and interval."""
    found = across(root, records)
    if as_json:
        sys.stdout.write(json.dumps(values_of(found, records)) + "\n")
    else:
        console().print(table_of(found, records))


def table_of(found: Sequence[Across], records: Sequence[RunRecord]) -> Table:
    """Return the metrics of all seeds as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    seeds = [f"seed {record.config.get('seed')}" for record in records]
    for name in ("unit", "metric", *seeds, "interquartile mean", "95 % interval"):
        table.add_column(name, no_wrap=True)
    for row in found:
        ends = f"{row.low:.4g} to {row.high:.4g}" if math.isfinite(row.low) else "-"
        table.add_row(row.unit, row.metric, *(f"{v:.4g}" for v in row.values), f"{row.value:.4g}", ends)
    return table


def values_of(found: Sequence[Across], records: Sequence[RunRecord]) -> dict[str, object]:
    """Return the same as JSON values."""
    runs = [{"run": record.run_id, "seed": record.config.get("seed")} for record in records]
    metrics = [asdict(row) | {n: to_json_number(getattr(row, n)) for n in ("low", "high")} for row in found]
    return {"event": "seeds", "runs": runs, "metrics": metrics}


def _metrics(root: Path, record: RunRecord, unit: str) -> dict[str, float]:
    done = unit_of_run(root, record, unit).done() if unit in record.units else None
    return dict(done.metrics) if done is not None else {}
