"""`PolicyBundle`: what deploys. Weights without pickle, and everything needed to use them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from stable_baselines3.common.policies import ActorCriticPolicy

from mtquant.agents.policy import Actor, build_policy, policy_arguments
from mtquant.envs.spaces import ActionMap, AnyActions, Choice, Choices, Normaliser, ObservationLayout
from mtquant.errors import StoreError
from mtquant.store.digests import digest_arrays, digest_json
from mtquant.store.files import make_folder, write_atomic, write_durable

WEIGHTS, DESCRIPTION = "weights.safetensors", "bundle.json"
_AGAIN = "Train its unit again."


@dataclass(frozen=True)
class PolicyBundle:
    """One agent's policy with its observation layout, action bounds, instruments and origin."""

    agent: str
    layout: ObservationLayout
    actions: AnyActions
    instruments: tuple[str, ...]
    actor_hidden: tuple[int, ...]
    critic_hidden: tuple[int, ...]
    clip: float
    policy: ActorCriticPolicy
    per_instrument: bool
    """Whether the policy acts on one instrument at a time (specialists) or once per row (the meta)."""
    provenance: dict[str, Any] = field(default_factory=dict)
    identity: tuple[float, ...] = ()
    """What a policy that several agents share is told behind the observation; `layout` has the observation alone."""

    @property
    def actor(self) -> Actor:
        """The deterministic network, normaliser and clipping inside."""
        return Actor(self.policy, self.identity)

    def act_fn(self) -> "InstrumentActor":
        """Return the `ActFn` of the joint game: `[N, m d]` to `[N, m]`, the same policy per instrument."""
        return InstrumentActor(self.actor, len(self.instruments) if self.per_instrument else 1)

    @property
    def digest(self) -> str:
        """Digest of the weights, by tensor name."""
        return digest_arrays({k: v.detach().cpu().numpy() for k, v in self.policy.state_dict().items()})

    def save(self, folder: Path) -> str:
        """Write the bundle into `folder` and return the digest of its weights."""
        make_folder(folder)
        tensors = {
            k: v.detach().cpu().clone(memory_format=torch.contiguous_format)
            for k, v in self.policy.state_dict().items()
        }
        write_durable(folder / WEIGHTS, save(tensors))
        description = {
            "agent": self.agent,
            "layout": [list(block) for block in self.layout.blocks],
            "actions": asdict(self.actions),
            "instruments": list(self.instruments),
            "actor_hidden": list(self.actor_hidden),
            "critic_hidden": list(self.critic_hidden),
            "clip": self.clip,
            "per_instrument": self.per_instrument,
            "weights_digest": self.digest,
            "provenance": self.provenance,
            "identity": list(self.identity),
        }
        text = json.dumps(description | {"sha256": digest_json(description)}, indent=1, sort_keys=True)
        write_atomic(folder / DESCRIPTION, text.encode())
        return self.digest

    @classmethod
    def load(cls, folder: Path) -> "PolicyBundle":
        """Read a bundle; a missing, torn or altered one raises `StoreError`. Nothing in it is executed."""
        try:
            described = json.loads((folder / DESCRIPTION).read_text())
            if described.pop("sha256") != digest_json(described):
                raise StoreError(f"`{folder / DESCRIPTION}` was altered: it does not fit its digest. {_AGAIN}")
            bundle = cls._built(described, load_file(folder / WEIGHTS))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
            raise StoreError(f"The bundle in `{folder}` cannot be read: {error}. {_AGAIN}") from error
        if bundle.digest != described["weights_digest"]:
            raise StoreError(
                f"The weights in `{folder}` are not those that `{DESCRIPTION}` names; they were altered. {_AGAIN}"
            )
        return bundle

    @classmethod
    def _built(cls, described: dict[str, Any], tensors: dict[str, torch.Tensor]) -> "PolicyBundle":
        layout = ObservationLayout(tuple((name, width) for name, width in described["layout"]))
        actions = _actions(described["actions"])
        identity = tuple(described["identity"])
        seen = ObservationLayout((*layout.blocks, ("agent", len(identity))))
        width = seen.width
        arguments = policy_arguments(
            Normaliser(np.zeros(width, np.float32), np.ones(width, np.float32), described["clip"]),
            actor_hidden=described["actor_hidden"],
            critic_hidden=described["critic_hidden"],
            log_std_init=0.0,
            weight_decay=0.0,
        )
        policy = build_policy(seen.space(), actions.space(), 0.0, arguments)
        policy.load_state_dict(tensors)
        policy.set_training_mode(False)
        return cls(
            described["agent"],
            layout,
            actions,
            tuple(described["instruments"]),
            tuple(described["actor_hidden"]),
            tuple(described["critic_hidden"]),
            described["clip"],
            policy,
            described["per_instrument"],
            described["provenance"],
            identity,
        )


def _actions(described: Mapping[str, Any]) -> AnyActions:
    """Return what `dataclasses.asdict` described."""
    if "names" in described:
        return Choice(tuple(described["names"]))
    return Choices(tuple(described["counts"])) if "counts" in described else ActionMap(**described)


@dataclass(frozen=True)
class InstrumentActor:
    """One network that acts on `count` instruments of each row."""

    actor: Actor
    count: int

    def __call__(self, observation: Any, /) -> Any:
        """Return actions `[N, count a]` of observations `[N, count d]`."""
        rows = len(observation)
        return self.actor.act(observation.reshape(rows * self.count, -1)).reshape(rows, -1)
