"""The strategic game: who sees what, how votes become exposure, what is paid, what the critic sees."""

import numpy as np
import pytest

from mtquant.config.games import read_games
from mtquant.context import Streams
from mtquant.data.align import with_macro
from mtquant.data.dataset import Dataset
from mtquant.data.features import build_dataset
from mtquant.envs.columns import column_table
from mtquant.envs.games.strategic import EXPERTS, StrategicGame, StrategicMarketEnv, create_strategic_environment
from mtquant.envs.ground import FEATURES, Ground
from mtquant.errors import ConfigError
from tests.envs.made import PROBABLE, SMALL, engine_of
from tests.tiny import tiny_dataset, tiny_market, tiny_spec

SHORT, NEUTRAL, LONG = 0, 1, 2


def step(env, *words) -> dict[str, float]:
    for word in words:
        env.step(word)
    return env.infos[EXPERTS[0]].get("reward_parts", {})


@pytest.fixture
def env() -> StrategicMarketEnv:
    made = create_strategic_environment({"strategic_marl": {"environment": {"observation_noise": 0.0}}}, max_cycles=50)
    made.reset(seed=1)
    return made


def test_every_expert_sees_its_columns_and_no_others(env):
    state, window = env.row.engine.sim.state, env.row.engine.game.window
    t, slot = int(state.t[0]), int(state.slots[0, 0])
    for expert, columns in zip(EXPERTS, (range(4), range(4, 8), range(8, 13)), strict=True):
        seen = env.observe(expert)
        others = [c for c in range(13) if c not in columns]
        np.testing.assert_array_equal(seen[:, list(columns)], window.table[t - 47 : t + 1, slot][:, list(columns)])
        assert not seen[:, others].any()


def test_noise_is_as_large_as_asked_and_the_same_at_every_look(env):
    noisy = create_strategic_environment({"strategic_marl": {"environment": {"observation_noise": 0.5}}})
    noisy.reset(seed=1)
    plain = noisy.row.engine.game.window.table
    first = noisy.observe("mlmi_expert")
    np.testing.assert_array_equal(first, noisy.observe("mlmi_expert"))
    t, slot = int(noisy.row.engine.sim.state.t[0]), int(noisy.row.engine.sim.state.slots[0, 0])
    added = first[:, :4] - plain[t - 47 : t + 1, slot, :4]
    assert added.std() == pytest.approx(0.5, rel=0.15)
    step(noisy, NEUTRAL, NEUTRAL, NEUTRAL)
    # a bar that is seen again looks as it did
    np.testing.assert_array_equal(noisy.observe("mlmi_expert")[:-1], first[1:])


@pytest.mark.parametrize(
    ("words", "decision", "synergy"),
    [
        ((2, 2, 2), 1.0, 1.0),
        ((0, 0, 0), -1.0, 1.0),
        ((2, 2, 0), 0.4, 0.0),
        ((1, 1, 2), 0.3, 0.0),
        ((1, 1, 1), 0.0, 0.0),
    ],
)
def test_votes_count_by_expertise(env, words, decision, synergy):
    step(env, *words)
    contributions = env.get_agent_contributions()
    assert tuple(contributions) == EXPERTS
    assert sum(contributions.values()) == pytest.approx(decision)
    assert env.get_synergy_score() == pytest.approx(synergy)
    # a third of the way from flat to the decision
    held = env.row.engine.sim.exposure()[0, 0]
    assert held == pytest.approx(0.33 * decision, abs=0.02)


def test_the_reward_is_profit_with_earned_synergy_less_drawdown(env):
    drawdown = 0.0
    for words in [(2, 2, 2)] * 6 + [(0, 0, 0)] * 6 + [(2, 0, 1)] * 3:
        parts = step(env, *words)
        agreed = 1.0 if len(set(words)) == 1 else 0.0
        assert parts["synergy"] == pytest.approx(0.2 * agreed * parts["profit"])
        assert parts["drawdown"] <= 0.0
        drawdown -= parts["drawdown"] / 0.1
        assert env.rewards["regime_expert"] == pytest.approx(sum(parts.values()))
    game, memory = env.row.engine.game, env.row.engine.table.memory
    assert drawdown == pytest.approx(memory["worst"][0] / game.unit_risk)
    assert memory["worst"][0] > 0.0


def test_a_flat_team_earns_exactly_nothing(env):
    for _ in range(5):
        parts = step(env, NEUTRAL, NEUTRAL, NEUTRAL)
        assert set(parts.values()) <= {0.0, -0.0}


def test_flat_synergy_pays_the_documents_constant():
    env = create_strategic_environment({"strategic_marl": {"rewards": {"synergy": "flat"}}})
    env.reset(seed=1)
    assert step(env, LONG, LONG, LONG)["synergy"] == pytest.approx(0.2)
    assert step(env, LONG, SHORT, LONG)["synergy"] == 0.0


def test_probabilities_vote_their_difference():
    dataset, spec = tiny_dataset(), tiny_spec()
    engines = [
        engine_of(StrategicGame(Ground(dataset, spec), chosen.strategic_marl, 60), 3) for chosen in (SMALL, PROBABLE)
    ]
    for engine in engines:
        engine.begin(stagger=False)
    choices = np.array([[0.0], [1.0], [2.0]])
    for expert in EXPERTS:
        engines[0].say(expert, choices)
        engines[1].say(expert, np.eye(3) * np.array([[0.5], [1.0], [0.25]]))
    np.testing.assert_array_equal(*(engine.game.decode(engine.table) for engine in engines))
    engines[1].say(EXPERTS[0], np.array([[0.0, 0.0, 0.0], [0.25, 0.25, 0.5], [1.0, 0.0, 1.0]]))
    engines[1].game.decode(engines[1].table)
    np.testing.assert_allclose(engines[1].table.memory["votes"][:, 0], [0.0, 0.25, 0.0])


def test_the_critic_sees_83_numbers_that_begin_with_the_columns_of_the_bar(env):
    step(env, LONG, LONG, LONG)
    state, game = env.state(), env.row.engine.game
    now = env.row.engine.sim.state
    np.testing.assert_array_equal(state[:13], game.window.table[int(now.t[0]), int(now.slots[0, 0])])
    assert state.shape == (83,)
    assert state[78] == pytest.approx(env.row.engine.sim.exposure()[0, 0])
    assert state[80] == pytest.approx(49 / 50)


def test_the_regime_is_named_after_its_columns(env):
    for _ in range(30):
        found = env.get_regime_state()
        seen = found["columns"]
        assert tuple(seen) == env.row.engine.game.window.names[8:]
        assert (found["trend"] == "up") == (seen["trend_state"] > 0.5)
        assert (found["volatility"] == "turbulent") == (seen["volatility_state"] > 0.5)
        step(env, NEUTRAL, NEUTRAL, NEUTRAL)


def with_news() -> Dataset:
    market = tiny_market(bars=600)
    news = Streams(0).rng("news").standard_normal((600, 1)) * 3.0 + 1.0
    splits = tiny_dataset(bars=600).splits
    return build_dataset(with_macro(market, news, ("news",)), splits, FEATURES, planted=False)


def test_columns_of_your_own_file_are_shown_and_others_are_refused():
    dataset = with_news()
    table = column_table(dataset, ("rsi", "news", "position"))
    shown = table[:, :, 1]
    inside = dataset.splits.train.mask(600)
    assert shown[inside].mean() == pytest.approx(0.0, abs=1e-5) and shown[inside].std() == pytest.approx(1.0, rel=1e-4)
    assert np.corrcoef(shown[:, 0], dataset.market.macro[:, 0])[0, 1] == pytest.approx(1.0)
    assert not table[:, :, 2].any()
    with pytest.raises(ConfigError, match=r"`weather`.*Known:.*`news`"):
        column_table(dataset, ("weather",))


def test_signals_of_a_planted_market_can_be_columns():
    names = ("signal_fast", "signal_slow")
    config = {"strategic_marl": {"environment": {"columns": [*names, *SMALL.strategic_marl.environment.columns[2:]]}}}
    env = StrategicMarketEnv(config, bars="gp-easy")
    env.reset(seed=0)
    table = env.row.engine.game.window.table[:, :, :2]
    assert 0.8 < table.std() < 1.2 and np.abs(np.corrcoef(table[1:, 0, 1], table[:-1, 0, 1])[0, 1]) > 0.9


def test_a_window_longer_than_the_warm_up_and_a_column_that_is_not_there_are_refused():
    spec, dataset = tiny_spec(), tiny_dataset()
    with pytest.raises(ConfigError, match="window of 48 bars"):
        StrategicGame(Ground(dataset, spec), read_games().strategic_marl, 60)
    wrong = read_games({"strategic_marl": {"agents": {"mlmi_expert": {"observation_columns": [0, 13]}}}})
    with pytest.raises(ConfigError, match=r"\[13\].*0 to 12"):
        StrategicMarketEnv({"strategic_marl": wrong.strategic_marl.model_dump(mode="json")})
