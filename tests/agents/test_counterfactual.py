"""Counterfactual credit is the derivative of what the environment pays, by playing it again with one action changed."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from mtquant.agents.learning.counterfactual import CounterfactualCredit, Played, slopes_of
from mtquant.config.agents import EnvironmentSpec
from mtquant.config.risk import LimitsSpec
from mtquant.context import Streams
from mtquant.envs.games.joint import META, JointTrainingEnv
from mtquant.envs.multi_agent import MultiAgentVecEnv
from tests.agents.made import bundle_of, learning_spec
from tests.tiny import SYMBOLS, tiny_dataset

ROWS, BARS = 2, 10
Change = tuple[int, str, int, int]
"""Bar, agent, row, number of its action."""


class Table:
    """A joint game of small linear specialists that follow their books and budgets, and a meta that does not."""

    def __init__(self, costs: str, limits: bool) -> None:
        environment = EnvironmentSpec(instruments=SYMBOLS, episode_length=35, warmup_steps=10, costs=costs)
        self.spec = learning_spec(environment=environment, limits=LimitsSpec(enabled=limits, max_portfolio_var=0.004))
        self.dataset = tiny_dataset(2, hours=6)
        joint = JointTrainingEnv(self.dataset, self.spec, self.dataset.splits.train)
        self.joint, self.game = joint, joint.joint_game
        self.bundles = {group: bundle_of(group, self.dataset, self.spec, size=0.1) for group in self.spec.groups}

    def play(self, change: Change | None = None, by: float = 0.0) -> tuple[float, float, list[Played], Mapping]:
        """Return utility and own utilities of all rows and bars, with one action changed `by` so much."""
        rng = Streams(5).rng("words")
        env = self.joint.batch(ROWS, Streams(3).rng("episodes"))
        env.reset()
        total, own, played = 0.0, 0.0, []
        slopes: dict[str, list] = {group: [] for group in self.spec.groups}
        for bar in range(BARS):
            if bar % self.game.decision_bars == 0:
                self._say(env, META, rng.standard_normal((ROWS, len(self.spec.groups) + 1)), bar, change, by)
            for group, bundle in self.bundles.items():
                members = len(self.game.members[group])
                seen = env.observe(group).reshape(ROWS, members, -1)
                slopes[group].append(slopes_of(bundle.policy, seen, self.game.view.layout))
                with torch.no_grad():
                    flat = torch.from_numpy(seen.reshape(ROWS * members, -1).astype(np.float32))
                    mean = bundle.policy.get_distribution(flat).mode().numpy().reshape(ROWS, members)
                self._say(env, group, mean + 0.1 * rng.standard_normal(mean.shape), bar, change, by)
            played.append(Played.of(env.engine.table))
            outcome = env.step()
            total += float(outcome.rewards[META].sum())
            own += float(self.game.own(outcome.result).sum())
            if (bar + 1) % self.game.decision_bars == 0:
                env.restart(outcome.done)
        return total, own, played, {group: np.stack(found) for group, found in slopes.items()}

    def _say(
        self, env: MultiAgentVecEnv, agent: str, word: np.ndarray, bar: int, change: Change | None, by: float
    ) -> None:
        if change is not None and change[:2] == (bar, agent):
            word[change[2], change[3]] += by
        env.say(agent, word)


@pytest.fixture(scope="module", params=[("planted", False), ("realistic", False), ("realistic", True)])
def table(request: pytest.FixtureRequest) -> Table:
    return Table(*request.param)


GROUPS = ("forex", "commodities", "equity")


@pytest.mark.parametrize(("agent", "own"), [(META, False), *((g, False) for g in GROUPS), *((g, True) for g in GROUPS)])
def test_credit_is_the_slope_of_what_the_environment_pays(table: Table, agent: str, own: bool) -> None:
    _, _, played, slopes = table.play()
    credit = CounterfactualCredit(table.game, table.dataset, table.spec, ROWS).of(played, slopes, own=own)
    found = (credit.own if own else credit.portfolio)[agent]
    every = table.game.decision_bars if agent == META else 1
    for row in range(ROWS):
        # every third is enough to meet every kind of bar: the first, decisions of the meta, the middle, the last
        for index in range(0, len(found), 3):
            change: Change = (index * every, agent, row, found.shape[2] - 1)
            step = 1e-4
            up, down = table.play(change, step)[own], table.play(change, -step)[own]
            slope = (up - down) / (2.0 * step)
            assert found[index, row, -1] == pytest.approx(slope, rel=1e-2, abs=1e-4), change


def test_all_rows_are_credited_for_their_own_prices_only(table: Table) -> None:
    _, _, played, slopes = table.play()
    credit = CounterfactualCredit(table.game, table.dataset, table.spec, ROWS).of(played, slopes, own=False)
    assert set(credit.portfolio) == {META, *table.spec.groups}
    assert credit.portfolio[META].shape == (BARS // table.game.decision_bars, ROWS, len(table.spec.groups) + 1)
    assert credit.portfolio["forex"].shape == (BARS, ROWS, 2)
    assert all(np.isfinite(found).all() for found in credit.portfolio.values())
