"""One ledger: training, backtest and the replay of ONNX graphs book the same events to the same money."""

import copy

import numpy as np
import pytest
import torch

from mtquant.context import Streams
from mtquant.envs.games.joint import META, JointGame, JointTrainingEnv
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.result import BacktestResult
from mtquant.export import OnnxActor, export_bundle, open_session
from mtquant.sim.simulator import Episode
from tests.agents.made import bundles_of, learning_spec
from tests.tiny import tiny_dataset

SPEC = learning_spec()
CLOSE = {"rtol": 1e-9, "atol": 1e-9}
BOOKED = ("gross", "cost", "exposure", "trade", "projection", "breaker", "stops")


class Remembering:
    """An `ActFn` that keeps what it was shown and what it said."""

    def __init__(self, act):
        self.act, self.seen, self.said = act, [], []

    def __call__(self, observation, /):
        """Return what the policy says."""
        self.seen.append(observation)
        self.said.append(self.act(observation))
        return self.said[-1]


class DoubleActor:
    """A network, or its ONNX graph, in float64, where rounding is far below what is compared."""

    def __init__(self, bundle, path=None):
        self.count = len(bundle.instruments) if bundle.per_instrument else 1
        self.actor = copy.deepcopy(bundle.actor).double()
        self.session = None
        if path is not None:
            width = bundle.layout.width
            torch.onnx.export(
                self.actor,
                (torch.zeros(2, width, dtype=torch.float64),),
                path,
                dynamo=False,
                input_names=["observation"],
                output_names=["action"],
                dynamic_axes={"observation": {0: "rows"}, "action": {0: "rows"}},
            )
            self.session = open_session(path.read_bytes())

    def __call__(self, observation, /):
        """Return `[N, count a]`."""
        seen = np.asarray(observation, dtype=np.float64).reshape(len(observation) * self.count, -1)
        if self.session is not None:
            said = self.session.run(None, {"observation": seen})[0]
        else:
            with torch.no_grad():
                said = self.actor(torch.from_numpy(seen)).numpy()
        return said.reshape(len(observation), -1)


@pytest.fixture(scope="module")
def dataset():
    """Four instruments, two histories."""
    return tiny_dataset()


@pytest.fixture(scope="module")
def bundles(dataset):
    """Untrained policies that trade."""
    return bundles_of(dataset, SPEC, 1)


def exported(bundles, game, folder):
    """Return the bundles' ONNX files as actors; any observations do for the parity check."""
    acts = {}
    for agent, bundle in bundles.items():
        count = len(bundle.instruments) if bundle.per_instrument else 1
        width = game.layout(agent).width // count
        seen = np.random.default_rng(0).standard_normal((50, width)).astype(np.float32)
        export_bundle(bundle, folder / f"{agent}.onnx", seen, SPEC.export)
        acts[agent] = OnnxActor(folder / f"{agent}.onnx", count)
    return acts


def train_again(dataset, result: BacktestResult, acts, row: int) -> dict[str, np.ndarray]:
    """Play pass `row` of a backtest in the environment that phase 3 trains in, with the decisions of that pass."""
    bars = int(result.alive[:, row].sum())
    env = JointTrainingEnv(dataset, SPEC, dataset.splits.test).batch(1, Streams(0).rng("episodes"))
    start = result.bar[0, row]
    one = np.ones(1)
    every = np.arange(len(result.symbols))[None]
    env.engine.begin_episode(Episode(start[None], np.array([start + bars]), every, one, one, 0.0 * one))
    booked: dict[str, list[np.ndarray]] = {name: [] for name in (*BOOKED, "equity")}
    for t in range(bars):
        for agent in env.agents:
            np.testing.assert_allclose(env.observe(agent)[0], acts[agent].seen[t][row], **CLOSE)
            env.say(agent, acts[agent].said[t][row : row + 1])
        outcome = env.step()
        assert outcome.done[0] == (t == bars - 1)
        for name, values in booked.items():
            values.append(getattr(outcome.result, name)[0])
    return {name: np.array(values) for name, values in booked.items()}


def test_training_books_what_the_replay_of_onnx_graphs_books(dataset, bundles, tmp_path):
    game = JointGame(dataset, SPEC, context=True, joint=True)
    acts = {agent: Remembering(act) for agent, act in exported(bundles, game, tmp_path).items()}
    replayed = backtest(game, dataset.splits.test, acts, "onnx")
    assert replayed.alive.sum() > 50
    assert (np.abs(replayed.trade).sum(axis=2)[replayed.alive] > 0.0).mean() > 0.5
    for row in range(replayed.alive.shape[1]):
        bars = int(replayed.alive[:, row].sum())
        booked = train_again(dataset, replayed, acts, row)
        for name in BOOKED:
            np.testing.assert_allclose(booked[name], getattr(replayed, name)[:bars, row], **CLOSE, err_msg=name)
        np.testing.assert_allclose(booked["equity"], replayed.equity[1 : bars + 1, row], **CLOSE)


def test_every_event_is_money(dataset, bundles, tmp_path):
    """Equity moves by profit less costs of the bar and by nothing else."""
    game = JointGame(dataset, SPEC, context=True, joint=True)
    replayed = backtest(game, dataset.splits.test, exported(bundles, game, tmp_path), "onnx")
    earned = (replayed.gross - replayed.cost).sum(axis=2)
    np.testing.assert_allclose(np.diff(replayed.equity, axis=0), earned, rtol=0.0, atol=1e-9 * replayed.equity.max())
    assert replayed.cost[replayed.alive].sum() > 0.0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("context", "joint"), [(False, False), (True, True)])
def test_a_graph_in_double_precision_trades_like_the_trained_policy(dataset, bundles, context, joint, tmp_path):
    """What differs between ONNX and torch in float32 is rounding: in float64 every event is the same."""
    game = JointGame(dataset, SPEC, context=context, joint=joint)
    graphs = {agent: DoubleActor(bundle, tmp_path / f"{agent}.onnx") for agent, bundle in bundles.items()}
    networks = {agent: DoubleActor(bundle) for agent, bundle in bundles.items()}
    trained, replayed = (backtest(game, dataset.splits.test, acts, META) for acts in (networks, graphs))
    for name in (*BOOKED, "equity", "value_at_risk", "budgets", "books"):
        np.testing.assert_allclose(getattr(replayed, name), getattr(trained, name), **CLOSE, err_msg=name)
    assert np.abs(trained.exposure).max() > 0.1
