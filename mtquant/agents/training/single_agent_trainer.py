"""The control without a hierarchy: SB3's PPO over all instruments at once."""

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.learning.algorithms import build_ppo, persistence_of, rollouts_of
from mtquant.agents.learning.state import seed_everything
from mtquant.agents.training.callbacks import UnitCallback
from mtquant.agents.training.divergence import divergence_named
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.single_agent import AGENT, SingleAgentGame
from mtquant.envs.vec_env import VecMarketEnv
from mtquant.store.units import UnitHandle


def train_single_agent(spec: PipelineSpec, dataset: Dataset, unit: UnitHandle) -> dict[str, float]:
    """Train one policy over all instruments, write its bundle to `outputs/single` and return its metrics."""
    game, ppo, timesteps = SingleAgentGame(dataset, spec), spec.single_agent.ppo, spec.single_agent_timesteps
    env = VecMarketEnv(
        GameEngine(game, dataset.splits.train, ppo.n_envs, unit.streams.rng("single", "episodes")), AGENT
    )
    seed = unit.streams.integer("single", "learner")
    seed_everything(seed)
    model = build_ppo(
        env,
        ppo,
        timesteps,
        normaliser=game.normaliser(),
        persistence=persistence_of(spec.environment),
        seed=seed,
        device=spec.device,
    )
    with divergence_named("single_agent.ppo.learning_rate"):
        model.learn(rollouts_of(timesteps, ppo) * ppo.n_envs * ppo.n_steps, callback=UnitCallback(unit))
    bundle = PolicyBundle(
        AGENT,
        game.layout(AGENT),
        game.actions(AGENT),
        dataset.market.symbols,
        ppo.actor_hidden,
        ppo.critic_hidden,
        spec.features.clip,
        model.policy,
        False,
        {"timesteps": model.num_timesteps},
    )
    bundle.save(unit.outputs / AGENT)
    episodes = [float(e["r"]) / max(float(e["l"]), 1.0) for e in model.ep_info_buffer or ()]
    return {"reward_per_bar": sum(episodes) / len(episodes)} if episodes else {}
