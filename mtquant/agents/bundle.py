"""`PolicyBundle`: what deploys. Weights without pickle, and everything needed to use them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from stable_baselines3.common.policies import ActorCriticPolicy

from mtquant.agents.policy import Actor, build_policy, policy_arguments
from mtquant.envs.spaces import ActionMap, ObservationLayout
from mtquant.errors import StoreError
from mtquant.store.digests import digest_arrays, write_atomic

WEIGHTS, DESCRIPTION = "weights.safetensors", "bundle.json"


@dataclass(frozen=True)
class PolicyBundle:
    """One agent's policy with its observation layout, action bounds, instruments and origin."""

    agent: str
    layout: ObservationLayout
    actions: ActionMap
    instruments: tuple[str, ...]
    hidden: tuple[int, ...]
    clip: float
    policy: ActorCriticPolicy
    per_instrument: bool
    """Whether the policy acts on one instrument at a time (specialists) or once per row (the meta)."""
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def actor(self) -> Actor:
        """The deterministic network, normaliser and clipping inside."""
        return Actor(self.policy)

    def act_fn(self) -> "InstrumentActor":
        """Return the `ActFn` of the joint game: `[N, m d]` to `[N, m]`, the same policy per instrument."""
        return InstrumentActor(self.actor, len(self.instruments) if self.per_instrument else 1)

    @property
    def digest(self) -> str:
        """Digest of the weights, by tensor name."""
        return digest_arrays({k: v.detach().cpu().numpy() for k, v in self.policy.state_dict().items()})

    def save(self, folder: Path) -> str:
        """Write the bundle into `folder` and return the digest of its weights."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in self.policy.state_dict().items()}
        save_file(tensors, folder / WEIGHTS)
        description = {
            "agent": self.agent,
            "layout": [list(block) for block in self.layout.blocks],
            "actions": asdict(self.actions),
            "instruments": list(self.instruments),
            "hidden": list(self.hidden),
            "clip": self.clip,
            "per_instrument": self.per_instrument,
            "weights_digest": self.digest,
            "provenance": self.provenance,
        }
        write_atomic(folder / DESCRIPTION, json.dumps(description, indent=1, sort_keys=True).encode())
        return self.digest

    @classmethod
    def load(cls, folder: Path) -> "PolicyBundle":
        """Read a bundle; a missing, torn or altered one raises `StoreError`. Nothing in it is executed."""
        try:
            described = json.loads((folder / DESCRIPTION).read_text())
            tensors = load_file(folder / WEIGHTS)
        except (OSError, ValueError, SafetensorError) as error:
            raise StoreError(f"The bundle in `{folder}` cannot be read: {error}. Train its unit again.") from error
        layout = ObservationLayout(tuple((name, width) for name, width in described["layout"]))
        actions = ActionMap(**described["actions"])
        width = layout.width
        arguments = policy_arguments(
            np.zeros(width, np.float32), np.ones(width, np.float32), clip=described["clip"],
            hidden=described["hidden"], log_std_init=0.0, weight_decay=0.0,
        )
        policy = build_policy(layout.space(), actions.space(), 0.0, arguments)
        policy.load_state_dict(tensors)
        policy.set_training_mode(False)
        bundle = cls(
            described["agent"], layout, actions, tuple(described["instruments"]), tuple(described["hidden"]),
            described["clip"], policy, described["per_instrument"], described["provenance"],
        )
        if bundle.digest != described["weights_digest"]:
            raise StoreError(f"The weights in `{folder}` are not those that `{DESCRIPTION}` names; they were altered.")
        return bundle


@dataclass(frozen=True)
class InstrumentActor:
    """One network that acts on `count` instruments of each row."""

    actor: Actor
    count: int

    def __call__(self, observation: Any, /) -> Any:
        """Return actions `[N, count a]` of observations `[N, count d]`."""
        rows = len(observation)
        return self.actor.act(observation.reshape(rows * self.count, -1)).reshape(rows, -1)
