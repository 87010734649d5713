"""The rollouts of phase 3: all agents play together, and each gets the samples that it learns from."""

import numpy as np

from mtquant.agents.learning.counterfactual import CounterfactualCredit, Played, slopes_of
from mtquant.agents.learning.joint import JointLearner
from mtquant.agents.learning.lagrangian import PIDLagrangian
from mtquant.agents.learning.samples import Exposed, Rollout
from mtquant.agents.training.curriculum_learning import AdvancedCurriculumLearning
from mtquant.config.phases import Phase3Spec
from mtquant.envs.activity import Activity
from mtquant.envs.engine import Outcome
from mtquant.envs.games.joint import META, JointGame
from mtquant.envs.multi_agent import MultiAgentVecEnv
from mtquant.types import Array, Bool, Float, Float32


class JointRollouts:
    """Plays N rows of the joint game with learners that explore.

    `credit` says what actions were worth at the margin; without it learners estimate advantages from what was paid.
    """

    def __init__(
        self,
        phase: Phase3Spec,
        game: JointGame,
        env: MultiAgentVecEnv,
        learners: dict[str, JointLearner],
        curriculum: AdvancedCurriculumLearning,
        credit: CounterfactualCredit | None,
    ) -> None:
        self.phase, self.game, self.env, self.learners = phase, game, env, learners
        self.curriculum, self.credit = curriculum, credit
        self.tail = PIDLagrangian(phase.tail)
        self.start = np.ones(env.rows, dtype=bool)
        """[N] whether the next bar is an episode's first."""

    def collect(self) -> tuple[dict[str, Rollout], dict[str, float]]:
        """Play one rollout; return each agent's samples and what was measured."""
        env, game, learners = self.env, self.game, self.learners
        every = game.decision_bars
        utility: list[float] = []
        large: list[float] = []
        activity = {group: Activity() for group in game.members}
        played: list[Played] = []
        meta_reward, meta_start = np.zeros((env.rows, 2)), self.start.copy()
        ended = np.zeros(env.rows, dtype=bool)
        for bar in range(self.phase.n_steps):
            if bar % every == 0:
                meta_reward, meta_start = np.zeros((env.rows, 2)), self.start.copy()
                env.say(META, learners[META].choose(*self._inputs(META)))
            for group in game.members:
                chosen = learners[group].choose(*self._inputs(group))
                env.say(group, chosen.reshape(env.rows, -1))
            states: dict[str, Array] = {}
            if self.credit is not None:
                played.append(Played.of(env.engine.table))
            elif self.phase.noise_baseline:
                states = {group: game.noise_state(group, env.engine.table) for group in game.members}
            outcome = env.step()
            cut, result = outcome.done & ~outcome.terminated, outcome.result
            utility.append(float(outcome.rewards[META].mean()))
            self.curriculum.bar(outcome.rewards[META])
            loss = result.equity < (1.0 - self.phase.tail.level) * result.equity_before
            large.append(float(loss.mean()))
            meta_reward = meta_reward + np.stack([outcome.rewards[META], loss], axis=1)
            for group, slots in game.members.items():
                activity[group].add(result.exposure[:, slots], result.trade[:, slots])
            self._pay_specialists(outcome, states)
            ended = ended | outcome.done
            if (bar + 1) % every == 0:
                following = self._bootstrap(learners[META], cut)
                paid = meta_reward[:, : learners[META].streams].astype(np.float32)
                learners[META].pay(paid + following, meta_start, learning=self.curriculum.learning)
                # a ruined row waits for the next decision, so that decisions of all rows stay in step
                env.restart(ended)
                ended = np.zeros(env.rows, dtype=bool)
            self.start = outcome.done
        derivatives = self._derivatives(played)
        found = {agent: self._finish(learner, derivatives.get(agent)) for agent, learner in learners.items()}
        self.curriculum.scored([found[group].positive for group in game.members])
        measured = {"utility_per_bar": float(np.mean(utility)), "large_loss_rate": float(np.mean(large))}
        if self.phase.tail.enabled:
            measured["tail_multiplier"] = self.tail.update(measured["large_loss_rate"])
        for group, behaviour in activity.items():
            measured |= {f"{group}/{name}": value for name, value in behaviour.take().items()}
        return found, measured

    def _pay_specialists(self, outcome: Outcome, states: dict[str, Array]) -> None:
        """Pay every instrument for the bar; `states` are there where market noise is to be subtracted."""
        env, game = self.env, self.game
        cut, result = outcome.done & ~outcome.terminated, outcome.result
        marginal, own = game.difference(result), game.own(result)
        if self.phase.credit == "shared":
            marginal = np.repeat(outcome.rewards[META][:, None], marginal.shape[1], axis=1)
        for group, slots in game.members.items():
            learner = self.learners[group]
            both = np.stack([marginal[:, slots].reshape(-1), own[:, slots].reshape(-1)], axis=1)
            paid = both[:, : learner.streams].astype(np.float32) + self._bootstrap(learner, cut)
            exposed = None
            if group in states:
                exposed = Exposed(game.noise_shock(group, env.engine.table, result), states[group])
            learner.pay(paid, self.start, exposed, self.curriculum.learning)

    def _derivatives(self, played: list[Played]) -> dict[str, Float]:
        """Return `[S, B, a, streams]` per agent what actions were worth at the margin; nothing with other credit.

        The meta-controller is left out where it is paid something else than the utility that is differentiated.
        """
        if self.credit is None:
            return {}
        learners, layout = self.learners, self.game.view.layout
        slopes = {}
        for group, learner in learners.items():
            if group != META:
                seen = np.stack([step.observation for step in learner.steps])
                seen = seen.reshape(len(seen), -1, learner.per_row, seen.shape[-1])
                slopes[group] = slopes_of(learner.policy, seen, layout)
        own = any(learner.streams > 1 for agent, learner in learners.items() if agent != META)
        credit = self.credit.of(played, slopes, own=own)
        out = {META: credit.portfolio[META][..., None]} if self.phase.differentiates(meta=True) else {}
        for group in slopes:
            streams = [found[group] for found in (credit.portfolio, credit.own) if group in found]
            both = np.stack(streams, axis=-1)
            out[group] = both.reshape(len(both), -1, 1, len(streams))
        return out

    def _finish(self, learner: JointLearner, derivative: Float | None) -> Rollout:
        """Return what an agent learns from in this rollout."""
        held_to_tail = self.phase.tail.enabled and learner.name == META
        multiplier = self.tail.multiplier if held_to_tail else None
        last_value = learner.value(*self._inputs(learner.name))
        return learner.finish(last_value, self.start, multiplier, derivative)

    def _bootstrap(self, learner: JointLearner, cut: Bool) -> Float32:
        """Return `[B, streams]` the discounted value of what follows episodes that were cut, 0 elsewhere."""
        if not cut.any():
            return np.zeros((self.env.rows * learner.per_row, learner.streams), dtype=np.float32)
        value = learner.value(*self._inputs(learner.name))
        return np.where(np.repeat(cut, learner.per_row)[:, None], learner.discounting.gamma * value, 0.0).astype(
            np.float32
        )

    def _inputs(self, agent: str) -> tuple[Float32, Float32]:
        """Return observations `[B, d]` and central states `[B, c]` of an agent's samples."""
        env, game = self.env, self.game
        seen = np.asarray(env.observe(agent), dtype=np.float32)
        if agent == META:
            return seen, np.zeros((len(seen), 0), dtype=np.float32)
        count = len(game.members[agent])
        around = np.repeat(game.central(env.engine.table), count, axis=0)
        return seen.reshape(len(seen) * count, -1), around
