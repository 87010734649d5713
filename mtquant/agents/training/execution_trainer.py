"""The execution agent: SB3's PPO on orders of the Almgren-Chriss market."""

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.learning.algorithms import build_ppo, rollouts_of
from mtquant.agents.learning.state import seed_everything
from mtquant.agents.training.callbacks import UnitCallback
from mtquant.agents.training.divergence import divergence_named
from mtquant.config.agents import PPOSpec
from mtquant.envs.games.execution import AGENT, ExecutionVecEnv
from mtquant.store.units import UnitHandle
from mtquant.synthetic.almgren_chriss import ExecutionParams

EXECUTION_PPO = PPOSpec(n_envs=64, n_steps=40, batch_size=640, gamma=1.0, log_std_init=-1.0, weight_decay=0.0)
"""Orders are short and their end matters as much as their start, so nothing is discounted."""


def train_execution(
    unit: UnitHandle, params: ExecutionParams, timesteps: int, ppo: PPOSpec = EXECUTION_PPO, device: str = "cpu"
) -> PolicyBundle:
    """Train an execution agent, write its bundle to `outputs/execution` and return it."""
    env = ExecutionVecEnv(params, ppo.n_envs, unit.streams.rng("execution", "prices"))
    seed = unit.streams.integer("execution", "learner")
    seed_everything(seed)
    model = build_ppo(env, ppo, timesteps, normaliser=env.game.normaliser(), seed=seed, device=device)
    with divergence_named("the step size of the execution agent"):
        model.learn(rollouts_of(timesteps, ppo) * ppo.n_envs * ppo.n_steps, callback=UnitCallback(unit))
    bundle = PolicyBundle(
        AGENT,
        env.game.layout,
        env.game.actions,
        (),
        ppo.actor_hidden,
        ppo.critic_hidden,
        env.game.normaliser().clip,
        model.policy,
        False,
        {"timesteps": model.num_timesteps, "params": params.model_dump(mode="json")},
    )
    bundle.save(unit.outputs / AGENT)
    return bundle
