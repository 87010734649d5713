"""ONNX is the trained policy: the same numbers on real observations, alone and as a whole hierarchy."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.hierarchy import Hierarchy, constant_meta, with_equal_budgets
from mtquant.agents.network import HierarchyNetwork
from mtquant.agents.recording import Recording, record
from mtquant.config.agents import ExportSpec
from mtquant.envs.games.joint import META, JointGame
from mtquant.errors import DataError, TrainingError, UsageError
from mtquant.evaluation.backtest import backtest
from mtquant.execution.work import WORK
from mtquant.export import OnnxActor, Stage, export_bundle, export_hierarchy, export_models, open_session
from mtquant.store.digests import digest_file
from tests.agents.made import bundle_of, bundles_of, handle_of, learning_spec
from tests.envs.made import engine_of
from tests.tiny import SYMBOLS, tiny_dataset

SPEC = learning_spec(export=ExportSpec(parity_observations=300))


def stages(seed: int = 0) -> tuple[Stage, Stage]:
    bundles = bundles_of(tiny_dataset(), SPEC, seed)
    later = {agent: with_phase(b, 3) for agent, b in bundles_of(tiny_dataset(), SPEC, seed + 1).items()}
    return Stage("phase2", bundles, context=False, joint=False), Stage("phase3", later, context=True, joint=True)


def with_phase(bundle: PolicyBundle, phase: int) -> PolicyBundle:
    fields = {name: getattr(bundle, name) for name in PolicyBundle.__dataclass_fields__}
    return PolicyBundle(**fields | {"provenance": {"phase": phase, "timesteps": 10}})


def recorded(stage: Stage, wanted: int = 300) -> Recording:
    game = JointGame(tiny_dataset(), SPEC, context=stage.context, joint=stage.joint)
    return record(game, stage.bundles, wanted)


def test_equal_budgets_as_a_bundle_are_those_of_phase_1():
    dataset = tiny_dataset()
    bundles = bundles_of(dataset, SPEC)
    meta = constant_meta(bundles[META], np.full(len(SPEC.groups), 0.6), SPEC.phase2.budget_limit)
    acts = {agent: bundle.act_fn() for agent, bundle in bundles.items() if agent != META}
    named = Hierarchy("phase1", acts | {META: meta.act_fn()}, context=False, joint=False)
    found, expected = (
        hierarchy.backtest(dataset, SPEC, dataset.splits.test)
        for hierarchy in (named, with_equal_budgets(acts, SPEC, 0.6))
    )
    np.testing.assert_allclose(found.exposure, expected.exposure, atol=1e-6)
    assert np.abs(expected.exposure).max() > 0.01
    assert bundles[META].digest != meta.digest


def graph_inputs(recording: Recording, rows: slice = slice(None)) -> dict[str, np.ndarray]:
    return {
        name: array[rows] if array.dtype == np.int64 else array[rows].astype(np.float32)
        for name, array in recording.inputs.items()
    }


@pytest.mark.parametrize("agent", [META, "forex"])
def test_a_bundle_s_graph_acts_like_the_bundle_in_any_number_of_rows(agent, tmp_path):
    bundle = bundle_of(agent, tiny_dataset(), SPEC, size=1.0)
    per_row = len(bundle.instruments) if bundle.per_instrument else 1
    seen = recorded(stages()[0]).observations(agent, per_row)
    entry = export_bundle(bundle, tmp_path / "a.onnx", seen, SPEC.export)
    assert entry["parity"]["observations"] == len(seen)
    assert entry["parity"]["max_difference"] <= 1e-5
    for rows in (1, 7, 64):
        said = OnnxActor(tmp_path / "a.onnx")(seen[:rows])
        expected, _ = bundle.policy.predict(seen[:rows], deterministic=True)
        np.testing.assert_allclose(said, expected, atol=1e-5)
    bounds = bundle.actions
    wild = OnnxActor(tmp_path / "a.onnx")(1e6 * seen)
    assert wild.min() >= bounds.low
    assert wild.max() <= bounds.high


def test_an_exported_hierarchy_trades_like_the_trained_one(tmp_path):
    for stage in stages():
        dataset = tiny_dataset()
        game = JointGame(dataset, SPEC, context=stage.context, joint=stage.joint)
        acts = {}
        for agent, bundle in stage.bundles.items():
            count = len(bundle.instruments) if bundle.per_instrument else 1
            export_bundle(bundle, tmp_path / f"{agent}.onnx", recorded(stage).observations(agent, count), SPEC.export)
            acts[agent] = OnnxActor(tmp_path / f"{agent}.onnx", count)
        trained = backtest(game, dataset.splits.test, {a: b.act_fn() for a, b in stage.bundles.items()}, "torch")
        exported = backtest(game, dataset.splits.test, acts, "onnx")
        np.testing.assert_allclose(exported.exposure, trained.exposure, atol=1e-4)
        np.testing.assert_allclose(exported.equity, trained.equity, rtol=1e-5)
        assert np.abs(trained.exposure).max() > 0.1


@pytest.mark.parametrize("place", [0, 1])
def test_the_whole_hierarchy_is_one_graph_that_plays_the_game(place, tmp_path):
    """The graph, fed with its own outputs, wants bar by bar what the game itself decodes."""
    stage = stages()[place]
    entry = export_hierarchy(stage, SPEC, tmp_path / "h.onnx", recorded(stage))
    assert entry["parity"]["max_difference"] <= 1e-5
    session = open_session((tmp_path / "h.onnx").read_bytes())
    game = JointGame(tiny_dataset(), SPEC, context=stage.context, joint=stage.joint)
    engine = engine_of(game, 3)
    engine.begin(stagger=False)
    acts = {agent: bundle.act_fn() for agent, bundle in stage.bundles.items()}
    state = {
        "budgets": np.full((3, 3), 9.0, np.float32),
        "appetite": np.full(3, 9.0, np.float32),
        "books": np.zeros((3, 4), np.float32),
    }
    for age in range(40):
        given = {f"{a}_observation": engine.observe(a).astype(np.float32) for a in game.agents}
        given |= {"age": np.full(3, age), **state}
        budgets, appetite, targets, books, exposure = session.run(None, given)
        for agent in game.agents:
            engine.say(agent, acts[agent](engine.observe(agent)))
        said = np.concatenate([engine.table.said[g] for g in SPEC.groups], axis=1)
        np.testing.assert_allclose(targets, said, atol=1e-5)
        before = engine.state_dict()
        np.testing.assert_allclose(exposure, game.decode(engine.table), atol=1e-5)
        engine.load_state_dict(*before)
        for agent in game.agents:
            engine.say(agent, acts[agent](engine.observe(agent)))
        engine.advance()
        np.testing.assert_allclose(budgets, engine.table.memory["budgets"], atol=1e-5)
        np.testing.assert_allclose(appetite, engine.table.memory["appetite"], atol=1e-5)
        state = {"budgets": budgets, "appetite": appetite, "books": books}


def test_instruments_of_a_group_need_not_stand_together(tmp_path):
    order = [1, 3, 0, 2]
    plain = tiny_dataset()
    symbols = tuple(SYMBOLS[k] for k in order)
    dataset = replace(
        plain,
        market=plain.market.select(symbols),
        features=np.array(plain.features[:, order]),
        point_volatility=np.array(plain.point_volatility[:, order]),
        correlation=np.array(plain.correlation[np.ix_(order, order)]),
    )
    spec = SPEC.model_copy(update={"environment": SPEC.environment.model_copy(update={"instruments": symbols})})
    for context in (True, False):
        stage = Stage("phase3", bundles_of(dataset, spec), context=context, joint=True)
        recording = record(JointGame(dataset, spec, context=context, joint=True), stage.bundles, 200)
        entry = export_hierarchy(stage, spec, tmp_path / "h.onnx", recording)
        assert entry["parity"]["max_difference"] <= 1e-5
        assert entry["instruments"] == list(symbols)


def test_goals_shown_to_the_graph_do_not_matter():
    """With context the budgets of the same call count, so one call per bar is enough."""
    stage = stages()[1]
    recording = recorded(stage, 50)
    network = HierarchyNetwork(stage.bundles, SPEC, context=True)
    given = {n: torch.from_numpy(np.ascontiguousarray(a)) for n, a in graph_inputs(recording).items()}
    first = network(*(given[name] for name in network.inputs))
    at = stage.bundles["equity"].layout.slice("goal").start
    given["equity_observation"][:, at] = 77.0
    again = network(*(given[name] for name in network.inputs))
    assert torch.equal(first.exposure, again.exposure)
    given["equity_observation"][:, at + 2] += 1.0
    assert not torch.equal(first.exposure, network(*(given[name] for name in network.inputs)).exposure)


def test_manifest_ties_files_data_code_and_figures_together(tmp_path):
    first, second = stages()
    figures = {"sharpe": 1.5, "win": float("nan")}
    two = (first, Stage("phase3", second.bundles, context=True, joint=True, metrics=figures))
    dataset = tiny_dataset()
    returned = export_models(SPEC, dataset, two, tmp_path, units={"phase3-joint": "ab12"})
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest == returned
    files = {path.name for path in tmp_path.glob("*.onnx")}
    names = {f"phase{phase}-{group}" for phase in (1, 3) for group in SPEC.groups}
    names |= {f"phase{phase}-{what}" for phase in (2, 3) for what in ("meta", "hierarchy")}
    assert files == {f"{name}.onnx" for name in names}
    entries = manifest["models"] | manifest["hierarchies"]
    assert {entry["file"] for entry in entries.values()} == files
    for entry in entries.values():
        assert entry["sha256"] == digest_file(tmp_path / entry["file"])
        assert entry["parity"]["max_difference"] <= entry["parity"]["tolerance"] == 1e-5
        graph = onnx.load(tmp_path / entry["file"]).graph
        assert [value["name"] for value in entry["inputs"]] == [value.name for value in graph.input]
        assert all(value["shape"][0] == "rows" for value in entry["inputs"] + entry["outputs"])
    assert manifest["models"]["phase3-forex"]["weights"] == two[1].bundles["forex"].digest
    assert manifest["models"]["phase3-forex"]["provenance"] == {"phase": 3, "timesteps": 10}
    whole = manifest["hierarchies"]["phase3-hierarchy"]
    assert whole["metrics"] == {"sharpe": 1.5, "win": None}
    assert whole["models"] == {agent: f"phase3-{agent}" for agent in two[1].bundles}
    assert whole["weights"] == {agent: bundle.digest for agent, bundle in two[1].bundles.items()}
    assert manifest["data"]["fingerprint"] == dataset.market.fingerprint
    assert manifest["data"]["instruments"] == list(SYMBOLS)
    assert manifest["units"] == {"phase3-joint": "ab12"}
    assert re.fullmatch(r"[0-9a-f]{64}", manifest["code"]["digest"])


def test_the_same_policies_give_the_same_bytes_without_a_trace_of_the_machine(tmp_path):
    for folder in ("a", "b"):
        export_models(SPEC, tiny_dataset(), stages()[:1], tmp_path / folder)
    for path in sorted((tmp_path / "a").iterdir()):
        content = path.read_bytes()
        assert content == (tmp_path / "b" / path.name).read_bytes(), path.name
        assert str(Path(__file__).parents[1]).encode() not in content


def test_a_graph_that_differs_is_not_written(tmp_path):
    bundle = bundle_of("forex", tiny_dataset(), SPEC)
    seen = recorded(stages()[0]).observations("forex", 2)
    strict = ExportSpec(tolerance=1e-12)
    with pytest.raises(TrainingError, match=r"`forex` differs from the trained.*`action` by \d.*e-0\d on \d+ real"):
        export_bundle(bundle, tmp_path / "forex.onnx", 100.0 * seen, strict)
    broken = seen.copy()
    broken[3, 0] = np.nan
    with pytest.raises(TrainingError, match="by nan"):
        export_bundle(bundle, tmp_path / "forex.onnx", broken, SPEC.export)
    recording = recorded(stages()[0])
    recording.outputs["next_books"][5, 2] += 2e-4
    with pytest.raises(TrainingError, match="`next_books` by 0.0002"):
        export_hierarchy(stages()[0], SPEC, tmp_path / "forex.onnx", recording)
    assert not list(tmp_path.iterdir())


def test_recordings_are_distinct_real_bars_of_the_test_split_first():
    stage = stages()[0]
    dataset = tiny_dataset()
    few, many = recorded(stage, 50), recorded(stage, 100_000)
    assert few.bars == 50
    # train 10 to 199, validation 210 to 299 (behind the warm-up of its history), test 300 to 399
    assert many.bars == 189 + 89 + 99
    width = stage.bundles["forex"].layout.width
    first = many.inputs["forex_observation"][:, :4]
    known = {dataset.features[t, 0].tobytes(): t for t in range(len(dataset.features))}
    bars = [known[row.astype(np.float32).tobytes()] for row in first]
    assert len(set(bars)) == len(bars), "no bar is recorded twice"
    ((start, stop),) = dataset.splits.test.segments
    assert sorted(bars[:99]) == list(range(start, stop - 1))
    assert many.inputs["forex_observation"].shape[1] == 2 * width
    with pytest.raises(DataError, match="nothing to check the export with"):
        spec = SPEC.model_copy(update={"environment": SPEC.environment.model_copy(update={"warmup_steps": 900})})
        record(JointGame(dataset, spec, context=False, joint=False), stage.bundles, 10)


def test_a_missing_agent_is_named(tmp_path):
    stage = stages()[0]
    lonely = Stage("phase2", {a: b for a, b in stage.bundles.items() if a != "equity"}, context=False, joint=False)
    with pytest.raises(UsageError, match=r"lacks the bundles of \['equity'\]"):
        export_hierarchy(lonely, SPEC, tmp_path / "h.onnx", recorded(stage))


def test_the_export_unit_names_its_units_and_their_figures(tmp_path):
    dataset = tiny_dataset()
    bundles = bundles_of(dataset, SPEC)
    specialists = [f"phase1-{group}" for group in SPEC.groups]
    upstream = {}
    for name in ("dataset-market", *specialists, "phase2-meta", "phase3-joint"):
        handle = handle_of(tmp_path, name)
        upstream[name] = handle.outputs
        if name == "dataset-market":
            dataset.save(handle.outputs / "dataset")
        agents = SPEC.groups if name == "phase3-joint" else (name.split("-")[1],)
        for agent in (*agents, *((META,) if name == "phase3-joint" else ())):
            if agent in bundles:
                bundles[agent].save(handle.outputs / agent)
        handle.unit.finish({"reward": float("nan") if "meta" in name else 0.25}, {})
    handle = handle_of(tmp_path, "export-onnx")
    result = WORK["export"](SPEC, handle.unit.spec, upstream, handle)
    assert result.metrics["models"] == len(result.outputs) == len(list(handle.outputs.glob("*.onnx")))
    assert result.metrics["parity_max_difference"] <= 1e-5
    manifest = json.loads((handle.outputs / "manifest.json").read_text())
    assert set(manifest["units"]) == set(upstream)
    whole = manifest["hierarchies"]
    assert whole["phase3-hierarchy"]["metrics"] == {"phase3-joint/reward": 0.25}
    assert whole["phase2-hierarchy"]["metrics"]["phase2-meta/reward"] is None
    assert whole["phase2-hierarchy"]["metrics"]["phase1-forex/reward"] == 0.25
