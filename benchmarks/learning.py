"""`docs/learning.md`: what the gates found, drawn beside the optimum.

`python -m benchmarks.learning` reads the results that `make gates`, `make gates-full` and
`python -m mtquant.gates --broken` left, and the journals of the runs they trained. It writes the tables between the
page's markers and the pictures beside it, and trains nothing but what is missing.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import typer

from mtquant.context import store_root
from mtquant.evaluation.oracles.policies import build_oracle
from mtquant.gates.__main__ import RESULTS
from mtquant.gates.definitions import full_gates
from mtquant.gates.measures import fresh_paths
from mtquant.gates.runner import finish
from mtquant.gates.trainings import FinishedRun
from mtquant.store.files import write_atomic
from mtquant.store.runs import unit_of_run
from mtquant.store.units import Unit

PAGE, IMAGES = Path("docs/learning.md"), Path("docs/images")
CURVES = (
    ("p1-gp-easy", "phase1-forex", "reward_per_step", ("phase1",), "Phase 1, one instrument, quadratic costs"),
    ("p3-netting", "phase3-joint", "utility_per_bar", ("phase1", "joint"), "Phase 3, three correlated desks"),
    (
        "embedded-p3-joint",
        "phase3-joint",
        "utility_per_bar",
        ("equal", "phase2", "joint"),
        "Phase 3, the default market",
    ),
)
"""Gate, unit, metric of its journal, reference policies, title."""
SMOOTHED = 10
"""Rollouts whose mean is drawn; each by itself is mostly luck."""
NAMES = {
    "phase1": "stand-alone optimum",
    "equal": "equal budgets",
    "phase2": "best known allocation",
    "joint": "joint optimum",
}


def page(results: Path = RESULTS) -> None:
    """Write the tables and pictures of `docs/learning.md`."""
    folder = results.parent
    text = PAGE.read_text()
    text = _between(text, "gates", _gates(_read(results)))
    for name, table in (("ablation", _ablation), ("broken", _broken)):
        found = folder / f"{name}.json"
        # What was not run keeps the words that are there.
        text = _between(text, name, table(_read(found))) if found.is_file() else text
    pictures = []
    for gate, unit, metric, references, title in CURVES:
        path = IMAGES / f"learning-{gate}.png"
        draw(gate, unit, metric, references, title, path, results)
        pictures.append(f"![{title}](images/{path.name})")
    text = _between(text, "pictures", "\n\n".join(pictures))
    write_atomic(PAGE, text.encode())


def draw(
    gate: str, unit: str, metric: str, references: Sequence[str], title: str, path: Path, results: Path = RESULTS
) -> None:
    """Draw a journal's metric, one line per seed, beside what reference policies earn on fresh paths."""
    entry = next(g for g in full_gates() if g.name == gate)
    done = _read(results)
    seeds = next(found["seeds"] for found in done if found["gate"] == gate)
    runs = [partial(finish, store_root())(entry.training, seed) for seed in seeds]
    figure, axes = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
    for seed, run in zip(seeds, runs, strict=True):
        assert isinstance(run, FinishedRun)
        steps, values = _curve(unit_of_run(run.root, run.record, unit), metric)
        line = axes.plot(steps / 1e3, values, linewidth=0.6, alpha=0.25)[0]
        axes.plot(steps / 1e3, _smoothed(values), color=line.get_color(), linewidth=1.5, label=f"seed {seed}")
    for number, (name, value) in enumerate(_references(runs[0], references, alone=unit.startswith("phase1")).items()):
        axes.axhline(value, color="black", linewidth=1.0, linestyle=("-", "--", ":")[number], label=NAMES[name])
    axes.set(title=title, xlabel="thousand steps", ylabel="utility per bar, risk units")
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _curve(unit: Unit, metric: str) -> tuple[np.ndarray, np.ndarray]:
    lines = [line for line in unit.journal.read() if metric in line.metrics]
    return np.array([line.step for line in lines]), np.array([line.metrics[metric] for line in lines])


def _smoothed(values: np.ndarray) -> np.ndarray:
    """Return the mean of each value and those up to `SMOOTHED` before it."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - SMOOTHED, 0)
    return np.asarray((total[stop] - total[start]) / (stop - start))


def _references(run: Any, names: Sequence[str], *, alone: bool) -> Mapping[str, float]:
    """Return the utility per bar of reference policies on fresh paths of the run's market."""
    paths, warmup = fresh_paths(run), run.spec.environment.warmup_steps
    found = {name: paths.score(build_oracle(name, paths.planted, warmup=warmup)).utility for name in names}
    return {name: value / len(paths.planted.market.symbols) for name, value in found.items()} if alone else found


def _gates(found: Sequence[Mapping[str, Any]]) -> str:
    rows = ["| Gate | Value | Seeds, with 95 % intervals | Must | |", "|---|---|---|---|---|"]
    for gate in found:
        seeds = ", ".join(_interval(one) for one in gate["by_seed"])
        verdict = "met" if gate["passed"] else "**not met**"
        must = f"{gate['rule']} {gate['threshold']:g}"
        rows.append(f"| `{gate['gate']}` | {_figure(gate['value'])} | {seeds} | {must} | {verdict} |")
    return "\n".join(rows)


def _ablation(found: Mapping[str, Any]) -> str:
    rows = ["| Variant | Mean | Seeds |", "|---|---|---|"]
    for row in found["rows"]:
        rows.append(f"| {row['name']} | {row['mean']:.3f} | {', '.join(f'{one[0]:.3f}' for one in row['by_seed'])} |")
    best, default = found["fresh"]
    value, low, high = found["gain"]
    verdict = "not worse beyond the interval" if found["passed"] else "worse"
    fresh = ", ".join(str(seed) for seed in found["fresh_seeds"])
    return "\n".join(rows) + (
        f"\n\nOn fresh seeds ({fresh}) `{best['name']}` has {best['mean']:.3f} and the default {default['mean']:.3f}: "
        f"a difference of {value:+.3f} ({low:+.3f} to {high:+.3f}). The default is {verdict}."
    )


def _broken(found: Sequence[Mapping[str, Any]]) -> str:
    rows = ["| Gate | What was broken | Value | Must | |", "|---|---|---|---|---|"]
    for gate in found:
        verdict = "caught" if gate["caught"] else "**missed**"
        rows.append(
            f"| `{gate['gate']}` | {gate['broken']} | {_figure(gate['value'])} | {gate['threshold']:g} | {verdict} |"
        )
    return "\n".join(rows)


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def _interval(one: Sequence[float | None]) -> str:
    value, low, high = one
    inside = low is not None and high is not None and low < high
    return f"{_figure(value)} ({low:.3f} to {high:.3f})" if inside else _figure(value)


def _between(text: str, name: str, content: str) -> str:
    """Return `text` with `content` between the markers of `name`."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise typer.BadParameter(f"{PAGE} has no markers `{name}`.")
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def _read(path: Path) -> Any:
    if not path.is_file():
        raise typer.BadParameter(
            f"{path} is missing: `make gates-full` and `python -m mtquant.gates --broken` write it."
        )
    return json.loads(path.read_bytes())


if __name__ == "__main__":
    typer.run(page)
