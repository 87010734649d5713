"""`BatchEnv`: N rows stepped together for Stable-Baselines3, with a state that can be written and continued."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from mtquant.types import Array

NOTHING: dict[str, Any] = {}
"""Shared by all rows without news: building N dictionaries a step would cost more than the step."""


class BatchEnv(VecEnv):
    """What SB3 asks of a batch whose rows share everything."""

    render_mode: str | None = None
    """Nothing is drawn; SB3 asks and warns where the name is missing."""

    @abstractmethod
    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON values that continue this batch exactly."""

    @abstractmethod
    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""

    def close(self) -> None:
        """Nothing to release."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return the attribute once per row asked for."""
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set the attribute of the batch (all rows share it)."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method of the batch once per row asked for."""
        return [getattr(self, method_name)(*args, **kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """Return False per row asked for: rows are not wrapped."""
        return [False] * len(list(self._get_indices(indices)))
