"""Actions of the trained team in this folder; needs numpy and onnxruntime, or numpy and safetensors.

`python deploy_model.py` checks that every model here answers as it did when it was exported.
`python deploy_model.py --observations seen.json` answers for `{"agent": [[number, ...], ...], ...}`; `-` reads it from
the standard input. `--model onnx` (default) is the best model in onnxruntime, `best` and `final` are the whole models
in numpy alone.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
TOLERANCE = 1e-4


class DeployedTeam:
    """Every agent of a team: observations in, actions out. Nothing of the package that trained it is needed."""

    def __init__(self, folder: Path = HERE, model: str = "onnx") -> None:
        self.folder = folder
        self.config: dict[str, Any] = json.loads((folder / "model_config.json").read_text(encoding="utf-8"))
        self.listed: dict[str, str] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
        self.agents = list(self.config["order"])
        self.sessions: dict[str, Any] = {}
        self.arrays: dict[str, Any] = {}
        if model == "onnx":
            import onnxruntime

            for agent in self.agents:
                for part in ("actor", "critic"):
                    content = self._checked(f"{agent}_{part}.onnx")
                    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
                    self.sessions[f"{agent}_{part}"] = session
        else:
            from safetensors.numpy import load

            self.arrays = load(self._checked(self.config["models"][model]["file"]))

    def _checked(self, name: str) -> bytes:
        """Return a file's content, after it was compared with what the manifest says of it."""
        content = (self.folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() != self.listed[name]:
            raise ValueError(f"{name} is not the file that was exported: its sha256 differs from manifest.json.")
        return content

    def act(self, agent: str, observation: Any) -> Any:
        """Return actions [rows, a] of observations [rows, d]: indices of choices, or numbers within their bounds."""
        seen = self._rows(agent, observation)
        if self.sessions:
            return self.sessions[f"{agent}_actor"].run(None, {"observation": seen})[0]
        said, told = self._network(f"{agent}.actor", seen), self.config["agents"][agent]["actions"]
        counts = [len(told["names"])] if "names" in told else told.get("counts")
        if counts is None:
            return np.clip(said, told["low"], told["high"])
        parts = np.split(said, np.cumsum(counts)[:-1], axis=1)
        return np.stack([part.argmax(axis=1) for part in parts], axis=1)

    def value(self, agent: str, observation: Any, state: Any) -> Any:
        """Return [rows] what the critic expects to be paid from here on; `state` [rows, s] is what it sees beside."""
        seen, around = self._rows(agent, observation), np.asarray(state, dtype=np.float32)
        has_state = self.config["agents"][agent]["state"] > 0
        if self.sessions:
            given = {"observation": seen} | ({"state": around} if has_state else {})
            return self.sessions[f"{agent}_critic"].run(None, given)[0][:, 0]
        mean, deviation = self.arrays[f"{agent}.critic.moments"]
        return self._network(f"{agent}.critic", seen, around if has_state else None)[:, 0] * deviation + mean

    def _network(self, name: str, seen: Any, around: Any = None) -> Any:
        """Return the output of one network: normalise, linear layers, tanh between them."""
        own = {key.removeprefix(f"{name}."): array for key, array in self.arrays.items() if key.startswith(f"{name}.")}
        identity = np.broadcast_to(own["identity"], (len(seen), own["identity"].shape[1]))
        clip = np.float32(self.config["agents"][name.rpartition(".")[0]]["clip"])
        x = np.clip((np.concatenate([seen, identity], axis=1) - own["mean"]) / own["std"], -clip, clip)
        x = x if around is None else np.concatenate([x, around], axis=1)
        layers = sum(key.endswith(".weight") for key in own)
        for layer in range(layers):
            x = x @ own[f"layer{layer}.weight"].T + own[f"layer{layer}.bias"]
            x = np.tanh(x) if layer < layers - 1 else x
        return x

    def _rows(self, agent: str, observation: Any) -> Any:
        if agent not in self.config["agents"]:
            raise ValueError(f"There is no agent `{agent}` in this team; its agents are {', '.join(self.agents)}.")
        width, seen = self.config["agents"][agent]["observation"], np.asarray(observation, dtype=np.float32)
        if seen.ndim != 2 or seen.shape[1] != width:
            raise ValueError(f"`{agent}` sees rows of {width} numbers; what was given has the shape {seen.shape}.")
        return seen

    def named(self, agent: str, action: Any) -> Any:
        """Return one action [a] for people: the name of a choice, or the numbers."""
        names = self.config["agents"][agent]["actions"].get("names")
        return names[int(action[0])] if names else [float(number) for number in action]


def differences(folder: Path = HERE) -> list[str]:
    """Return in which models and agents the answers are not those that were recorded at the export."""
    recorded = json.loads((folder / "examples.json").read_text(encoding="utf-8"))
    found = []
    for model, of in (("onnx", "best"), ("best", "best"), ("final", "final")):
        team = DeployedTeam(folder, model)
        for agent, example in recorded.items():
            said = team.act(agent, example["observation"])
            worth = team.value(agent, example["observation"], example["state"])
            same = np.allclose(said, example[of]["action"], atol=TOLERANCE)
            if not same or not np.allclose(worth, example[of]["value"], atol=TOLERANCE, rtol=TOLERANCE):
                found.append(f"{model}/{agent}")
    return found


def main() -> int:
    """Check the folder, or answer for observations."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observations", help="JSON file of observations by agent; - for the standard input")
    parser.add_argument("--model", choices=("onnx", "best", "final"), default="onnx")
    given = parser.parse_args()
    if given.observations is None:
        wrong = differences()
        print(f"Other answers than at the export: {', '.join(wrong)}" if wrong else "All models answer as exported.")
        return 1 if wrong else 0
    text = sys.stdin.read() if given.observations == "-" else Path(given.observations).read_text(encoding="utf-8")
    team = DeployedTeam(model=given.model)
    answers = {agent: [team.named(agent, a) for a in team.act(agent, seen)] for agent, seen in json.loads(text).items()}
    print(json.dumps(answers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
