"""The unit graph: what a setting touches, what it leaves alone, and whether the plan says why."""

import ast
import shutil
from functools import cache
from pathlib import Path

import pytest

import mtquant
from mtquant.config.agents import INSTRUMENTS, PipelineSpec
from mtquant.config.instruments import InstrumentSpec, InstrumentsSpec
from mtquant.errors import DataError, UsageError
from mtquant.pipeline import CODE, explain, plan, units_of, with_upstream
from mtquant.store.snapshot import Snapshot
from mtquant.store.units import Unit

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


@pytest.fixture(autouse=True)
def fixed_code(monkeypatch):
    """Let every package have one digest, so that only settings and data differ here."""
    monkeypatch.setattr("mtquant.pipeline.code_versions", lambda names: dict.fromkeys(names, "same") | {"torch": "2"})


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
    "phase3.credit": "shared",
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
}
"""They change what the bars or splits are, and reach the keys by the digests."""
OUTSIDE = {"device", "checkpoint_seconds"}
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


def finish_all(root, spec=SPEC, digests=DIGESTS):
    for description in units_of(spec, digests):
        unit = Unit(root, description)
        unit.create()
        unit.begin_attempt()
        unit.finish({}, {})


def states(root, spec=SPEC, digests=DIGESTS):
    return {unit.spec.name: unit.state for unit in plan(spec, digests, root)}


def reasons(root, spec=SPEC, digests=DIGESTS):
    return {unit.spec.name: unit.reason for unit in plan(spec, digests, root) if unit.state == "run"}


def test_the_plan_of_an_empty_store_changes_nothing(tmp_path):
    assert set(reasons(tmp_path).values()) == {"new"}
    assert list(tmp_path.iterdir()) == []


def test_the_plan_reuses_what_is_finished_and_names_what_changed(tmp_path):
    finish_all(tmp_path)
    assert set(states(tmp_path).values()) == {"reuse"}
    longer = with_setting("phase3.timesteps", 2000)
    assert reasons(tmp_path, longer) == {
        "phase3-joint": "phase3.timesteps 1000000 -> 2000",
        "phase3-no-peers": "phase3.timesteps 1000000 -> 2000",
        "evaluate-report": "upstream phase3-joint, phase3-no-peers change",
        "export-onnx": "upstream phase3-joint changes",
    }
    found = reasons(tmp_path, digests=DIGESTS | {"EURUSD": "other"})
    assert found["phase1-forex"] == found["dataset-market"] == "data of EURUSD changed"
    assert found["phase2-meta"] == "data of EURUSD changed; upstream phase1-forex changes"


def test_the_plan_names_changed_code(tmp_path, monkeypatch):
    finish_all(tmp_path)
    monkeypatch.setattr(
        "mtquant.pipeline.code_versions",
        lambda names: {name: "new" if name == "mtquant.sim" else "same" for name in names} | {"torch": "3"},
    )
    found = reasons(tmp_path)
    assert found["phase1-forex"] == "code of mtquant.sim changed; torch 2 -> 3"
    assert found["dataset-market"] == "torch 2 -> 3"


def test_the_nearest_unit_explains(tmp_path):
    finish_all(tmp_path, with_setting("phase3.n_envs", 4))
    finish_all(tmp_path)
    longer = with_setting("phase3.timesteps", 2000)
    assert reasons(tmp_path, longer)["phase3-joint"] == "phase3.timesteps 1000000 -> 2000"


def test_one_instrument_less_is_one_line(tmp_path):
    finish_all(tmp_path)
    without = tuple(symbol for symbol in INSTRUMENTS if symbol not in ("GBPUSD", "US30"))
    found = reasons(tmp_path, with_setting("environment.instruments", without))
    assert found["dataset-market"] == "instruments without GBPUSD, US30; data of GBPUSD, US30 changed"
    shrunk = "widths.largest_group 3 -> 2"
    assert found["phase1-forex"] == f"{shrunk}; instruments without GBPUSD; data of GBPUSD changed"
    assert "phase1-commodities" not in {name for name, reason in found.items() if "GBPUSD" in reason}
    back = explain(*(unit.inputs for unit in two_datasets(without, INSTRUMENTS)))
    assert back == ("instruments with GBPUSD, US30", "data of GBPUSD, US30 changed")
    turned = explain(*(unit.inputs for unit in two_datasets(INSTRUMENTS, INSTRUMENTS[::-1])))
    assert turned == ("order of the instruments changed",)


def two_datasets(*traded):
    """Return the dataset unit over each list of instruments."""
    specs = [
        SPEC.model_copy(update={"environment": SPEC.environment.model_copy(update={"instruments": t})}) for t in traded
    ]
    return [units_of(spec, DIGESTS)[0] for spec in specs]


def begun(root, *steps):
    """Return the stored forex specialist as it is after checkpoints at `steps`, without a result."""
    finish_all(root)
    unit = {unit.name: Unit(root, unit) for unit in units_of(SPEC, DIGESTS)}["phase1-forex"]
    (unit.folder / "DONE.json").unlink()
    for step in steps:
        unit.journal.append(step, {})
        unit.checkpoints.save(step, Snapshot({}, {"step": step}), 1)
    return unit


def planned_forex(root):
    found = {unit.spec.name: unit for unit in plan(SPEC, DIGESTS, root)}
    assert {unit.state for name, unit in found.items() if name != "phase1-forex"} == {"reuse"}
    forex = found["phase1-forex"]
    return forex.state, forex.step, forex.reason


def test_an_interrupted_unit_continues(tmp_path):
    begun(tmp_path, 640)
    assert planned_forex(tmp_path) == ("continue", 640, "stopped; a checkpoint is at step 640")


def test_a_unit_without_a_checkpoint_runs(tmp_path):
    unit = begun(tmp_path)
    assert planned_forex(tmp_path) == ("run", 0, "begun before, without a checkpoint")
    with unit.lock():
        assert planned_forex(tmp_path)[2].startswith("is being made by pid ")
    shutil.rmtree(unit.folder / "attempts")
    assert planned_forex(tmp_path) == ("run", 0, "named by a run before, not begun")


def test_a_torn_checkpoint_is_not_counted_on(tmp_path):
    unit = begun(tmp_path, 640, 1280)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    damage(unit.checkpoints.root / "000000001280" / "values.json")
    assert planned_forex(tmp_path) == (
        "continue",
        640,
        "stopped; a checkpoint is at step 640; the one at step 1,280 is damaged",
    )
    damage(unit.checkpoints.root / "000000000640" / "values.json")
    lost = ("run", 0, "stopped; all 2 checkpoints are damaged, so it starts from step 0")
    assert planned_forex(tmp_path) == lost
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}.keys() == before.keys()
    with pytest.warns(UserWarning, match="moved"):
        assert unit.checkpoints.latest() is None
    assert planned_forex(tmp_path) == lost, "set aside by an attempt, they are still told"


def damage(path):
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("harm", ["marker", "cut", "flipped", "missing"])
def test_a_damaged_result_is_made_again(tmp_path, harm):
    unit = begun(tmp_path, 640)
    weights = unit.outputs / "weights"
    weights.write_bytes(b"123456")
    unit.finish({}, {"weights": "d"})
    assert planned_forex(tmp_path)[0] == "reuse"
    match harm:
        case "marker":
            (unit.folder / "DONE.json").write_text("{}")
        case "cut":
            weights.write_bytes(b"123")
        case "flipped":
            weights.write_bytes(b"123457")
        case "missing":
            weights.unlink()
    state, step, reason = planned_forex(tmp_path)
    assert (state, step) == ("continue", 640)
    assert reason.startswith("damaged: ")
    shutil.rmtree(unit.checkpoints.root)
    assert planned_forex(tmp_path)[:2] == ("run", 0)


ENTRIES = {
    "dataset": ("mtquant.data.features", "mtquant.data.dataset", "mtquant.data.folder"),
    "phase1": ("mtquant.agents.training.phase1_trainer", "mtquant.data.group"),
    "phase2": ("mtquant.agents.training.phase2_trainer",),
    "phase3": ("mtquant.agents.training.phase3_joint_training",),
    "evaluate": ("mtquant.execution.evaluating",),
    "export": ("mtquant.export",),
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
