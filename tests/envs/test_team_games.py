"""The teams of document 5: what every action does, and bars from the documents' files."""

from pathlib import Path

import numpy as np
import pytest

from mtquant.context import Streams, market_data_root
from mtquant.envs.games.team import ROSTERS, TeamGame, create_team_environment
from mtquant.envs.ground import Ground
from tests.data.make import stamps, walk, weekdays
from tests.envs.made import SMALL, engine_of
from tests.tiny import tiny_dataset, tiny_spec

MINUTE = 60_000_000_000


def held_after(team: str, start: float, word: str) -> float:
    """Return the exposure that a unanimous `word` asks for from `start`."""
    game = TeamGame(
        Ground(tiny_dataset(), tiny_spec()), SMALL.tactical if team == "tactical" else SMALL.strategic, team, 60
    )
    engine = engine_of(game, 1)
    engine.begin(stagger=False)
    engine.sim.step(np.array([[start]]))
    for agent in game.agents:
        engine.say(agent, np.full((1, 1), game.choices.index(word)))
    return float(game.decode(engine.table)[0, 0] - engine.sim.exposure()[0, 0])


@pytest.mark.parametrize(
    ("team", "word", "change"),
    [
        ("tactical", "HOLD", 0.0),
        ("tactical", "BUY_SMALL", 0.25),
        ("tactical", "BUY_LARGE", 0.75),
        ("tactical", "SELL_SMALL", -0.25),
        ("tactical", "SELL_LARGE", -0.75),
        ("strategic", "HOLD", 0.0),
        ("strategic", "BUY_CONSERVATIVE", 0.25),
        ("strategic", "BUY_AGGRESSIVE", 0.75),
        ("strategic", "SELL_CONSERVATIVE", -0.25),
        ("strategic", "SELL_AGGRESSIVE", -0.75),
    ],
)
def test_buying_and_selling_change_the_exposure_by_the_step(team, word, change):
    for start in (-0.5, 0.0, 0.8):
        assert held_after(team, start, word) == pytest.approx(change, abs=1e-9)


def test_risk_is_raised_and_reduced_by_a_factor_and_exposure_has_a_bound():
    for start in (-0.6, 0.6):
        assert held_after("strategic", start, "INCREASE_RISK") == pytest.approx(0.5 * start, abs=0.02)
        assert held_after("strategic", start, "REDUCE_RISK") == pytest.approx(-start / 3, abs=0.02)
    assert held_after("strategic", 0.0, "INCREASE_RISK") == 0.0
    assert held_after("tactical", 1.4, "BUY_LARGE") == pytest.approx(0.6, abs=0.05)


def test_who_disagrees_is_averaged():
    game = TeamGame(Ground(tiny_dataset(), tiny_spec()), SMALL.tactical, "tactical", 60)
    engine = engine_of(game, 1)
    engine.begin(stagger=False)
    for agent, word in zip(game.agents, ("BUY_LARGE", "HOLD", "SELL_SMALL"), strict=True):
        engine.say(agent, np.full((1, 1), game.choices.index(word)))
    assert game.decode(engine.table)[0, 0] == pytest.approx((0.75 - 0.25) / 3)


def test_the_exposure_is_seen_in_its_column():
    env = create_team_environment("tactical")
    env.reset(seed=0)
    for _ in range(3):
        env.step(2)
    column = env.row.engine.game.window.names.index("position")
    seen = env.observe("risk_agent")
    assert seen[column] == pytest.approx(env.row.engine.sim.exposure()[0, 0]) and seen[column] > 0.5
    np.testing.assert_array_equal(seen, env.observe("tactical_agent"))


def write_nq(path: Path, minutes: int, bars: int = 2500) -> Path:
    """Write bars as the documents' files have them: Date, Open, High, Low, Close, Volume."""
    rows = walk(bars, seed=minutes, start=16_850.0, step=0.0006)
    time = weekdays(bars, minutes * MINUTE)
    lines = ["Date,Open,High,Low,Close,Volume"]
    for stamp, bar in zip(stamps(time, "space"), np.round(rows, 2), strict=True):
        high, low = max(bar[:4]), min(bar[:4])
        lines.append(f"{stamp},{bar[0]},{high},{low},{bar[3]},{int(bar[4])}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("team", "minutes", "label"), [("tactical", 5, "M5"), ("strategic", 30, "M30")])
def test_the_teams_play_the_documents_files(tmp_path, team, minutes, label):
    path = write_nq(tmp_path / f"NQ - {minutes} min - ETH.csv", minutes)
    env = create_team_environment(team, bars=path, split="test", max_cycles=20)
    game = env.row.engine.game
    assert game.dataset.market.symbols == ("NQ",) and game.dataset.market.timeframe == label
    env.reset(seed=0)
    rng = Streams(0).rng("words")
    for _ in range(20):
        for agent in ROSTERS[team].agents:
            env.step(int(rng.integers(env.action_space(agent).n)))
    assert all(env.truncations.values()) and env.row.engine.sim.state.equity[0] != 100_000.0


@pytest.mark.skipif(market_data_root() is None, reason="no real bars (MTQUANT_MARKET_DATA)")
@pytest.mark.parametrize(
    ("team", "name"), [("tactical", "NQ - 5 min - ETH.csv"), ("strategic", "NQ - 30 min - ETH.csv")]
)
def test_the_teams_play_real_bars(team, name):
    folder = market_data_root()
    assert folder is not None
    env = create_team_environment(team, bars=folder / "nq_csv" / name, max_cycles=30)
    env.reset(seed=0)
    for _ in range(30):
        for agent in ROSTERS[team].agents:
            assert np.isfinite(env.observe(agent)).all()
            env.step(1)
    assert all(env.truncations.values())
