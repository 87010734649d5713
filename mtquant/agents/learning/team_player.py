"""`TeamPlayer`: plays rollouts on one shard of rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from mtquant.agents.learning.state import Parts
from mtquant.agents.learning.team_play import REWARD_STRUCTURES, Group, GroupSamples, Played
from mtquant.envs.team import TeamEnv, TeamStep
from mtquant.types import Array, Bool, Float, Float32


class _Book:
    """The samples of one group while a rollout is played."""

    def __init__(self, env: TeamEnv, group: Group, steps: int) -> None:
        agent, members = group.agents[0], len(group.agents)
        shape = (steps, env.rows, members)
        seats = 1 if env.simultaneous else members
        self.columns = [env.agents.index(name) for name in group.agents]
        self.observation = np.zeros((*shape, env.layout(agent).width), np.float32)
        self.state = np.zeros((steps, env.rows, seats, env.state_width), np.float32)
        self.action = np.zeros((*shape, env.actions(agent).size), np.float32)
        self.log_prob, self.reward = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.ends, self.turn, self.active = (np.zeros(shape, dtype=bool) for _ in range(3))
        shocks, numbers = env.noise_shape
        self.shock = np.zeros((steps, env.rows, shocks), np.float32)
        self.noise_state = np.zeros((steps, env.rows, shocks, numbers), np.float32)
        self.cut: list[Array] = [np.zeros((0, 3), np.int64)]
        self.cut_observation: list[Float32] = [np.zeros((0, self.observation.shape[-1]), np.float32)]
        self.cut_state: list[Float32] = [np.zeros((0, env.state_width), np.float32)]

    def samples(self, last_observation: Float32, last_state: Float32) -> GroupSamples:
        """Return all arrays."""
        return GroupSamples(
            self.observation,
            self.state,
            self.action,
            self.log_prob,
            self.reward,
            self.ends,
            self.turn,
            self.active,
            self.shock,
            self.noise_state,
            last_observation,
            np.repeat(last_state[:, None], self.state.shape[2], axis=1),
            np.concatenate(self.cut),
            np.concatenate(self.cut_observation),
            np.concatenate(self.cut_state),
        )


class TeamPlayer:
    """Rows of a team environment with the episodes they are in.

    With the reward structure `cooperative` an agent that is gone stays in the samples until its row's episode ends,
    seeing zeros and not acting, because it is still paid (death masks: Yu et al., 2022). With `restart` every rollout
    begins with new episodes.
    """

    def __init__(self, env: TeamEnv, groups: tuple[Group, ...], *, structure: str, restart: bool) -> None:
        self.env, self.groups, self.restart = env, groups, restart
        self.structure = REWARD_STRUCTURES[structure]
        self.stays = structure == "cooperative"
        shape = (env.rows, len(env.agents))
        self._returns, self._lengths = np.zeros(shape), np.zeros(env.rows, dtype=np.int64)
        self._dead, self._fresh = np.zeros(shape, dtype=bool), np.ones(env.rows, dtype=bool)

    def play(self, policies: Mapping[str, ActorCriticPolicy], steps: int, seed: int) -> Played:
        """Play `steps` steps in every row; `seed` decides which actions are drawn."""
        torch.manual_seed(seed)
        books = {group.name: _Book(self.env, group, steps) for group in self.groups}
        returns: list[Float] = [np.zeros((0, len(self.env.agents)))]
        lengths: list[Array] = [np.zeros(0, dtype=np.int64)]
        for step in range(steps):
            self._speak(policies, books, step)
            outcome = self.env.step()
            self._pay(outcome, books, step)
            self._mark_ends(outcome, books, step)
            self._fresh = outcome.done
            if outcome.done.any():
                returns.append(self._returns[outcome.done])
                lengths.append(self._lengths[outcome.done])
                self.env.restart(outcome.done)
                self._begin(outcome.done)
        state = self.env.state()
        samples = {g.name: books[g.name].samples(self._seen(g.agents), state) for g in self.groups}
        if self.restart:
            self.env.reset()
            self._fresh = np.ones(self.env.rows, dtype=bool)
            self._begin(self._fresh)
        return Played(samples, np.concatenate(returns), np.concatenate(lengths))

    def _begin(self, rows: Bool) -> None:
        self._returns[rows], self._lengths[rows], self._dead[rows] = 0.0, 0, False

    def _seen(self, agents: Sequence[str]) -> Float32:
        """Return `[N, m, d]`; the dead see zeros."""
        columns = [self.env.agents.index(agent) for agent in agents]
        seen = np.stack([self.env.observe(agent) for agent in agents], axis=1)
        return np.where(self._dead[:, columns, None], np.float32(0.0), seen)

    def _speak(self, policies: Mapping[str, ActorCriticPolicy], books: dict[str, _Book], step: int) -> None:
        """Let everybody act, all at once where nobody hears the others."""
        env = self.env
        if env.simultaneous:
            turns = [(group, list(range(len(group.agents)))) for group in self.groups]
        else:
            turns = [(g, [g.agents.index(agent)]) for agent in env.agents for g in self.groups if agent in g.agents]
        state: Float32 | None = None
        for group, members in turns:
            book, agents = books[group.name], [group.agents[member] for member in members]
            if state is None or not env.simultaneous:
                state = env.state()
            seen = self._seen(agents)
            active = np.stack([env.active(agent) for agent in agents], axis=1)
            action, log_prob = choose(policies[group.name], seen, group.identity[members])
            for place, agent in enumerate(agents):
                env.say(agent, action[:, place])
            book.observation[step][:, members], book.active[step][:, members] = seen, active
            book.action[step][:, members], book.log_prob[step][:, members] = action, log_prob
            book.state[step][:, [0] if env.simultaneous else members] = state[:, None]
            stays = self._dead[:, [book.columns[member] for member in members]] if self.stays else False
            book.turn[step][:, members] = active | stays

    def _pay(self, outcome: TeamStep, books: dict[str, _Book], step: int) -> None:
        self._returns += outcome.rewards if outcome.early is None else outcome.rewards + outcome.early
        self._lengths += 1
        paid = self.structure(outcome.rewards)
        late = None if outcome.early is None else np.where(self._fresh[:, None], 0.0, self.structure(outcome.early))
        for book in books.values():
            book.reward[step] = paid[:, book.columns]
            if outcome.noise is not None:
                book.shock[step], book.noise_state[step] = outcome.noise
            if late is not None and step > 0:
                book.reward[step - 1] += late[:, book.columns].astype(np.float32)

    def _mark_ends(self, outcome: TeamStep, books: dict[str, _Book], step: int) -> None:
        """Note which streams end, and what was seen where they were cut."""
        over = np.broadcast_to(outcome.done[:, None], outcome.gone.shape)
        ends = over if self.stays else outcome.gone | over
        cut = over & outcome.cut.any(axis=1, keepdims=True) if self.stays else outcome.cut
        state = self.env.state() if cut.any() else None
        for group in self.groups:
            book = books[group.name]
            book.ends[step] = ends[:, book.columns]
            rows, members = np.nonzero(cut[:, book.columns])
            if state is None or not len(rows):
                continue
            book.cut.append(np.stack([np.full(len(rows), step), rows, members], axis=1))
            book.cut_observation.append(self._seen(group.agents)[rows, members])
            book.cut_state.append(state[rows])
        self._dead |= outcome.gone

    def state_dict(self) -> Parts:
        """Return the rows' state between two rollouts."""
        arrays, values = self.env.state_dict()
        own = {"returns": self._returns, "lengths": self._lengths, "dead": self._dead, "fresh": self._fresh}
        found = {f"env.{name}": array for name, array in arrays.items()}
        return found | {f"player.{name}": array.copy() for name, array in own.items()}, values

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.env.load_state_dict(
            {name.removeprefix("env."): a for name, a in arrays.items() if name.startswith("env.")}, values
        )
        for name in ("returns", "lengths", "dead", "fresh"):
            setattr(self, f"_{name}", np.array(arrays[f"player.{name}"]))


def choose(policy: ActorCriticPolicy, seen: Float32, identity: Float32) -> tuple[Float32, Float32]:
    """Draw actions `[N, m, a]` of observations `[N, m, d]` by agents `identity` [m, i]; also return `[N, m]` ln p."""
    rows, members, _ = seen.shape
    told = np.broadcast_to(identity, (rows, *identity.shape))
    inputs = np.concatenate([seen, told], axis=2).reshape(rows * members, -1)
    with torch.no_grad():
        distribution = policy.get_distribution(torch.from_numpy(inputs).to(policy.device))
        drawn = distribution.get_actions()
        log_prob = distribution.log_prob(drawn)
    action: Float32 = drawn.cpu().numpy().astype(np.float32)
    return action.reshape(rows, members, -1), log_prob.cpu().numpy().reshape(rows, members)
