"""The gates of the four environments without their budget: what is measured, who acts alone, what is reused."""

import numpy as np
import pytest

from mtquant.agents.training.unified_pettingzoo_trainer import ENVIRONMENTS
from mtquant.config.games import read_games
from mtquant.config.marl import TrainingMode
from mtquant.context import Streams
from mtquant.envs.multi_agent import MultiAgentVecEnv
from mtquant.envs.team_factory import team_of
from mtquant.evaluation.team import play_team
from mtquant.gates.alone import alone_environment, neutral, words_alone
from mtquant.gates.desk_stages import Size, stages_of
from mtquant.gates.desk_worth import RANDOM, SmallestLead, TeamShare, Worth, alone_words, team_words, worth_of
from mtquant.gates.desks import DIVIDED, PLANTED, SHOWN_ONE, DeskTraining, finish_desk

MODES = tuple(PLANTED)
TINY = Size(markets=2, rows=4, bars=60, orders=4)
PLAYED = [(mode, None) for mode in MODES] + [(mode, DIVIDED) for mode in SHOWN_ONE]


def first_stage(mode, bars=None):
    training = DeskTraining(mode, 1, bars)
    return next(stages_of(mode, bars, read_games(training.environment), TINY))


@pytest.mark.parametrize(("mode", "bars"), PLAYED)
def test_the_optimum_is_worth_more_than_chance_and_play_repeats(mode, bars):
    stage = first_stage(mode, bars)
    best = stage.play(stage.best)
    np.testing.assert_array_equal(best, stage.play(stage.best))
    rng = Streams(0).rng("random")
    random = stage.play(lambda engine: {a: engine.game.actions(a).sample(rng, engine.rows) for a in engine.game.agents})
    assert best.mean() > random.mean()
    if stage.zero is not None:
        assert stage.play(stage.zero).mean() < best.mean()


def sized(agents, action):
    return {agent: lambda seen, /: np.full((len(seen), 1), action) for agent in agents}


def test_worth_is_counted_for_everybody_on_the_same_episodes():
    mode = TrainingMode.STRATEGIC
    agents = ("mlmi_expert", "nwrqk_expert", "regime_expert")
    long = sized(agents, 2.0)
    found = worth_of(DeskTraining(mode, 1), long, long | {"regime_expert": sized(agents, 1.0)["regime_expert"]}, TINY)
    assert found.team.shape == found.best.shape == (TINY.markets,)
    # an agent alone decides for all: it is worth what a team is that votes as it does, and nothing where it is NEUTRAL
    np.testing.assert_array_equal(found.rivals["mlmi_expert"], found.team)
    np.testing.assert_array_equal(found.rivals["regime_expert"], 0.0)
    assert set(found.rivals) == {RANDOM, *agents}


def test_a_lead_is_that_over_the_nearest_rival(monkeypatch):
    best = np.array([1.0, 1.1, 0.9, 1.0])
    worth = Worth(0.8 * best, best, {RANDOM: -0.2 * best, "a": 0.5 * best, "b": 0.7 * best})
    monkeypatch.setattr("mtquant.gates.desk_worth.worth_of_run", lambda run: worth)
    assert TeamShare()(None).value == pytest.approx(0.8)
    lead = SmallestLead()(None)
    assert lead.value == pytest.approx(0.1) and lead.low > 0.0


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_alone_the_others_are_neutral_or_repeat(mode):
    whole = ENVIRONMENTS[mode](split="train", max_cycles=40)
    agents = whole.possible_agents
    voting = mode in (TrainingMode.STRATEGIC, TrainingMode.TACTICAL)
    for agent in agents:
        made = alone_environment(str(mode), agent, split="train", max_cycles=40)
        team = team_of(lambda made=made: made, 3, Streams(0).rng("rows"))
        other = MultiAgentVecEnv(whole.row.make(3, Streams(0).rng("rows")))
        other.reset()
        other.load_state_dict(*team.state_dict())
        assert team.agents == (agent,) and team.state_width == team.state().shape[1]
        word = np.full((3, team.actions(agent).size), team.actions(agent).high)
        team.say(agent, word)
        paid = team.step().rewards
        said = {a: word if voting or a == agent else neutral(other.engine.game.actions(a), 3) for a in agents}
        np.testing.assert_array_equal(paid[:, 0], other.play(said).rewards[agent])


def test_neutral_words_are_the_documented_ones():
    names = {}
    for mode in MODES:
        game = ENVIRONMENTS[mode](max_cycles=40).row.engine.game
        for agent in game.agents:
            actions = game.actions(agent)
            middle = neutral(actions, 1)
            names.setdefault(str(mode), set()).add(getattr(actions, "names", ("0",) * 2)[int(middle[0, 0])])
        said = words_alone(game, game.agents[0], neutral(game.actions(game.agents[0]), 2), False)
        assert tuple(said) == game.agents
    assert names == {"strategic": {"NEUTRAL"}, "tactical": {"NEUTRAL"}, "risk": {"MAINTAIN"}, "execution": {"0"}}


def test_later_tacticians_hear_earlier_ones():
    heard = []

    def late(seen, /):
        heard.append(seen.reshape(len(seen), 60, 7)[:, -1, 0])
        return np.ones((len(seen), 1))

    acts = sized(("fvg_agent", "momentum_agent"), 2.0) | {"entry_opt_agent": late}
    first_stage(TrainingMode.TACTICAL).play(team_words(acts))
    assert all((seen == 1.0).all() for seen in heard)
    heard.clear()
    first_stage(TrainingMode.TACTICAL).play(alone_words("entry_opt_agent", late, True))
    assert all((seen == 0.0).all() for seen in heard), "alone, there is nobody to hear"


@pytest.mark.parametrize("mode", [TrainingMode.EXECUTION], ids=str)
def test_a_team_and_its_agents_alone_are_trained_once(mode, tmp_path):
    training = DeskTraining(mode, 1)
    run = finish_desk(tmp_path, training, 0)
    again = finish_desk(tmp_path, training, 0)
    assert run.keys == again.keys and run.team.attempts() == 1
    agents = [agent for agent, _ in run.alone]
    assert set(run.acts()) == set(run.acts_alone()) == set(agents) and len(agents) == len(run.keys) - 1
    settings = training.config(0), training.config(0, agents[0])
    assert settings[0].total_steps == settings[1].total_steps
    found = worth_of(training, run.acts(), run.acts_alone(), TINY)
    assert found.team.mean() < 0.9 * found.best.mean(), "who learned nothing does not pass"
    env = team_of(lambda: settings[1].env_factory(**settings[1].env_settings), 2, Streams(0).rng("rows"))
    returns, _ = play_team(env, {agents[0]: run.acts_alone()[agents[0]]}, 2)
    assert returns.shape == (2, 1)


@pytest.mark.parametrize("mode", SHOWN_ONE, ids=str)
def test_on_the_divided_market_nobody_sees_what_another_is_shown(mode):
    training = DeskTraining(mode, 1, DIVIDED)
    settings = training.config(0)
    game = settings.env_factory(**settings.env_settings).row.engine.game
    assert game.window.names == ("signal_fast", "signal_middle", "signal_slow", "position")
    shown = [set(game.columns[agent]) - {3} for agent in game.agents]
    assert shown == [{0}, {1}, {2}]
    assert np.abs(np.corrcoef(game.window.table[:, 0, :3].T) - np.eye(3)).max() < 0.1


def test_whoever_needs_no_rivals_trains_none(monkeypatch, tmp_path):
    run = finish_desk(tmp_path, DeskTraining(TrainingMode.TACTICAL, 1, DIVIDED, rivals=False), 0)
    assert run.acts_alone() == {} and len(run.keys) == 1 and len(run.acts()) == 3
