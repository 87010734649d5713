"""Runs whose every unit is complete, made of random numbers: what promotions and the model registry read."""

from collections.abc import Callable
from pathlib import Path

from mtquant.context import Streams
from mtquant.evaluation.assess import Assessor
from mtquant.evaluation.days import DAYS, write_days
from mtquant.store.digests import digest_file
from mtquant.store.promotions import DEPLOYED
from mtquant.store.runs import RunRecord, append_event, create_run, save_run
from mtquant.store.units import Unit, UnitSpec
from tests.evaluation.made import made_measuring, made_result

BASELINES = ("flat", "momentum")
TRAINED = ("phase1-forex", "phase2-meta", "phase3-joint")
Write = Callable[[Path], None]


def write_one_file(folder: Path) -> None:
    """Stand in for an export."""
    (folder / "phase3-hierarchy.onnx").write_text(str(folder))


def finished_run(
    root: Path,
    *,
    seed: int = 0,
    edges: tuple[float, float, float] = (0.0, 0.05, 0.15),
    deployed: int = 3,
    split: str = "test",
    bars: int = 300,
    data: str = "bars",
    costs: str = "planted",
    export: Write = write_one_file,
) -> RunRecord:
    """Record a run and finish its units; `edges` is what each phase earns, `data` names the bars."""
    record = create_run(root, ["train"], {"seed": seed, "data": {"source": "gp-easy", "timeframe": "D1"}}, "direct")
    append_event(root, record.run_id, "created", profile="smoke")
    specs = unit_specs(seed, data, costs)
    record = record.with_units(specs)
    save_run(root, record)
    outputs: dict[str, dict[str, str]] = {}
    for spec in specs:
        unit = Unit(root, spec)
        unit.create()
        unit.begin_attempt()
        metrics = {"utility": 0.5}
        if spec.kind == "evaluate":
            _evaluate(unit.outputs, seed, edges, split, bars)
            metrics = {DEPLOYED: float(deployed), "phase2/sharpe": 1.0, "phase3/sharpe": 2.0}
        elif spec.kind == "export":
            export(unit.outputs)
        else:
            (unit.outputs / "weights.json").write_text(f"{spec.name} {seed}")
            unit.journal.append(10, {"utility_per_bar": 0.1 + seed}, 1e9)
        made = {path.name: digest_file(path) for path in sorted(unit.outputs.iterdir()) if path.name != DAYS}
        unit.finish(metrics, made, {name: outputs[name] for name in spec.upstream}, 1.0)
        outputs[spec.name] = made
    return record


def unit_specs(seed: int, data: str, costs: str) -> tuple[UnitSpec, ...]:
    """Return the units of a small graph."""
    digests = {"EURUSD": data, "splits": data}
    settings = {
        "environment": {"costs": costs},
        "instruments": {"EURUSD": {"group": "forex"}},
        "order": ["EURUSD"],
        "planted": True,
        "evaluation": {"baselines": list(BASELINES)},
    }
    made: list[UnitSpec] = []
    for name in ("dataset-market", *TRAINED, "evaluate-report", "export-onnx"):
        kind, subject = name.split("-")
        upstream = tuple(spec.name for spec in made if spec.kind not in ("evaluate", "export"))
        keys = {spec.name: spec.key for spec in made if spec.name in upstream and spec.kind != "dataset"}
        inputs = {"kind": kind, "config": settings, "data": digests, "upstream": keys, "seed": seed}
        made.append(UnitSpec(name, kind, subject, inputs, upstream, 10))
    return tuple(made)


def _evaluate(folder: Path, seed: int, edges: tuple[float, float, float], split: str, bars: int) -> None:
    results = [
        made_result(f"phase{place}", seed + place, edge=edge, bars=bars) for place, edge in enumerate(edges, start=1)
    ]
    results += [made_result("flat", 0, size=0.0, bars=bars), made_result("momentum", 77, edge=0.0, bars=bars)]
    measuring = made_measuring()
    clock = Assessor(results, measuring, Streams(0)).clock
    write_days(folder / DAYS, results, clock, measuring, split)
