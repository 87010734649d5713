"""The agent that the hierarchy has to beat."""

from pydantic import Field

from mtquant.config.phases import PPOSpec
from mtquant.config.spec import Spec


class SingleAgentSpec(Spec):
    """One policy over all instruments at once, trained on as many bars as all phases together."""

    enabled: bool = False
    """Train it beside the hierarchy and report whether that earns its keep; about doubles the training time."""
    timesteps: int | None = Field(default=None, ge=1)
    """Bars of experience over all rows; None: as many as phases 1 to 3 together."""
    ppo: PPOSpec = PPOSpec(log_std_init=-1.4, actor_hidden=())
    """Learner; that of the specialists. A linear actor over all features can express the joint optimum."""
