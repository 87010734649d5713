"""A pipeline small enough for tests, on a planted market of four instruments."""

from mtquant.config.agents import DataSpec, EnvironmentSpec, Phase1Spec, Phase2Spec, Phase3Spec, PipelineSpec, PPOSpec
from mtquant.config.instruments import InstrumentSpec, InstrumentsSpec

GROUPS = {"EURUSD": "forex", "GBPUSD": "forex", "XAUUSD": "commodities", "SPX500": "equity"}
PLANTED = {"train_histories": 2, "validation_histories": 1, "test_histories": 1, "history_bars": 400}


def small_spec(**changes):
    """Return settings of a run that takes seconds; `changes` replace whole parts."""
    ppo = PPOSpec(n_envs=4, n_steps=20, batch_size=40, n_epochs=2, actor_hidden=(8,), critic_hidden=(8,))
    catalogue = {symbol: InstrumentSpec(group=group, half_spread_bps=1.0) for symbol, group in GROUPS.items()}
    parts = {
        "data": DataSpec(planted=PLANTED),
        "environment": EnvironmentSpec(instruments=tuple(GROUPS), episode_length=60),
        "catalogue": InstrumentsSpec(instruments=catalogue),
        "phase1": Phase1Spec(timesteps=480, ppo=ppo),
        "phase2": Phase2Spec(timesteps=160, ppo=ppo),
        "phase3": Phase3Spec(timesteps=160, n_envs=4, n_steps=20, n_epochs=1, critic_warmup_rollouts=1),
        "checkpoint_seconds": 0.0,
    }
    return PipelineSpec(**(parts | changes))
