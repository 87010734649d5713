"""What networks see of the execution game has one scale, whatever the units of the market are."""

import numpy as np
import pytest

from mtquant.config.games import read_games
from mtquant.context import Streams
from mtquant.envs.games.order_desk import OrderDesk
from mtquant.envs.games.order_engine import OrderEngine
from mtquant.envs.market_team import MarketTeam
from mtquant.envs.multi_agent import MultiAgentVecEnv


@pytest.mark.parametrize("price", [25.0, 2500.0])
def test_orders_that_are_sold_evenly_are_of_order_one(price):
    desk = OrderDesk(read_games({"execution": {"environment": {"price": price}}}).execution, 200)
    engine = OrderEngine(desk, 64, Streams(0).rng("orders"))
    team = MarketTeam(MultiAgentVecEnv(engine))
    usual = team.normaliser("routing")
    seen = []
    for step in range(desk.order_steps):
        seen.append((team.observe("routing") - usual.mean) / usual.std)
        share = 2.0 / (desk.order_steps - step) - 1.0
        for agent in team.agents:
            word = share if agent == "position_sizing" else 1.0 if agent in ("stop_target", "risk_monitor") else 0.0
            team.say(agent, np.full((64, desk.actions(agent).size), word))
        np.testing.assert_allclose(
            team.state()[:, : seen[-1].shape[1]], np.clip(seen[-1], -usual.clip, usual.clip), rtol=1e-5
        )
        team.step()
    found = np.concatenate(seen)
    names = [name for name, _ in desk.layout("routing").blocks]
    inside = [i for i, name in enumerate(names) if name != "slippage"]
    assert np.abs(found[:, inside]).max() < usual.clip
    constant = found[:, [names.index(n) for n in ("volatility", "latency_venue_a", "fee_venue_b")]]
    np.testing.assert_allclose(constant, 0.0, atol=1e-6)
