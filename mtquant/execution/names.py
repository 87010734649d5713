"""Registry names in the settings, looked up before anything is trained with them."""

from collections.abc import Iterable

from mtquant.agents.learning.aggregators import AGGREGATORS
from mtquant.config.agents import PipelineSpec
from mtquant.data.features import KNOWN
from mtquant.envs.rewards import REWARDS
from mtquant.errors import ConfigError
from mtquant.evaluation.baselines import BASELINES
from mtquant.registry import did_you_mean


def check_names(spec: PipelineSpec) -> None:
    """Raise `ConfigError` for the first reward, aggregator, indicator or baseline that does not exist."""
    rewards = {f"phase{n}.reward.name": (getattr(spec, f"phase{n}").reward.name, REWARDS) for n in (1, 2, 3)}
    chosen: dict[str, tuple[str, Iterable[str]]] = dict(rewards)
    chosen["phase3.aggregator.name"] = (str(spec.phase3.aggregator.get("name")), AGGREGATORS)
    chosen |= {f"features.indicators[{i}]": (name, KNOWN) for i, name in enumerate(spec.features.indicators)}
    chosen |= {f"evaluation.baselines[{i}]": (name, BASELINES) for i, name in enumerate(spec.evaluation.baselines)}
    for place, (name, known) in chosen.items():
        if name not in known:
            raise ConfigError(f"`{place}` is `{name}`, which does not exist.{did_you_mean(name, known)}")
