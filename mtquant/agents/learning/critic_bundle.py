"""`CriticBundle`: an agent's critic as a file, beside the policy that it taught. Weights without pickle."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from mtquant.agents.learning.critic import CentralCritic
from mtquant.agents.learning.mappo import MAPPOLearner
from mtquant.envs.spaces import Normaliser
from mtquant.envs.team import TeamEnv
from mtquant.errors import StoreError
from mtquant.store.digests import digest_arrays
from mtquant.store.files import make_folder, write_atomic, write_durable
from mtquant.types import Array

WEIGHTS, DESCRIPTION = "critic.safetensors", "critic.json"


class ValueNetwork(nn.Module):
    """Values of observations `[N, d]` and, where it sees one, the central state `[N, s]`, in units of reward, `[N, 1]`.

    `identity` is what a critic that several agents share is told behind the observation; `moments` are mean and
    deviation of the returns, which its output is in units of.
    """

    identity: Tensor
    moments: Tensor

    def __init__(self, central: CentralCritic, identity: Sequence[float], moments: tuple[float, float]) -> None:
        super().__init__()
        self.central = central
        self.register_buffer("identity", torch.tensor([list(identity)], dtype=torch.float32))
        self.register_buffer("moments", torch.tensor(moments, dtype=torch.float32))

    def forward(self, observation: Tensor, state: Tensor | None = None) -> Tensor:
        """Return `[N, 1]`."""
        seen = torch.cat([observation, self.identity.expand(observation.shape[0], -1)], dim=1)
        around = observation[:, :0] if state is None else state
        value: Tensor = self.central(seen, around)
        return value * self.moments[1] + self.moments[0]


@dataclass(frozen=True)
class CriticBundle:
    """One agent's critic and the sizes that it is built from."""

    agent: str
    observation: int
    """Numbers that the agent sees."""
    state: int
    """Numbers of the central state; 0: the critic sees the observation alone (IPPO)."""
    hidden: tuple[int, ...]
    clip: float
    network: ValueNetwork

    @property
    def arrays(self) -> dict[str, Array]:
        """The tensors by name."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self.network.state_dict().items()}

    @property
    def digest(self) -> str:
        """Digest of the weights, by tensor name."""
        return digest_arrays(self.arrays)

    def values(self, observation: Array, state: Array | None = None) -> Array:
        """Return `[N]` the values of observations `[N, d]` and states `[N, s]`, in units of reward."""
        given = [np.ascontiguousarray(a, dtype=np.float32) for a in (observation, state) if a is not None]
        with torch.no_grad():
            found: Array = self.network(*map(torch.from_numpy, given))[:, 0].numpy()
        return found

    def save(self, folder: Path) -> None:
        """Write the critic into `folder`."""
        make_folder(folder)
        write_durable(folder / WEIGHTS, save({k: torch.from_numpy(a.copy()) for k, a in self.arrays.items()}))
        described = {
            "agent": self.agent,
            "observation": self.observation,
            "state": self.state,
            "hidden": list(self.hidden),
            "clip": self.clip,
            "weights_digest": self.digest,
        }
        write_atomic(folder / DESCRIPTION, json.dumps(described, indent=1, sort_keys=True).encode())

    @classmethod
    def load(cls, folder: Path) -> "CriticBundle":
        """Read a critic; a missing, torn or altered one raises `StoreError`. Nothing in it is executed."""
        try:
            told: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())
            tensors = load_file(folder / WEIGHTS)
            seen, told_apart = told["observation"], tensors["identity"].shape[1]
            central = _central(seen + told_apart, told["state"], told["hidden"], told["clip"])
            network = ValueNetwork(central, [0.0] * told_apart, (0.0, 1.0))
            network.load_state_dict(tensors)
            bundle = cls(told["agent"], seen, told["state"], tuple(told["hidden"]), told["clip"], network.eval())
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise StoreError(f"The critic in `{folder}` cannot be read: {error}. Train its unit again.") from error
        if bundle.digest != told["weights_digest"]:
            raise StoreError(f"The critic in `{folder}` was altered: it does not fit its digest. Train its unit again.")
        return bundle


def _central(seen: int, state: int, hidden: Sequence[int], clip: float) -> CentralCritic:
    plain = Normaliser(np.zeros(seen, np.float32), np.ones(seen, np.float32), clip)
    return CentralCritic(Box(-np.inf, np.inf, (seen,), np.float32), plain, state, hidden, 1)


def critic_of(learner: MAPPOLearner, team: TeamEnv, agent: str, identity: Array) -> CriticBundle:
    """Return the critic of one agent of a learner's group."""
    moments = learner.returns.moments() if learner.config.value_norm else (0.0, 1.0)
    network = ValueNetwork(learner.critic, [float(number) for number in identity], moments)
    width = team.layout(agent).width
    clip = team.normaliser(agent).clip
    return CriticBundle(agent, width, learner.state_width, learner.config.critic_hidden, clip, network.eval())
