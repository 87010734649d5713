"""The unit graph: what a setting touches and what it leaves alone."""

import ast
from datetime import date
from functools import cache
from pathlib import Path

import pytest

import mtquant
from mtquant.config.agents import INSTRUMENTS, PipelineSpec
from mtquant.config.instruments import InstrumentSpec, InstrumentsSpec
from mtquant.config.walk_forward import WalkForwardSpec
from mtquant.errors import DataError, UsageError
from mtquant.pipeline import CODE, units_of, with_upstream
from mtquant.store.explanation import explain
from mtquant.store.fold_names import fold_of

GROUP = {
    s: "forex" if s in INSTRUMENTS[:3] else "commodities" if s in INSTRUMENTS[3:5] else "equity" for s in INSTRUMENTS
}
PACKAGE = Path(mtquant.__file__).parent
DIGESTS = {name: f"digest of {name}" for name in (*INSTRUMENTS, "clock", "splits", "macro")}
CATALOGUE = InstrumentsSpec(instruments={s: InstrumentSpec(group=g, half_spread_bps=1.0) for s, g in GROUP.items()})
SPEC = PipelineSpec(catalogue=CATALOGUE)
AFTER_3 = {"phase3-joint", "phase3-no-peers", "evaluate-report", "export-onnx"}
AFTER_2 = AFTER_3 | {"phase2-meta"}
SPECIALISTS = {"phase1-forex", "phase1-commodities", "phase1-equity"}
TRAINED = AFTER_2 | SPECIALISTS
ALL = TRAINED | {"dataset-market"}


def same_code(names):
    """Stand in for the digests of sources, so that only settings and data differ here."""
    return dict.fromkeys(names, "same") | {"torch": "2"}


@pytest.fixture(autouse=True)
def fixed_code(monkeypatch):
    monkeypatch.setattr("mtquant.pipeline.code_versions", same_code)


@cache
def unchanged() -> dict[str, str]:
    """Return the keys of `SPEC`."""
    return {unit.name: unit.key for unit in units_of(SPEC, DIGESTS)}


def changed(spec: PipelineSpec = SPEC, digests: dict[str, str] = DIGESTS) -> set[str]:
    """Return the units whose keys differ from those of `SPEC`."""
    before = unchanged()
    after = {unit.name: unit.key for unit in units_of(spec, digests)}
    return {name for name in after if before.get(name) != after[name]}


def with_setting(path: str, value: object, spec=SPEC):
    """Return `spec` with one setting changed; whether the change makes sense is not looked at."""
    name, _, rest = path.partition(".")
    before = getattr(spec, name)
    after = with_setting(rest, value, before) if rest else value
    assert after != before
    return spec.model_copy(update={name: after})


def other(value: object) -> object:
    """Return a value of the same type that differs."""
    match value:
        case bool():
            return not value
        case int():
            return value + 2
        case float():
            return value * 0.75 + 0.013
        case tuple():
            return (*value[:-1], other(value[-1])) if value else (8,)
        case dict():
            return {**value, "name": "pcgrad"}
    return None


def leaves(spec, path=""):
    """Return every setting below `spec` by its dotted path."""
    out = {}
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        out |= leaves(value, f"{path}{name}.") if hasattr(type(value), "model_fields") else {f"{path}{name}": value}
    return out


CHOICES = {
    "features.volatility": "ewma",
    "environment.costs": "zero",
    "environment.fill": "next_close",
    "limits.reading": "literal",
    "limits.stop_loss": "off",
    "limits.joint_stop_loss": "price",
    "evaluation.split": "validation",
    "evaluation.first_day": date(2020, 1, 1),
    "evaluation.last_day": date(2020, 1, 1),
    "phase1.constant_exposure": 1.0,
    "phase3.credit": "shared",
    "phase3.peer_aggregator": {"name": "upgrad"},
    "data.source": "embedded-null",
    "features.indicators": ("rsi",),
    "evaluation.baselines": ("flat",),
    "phase1.ppo.learning_rate_schedule": "constant",
    "phase2.ppo.learning_rate_schedule": "constant",
    "phase1.reward.name": "log_return",
    "phase2.reward.name": "log_return",
    "phase3.reward.name": "log_return",
}
BY_DIGEST = {
    "data.timeframe",
    "data.time_zone",
    "data.day_first",
    "data.train_fraction",
    "data.validation_fraction",
    "data.embargo_bars",
    *(f"walk_forward.{name}" for name in WalkForwardSpec.model_fields),
}
"""They change what the bars or splits are, and reach the keys by the digests."""
OUTSIDE = {"device", "checkpoint_seconds", *leaves(SPEC.single_agent, "single_agent.")}
EXPECTED = {
    "phase1": TRAINED,
    "phase2": AFTER_2,
    "phase3": AFTER_3,
    "evaluation": {"evaluate-report"},
    "export": {"export-onnx"},
    "seed": ALL,
    "features": ALL,
    "environment": TRAINED,
    "limits": TRAINED,
    "data": {"evaluate-report"},
}
EXACTLY = {
    "limits.joint_stop_loss": AFTER_3,
    "features.macro_half_life": AFTER_2 | {"dataset-market"},
    "phase3.peers": AFTER_3,
}
SETTINGS = {p: v for p, v in leaves(SPEC).items() if not p.startswith("catalogue") and p != "environment.instruments"}


@pytest.mark.parametrize("path", sorted(set(SETTINGS) - BY_DIGEST - OUTSIDE))
def test_every_setting_touches_exactly_what_reads_it(path):
    value = {"x": 1} if path == "data.planted" else CHOICES.get(path, other(SETTINGS[path]))
    spec = with_setting(path, value)
    expected = EXACTLY.get(path, EXPECTED[path.split(".")[0]])
    assert changed(spec) == expected & {unit.name for unit in units_of(spec, DIGESTS)}


@pytest.mark.parametrize(("path", "value"), [("device", "cuda"), ("checkpoint_seconds", 0.0), ("data.embargo_bars", 7)])
def test_how_it_is_run_touches_nothing(path, value):
    assert changed(with_setting(path, value)) == set()


@pytest.mark.parametrize("symbol", INSTRUMENTS)
def test_the_bars_of_one_instrument_touch_its_specialist_only(symbol):
    expected = AFTER_2 | {"dataset-market", f"phase1-{GROUP[symbol]}"}
    assert changed(digests=DIGESTS | {symbol: "other bars"}) == expected


@pytest.mark.parametrize(
    ("name", "expected"), [("clock", ALL), ("splits", ALL), ("macro", AFTER_2 | {"dataset-market"})]
)
def test_what_instruments_share_touches_all_who_read_it(name, expected):
    assert changed(digests=DIGESTS | {name: "other"}) == expected


def test_the_costs_of_one_instrument_touch_its_specialist_only():
    dearer = CATALOGUE.instruments | {"WTIUSD": InstrumentSpec(group="commodities", half_spread_bps=9.0)}
    spec = SPEC.model_copy(update={"catalogue": InstrumentsSpec(instruments=dearer)})
    assert changed(spec) == AFTER_2 | {"phase1-commodities"}


def test_an_instrument_that_is_not_traded_touches_nothing():
    more = CATALOGUE.instruments | {"BTCUSD": InstrumentSpec(group="crypto", half_spread_bps=9.0)}
    assert changed(SPEC.model_copy(update={"catalogue": InstrumentsSpec(instruments=more)})) == set()


def test_units_come_after_what_they_read():
    units = units_of(SPEC, DIGESTS)
    seen: set[str] = set()
    for unit in units:
        assert set(unit.upstream) <= seen
        seen.add(unit.name)
    assert seen == ALL
    assert len({unit.key for unit in units}) == len({unit.folder_name for unit in units}) == len(units)
    steps = {unit.name: unit.total_steps for unit in units}
    assert (steps["phase1-forex"], steps["phase2-meta"], steps["phase3-no-peers"]) == (507_904, 303_104, 1_006_080)


def test_the_control_without_peers_belongs_to_planted_markets():
    real = with_setting("data.source", "some/folder")
    assert "phase3-no-peers" not in {unit.name for unit in units_of(real, DIGESTS)}
    blind = with_setting("phase3.peers", False)
    assert "phase3-no-peers" not in {unit.name for unit in units_of(blind, DIGESTS)}
    control = {unit.name: unit for unit in units_of(SPEC, DIGESTS)}["phase3-no-peers"]
    joint = {unit.name: unit for unit in units_of(SPEC, DIGESTS)}["phase3-joint"]
    assert explain(joint.inputs, control.inputs) == ("subject joint -> joint-no-peers", "phase3.peers True -> False")


def test_asking_for_a_unit_asks_for_what_it_reads():
    units = units_of(SPEC, DIGESTS)
    assert [unit.name for unit in with_upstream(units, ["phase1-equity"])] == ["dataset-market", "phase1-equity"]
    assert {unit.name for unit in with_upstream(units, ["phase2-meta"])} == SPECIALISTS | {
        "dataset-market",
        "phase2-meta",
    }
    assert with_upstream(units, ()) == units
    with pytest.raises(UsageError, match="Did you mean `phase2-meta`"):
        with_upstream(units, ["phase2-mete"])


def test_a_missing_digest_is_an_error():
    with pytest.raises(DataError, match="no digest of \\['US30'\\]"):
        units_of(SPEC, {name: value for name, value in DIGESTS.items() if name != "US30"})


ENTRIES = {
    "dataset": ("mtquant.data.features", "mtquant.data.dataset", "mtquant.data.folder"),
    "phase1": ("mtquant.agents.training.phase1_trainer", "mtquant.data.group"),
    "phase2": ("mtquant.agents.training.phase2_trainer",),
    "phase3": ("mtquant.agents.training.phase3_joint_training",),
    "evaluate": ("mtquant.execution.evaluating", "mtquant.execution.walk_forward"),
    "single": ("mtquant.agents.training.single_agent_trainer",),
    "export": ("mtquant.export", "mtquant.agents.hierarchy"),
}
"""Modules that do the work of each kind."""
WITHOUT_EFFECT = ("mtquant.config", "mtquant.errors", "mtquant.registry", "mtquant.store", "mtquant.types")
"""Settings are in the keys by value; the rest decides how results are kept and errors are told, not what they are."""


def imported(name: str) -> set[str]:
    """Return the modules of the package that module `name` imports, wherever in its text."""
    tree = ast.parse(source_of(name).read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("mtquant"):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {part for part in inner if source_of(part).is_file()} or {node.module}
    return found


def source_of(name: str) -> Path:
    """Return the file of a module or package; it may not exist."""
    base = PACKAGE.parent.joinpath(*name.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def test_a_single_agent_is_a_unit_beside_the_hierarchy():
    spec = with_setting("single_agent.enabled", True)
    units = {unit.name: unit for unit in units_of(spec, DIGESTS)}
    assert set(units) == ALL | {"single-agent"}
    assert changed(spec) == {"single-agent", "evaluate-report"}
    assert units["single-agent"].upstream == ("dataset-market",)
    assert units["single-agent"].total_steps >= 3 * 500_000 + 5 * 300_000 + 1_000_000
    assert "single-agent" not in units["export-onnx"].upstream
    longer = with_setting("phase1.timesteps", 600_000, spec)
    before = units["single-agent"].key
    assert {u.name: u.key for u in units_of(longer, DIGESTS)}["single-agent"] != before


def walking(**changes):
    walk = WalkForwardSpec(enabled=True, **changes)
    splits = {f"splits.fold{n}": f"digest of fold {n}" for n in range(1, walk.count + 1)}
    return units_of(SPEC.model_copy(update={"walk_forward": walk}), DIGESTS | splits)


def test_every_fold_of_a_walk_forward_has_its_own_units():
    units = {unit.name: unit for unit in walking(folds=3)}
    assert set(units) == {f"{name}.fold{n}" for name in ALL - {"export-onnx"} for n in (1, 2, 3)} | {
        "evaluate-report",
        "export-onnx",
    }
    assert units["phase2-meta.fold2"].upstream[0] == "dataset-market.fold2"
    assert units["evaluate-report"].upstream == tuple(f"evaluate-report.fold{n}" for n in (1, 2, 3))
    assert all(fold_of(name) == 3 for name in units["export-onnx"].upstream)
    assert len({unit.key for unit in units.values()}) == len(units)


def test_a_fold_is_a_training_like_any_other():
    """What trained on the same bars and splits is the same unit, whether a walk-forward asked for it or not."""
    fold = {unit.name: unit.key for unit in walking(folds=2)}
    single = {unit.name: unit.key for unit in units_of(SPEC, DIGESTS | {"splits": "digest of fold 2"})}
    trained = ALL - {"evaluate-report", "export-onnx"}
    assert {name: fold[f"{name}.fold2"] for name in trained} == {name: single[name] for name in trained}


def test_another_number_of_folds_makes_only_what_is_new():
    before = {unit.key for unit in walking(folds=2)}
    after = [unit.name for unit in walking(folds=3) if unit.key not in before]
    assert {fold_of(name) for name in after} == {3, None}
    with pytest.raises(DataError, match="splits.fold1"):
        units_of(SPEC.model_copy(update={"walk_forward": WalkForwardSpec(enabled=True)}), DIGESTS)


@pytest.mark.parametrize("kind", sorted(CODE))
def test_all_code_that_a_unit_runs_is_in_its_key(kind):
    # The random streams reach work by its handle.
    seen, waiting = set(), [*ENTRIES[kind], *(["mtquant.context"] if kind != "dataset" else [])]
    while waiting:
        name = waiting.pop()
        if name not in seen and not name.startswith(WITHOUT_EFFECT):
            seen.add(name)
            waiting += imported(name)
    covered = CODE[kind]
    assert [n for n in sorted(seen) if not any(n == c or n.startswith(f"{c}.") for c in covered)] == []
    assert [c for c in covered if not any(n == c or n.startswith(f"{c}.") for n in seen)] == [], "listed without need"
