"""README.md of a team's package: how to use it, its figures, and where it came from."""

from collections.abc import Mapping
from typing import Any

import mtquant
from mtquant.store.journal import from_json_number

USAGE = """## Use

Needs Python with `numpy` and `onnxruntime` (for `--model best` or `final`: `safetensors` instead). Nothing else.

```bash
python deploy_model.py
python deploy_model.py --observations seen.json
```

The first compares every model with answers that were recorded at the export. The second answers observations,
`{"<agent>": [[number, ...], ...]}`. From Python:

```python
from deploy_model import DeployedTeam

team = DeployedTeam()
actions = {agent: team.act(agent, observations[agent]) for agent in team.agents}
```

What the numbers of an observation are stands in `model_config.json`; normalisation is inside the models.
"""
FILES = """## Files

| File | What it is |
| --- | --- |
| `<agent>_actor.onnx`, `<agent>_critic.onnx` | the best model, one graph per agent and part |
| `best_*_model.safetensors` | all networks of the model that did best on the validation split |
| `final_*_model.safetensors` | all networks at the end of the training |
| `model_config.json` | observations, actions, sizes, settings of the environment and of the training |
| `training_statistics.json` | rewards by rollout and agent, how they developed and moved together |
| `validation_results.json` | measurements on the validation split during training, and on the test split at its end |
| `examples.json` | observations with the answers that are expected |
| `manifest.json` | sha256 of every file, parity of ONNX and torch, versions |
| `plots/` | the training in pictures |

There is no pickle in it, and nothing of it is executed by loading it.
"""


def readme_of(
    mode: str, described: Mapping[str, Any], statistics: Mapping[str, Any], measured: Mapping[str, Any]
) -> str:
    """Return the text; the arguments are the contents of the package's JSON files."""
    return "\n".join(
        [
            f"# Trained team: {mode}",
            "",
            _origin(described, statistics),
            USAGE,
            _agents(described),
            _figures(described, measured),
            FILES.rstrip(),
            "",
        ]
    )


def _origin(described: Mapping[str, Any], statistics: Mapping[str, Any]) -> str:
    training, results = described["training"], statistics["results"]
    return (
        f"Trained by {training['algorithm'].upper()} (mtquant {mtquant.__version__}) on {described['bars']}, "
        f"{results['steps']} steps, {results['episodes']} episodes, seed {training['seed']}. "
        f"The best model is that of step {described['models']['best']['steps']}.\n"
    )


def _agents(described: Mapping[str, Any]) -> str:
    lines = ["## Agents", "", "| Agent | Sees | Does |", "| --- | --- | --- |"]
    for agent in described["order"]:
        told = described["agents"][agent]
        lines.append(f"| `{agent}` | {told['observation']} numbers | {_choices(told['actions'])} |")
    return "\n".join([*lines, ""])


def _choices(actions: Mapping[str, Any]) -> str:
    if "names" in actions:
        return ", ".join(f"{number} {name}" for number, name in enumerate(actions["names"]))
    return f"{actions['size']} numbers from {actions['low']:g} to {actions['high']:g}"


def _figures(described: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """Return the table of what the two models earn; of the validation split only what was measured."""
    during = {line["step"]: from_json_number(line["reward"]) for line in measured["validation"]["history"]}
    lines = ["## Figures", "", "Reward per episode, all agents together, without exploration.", ""]
    lines += ["| Model | Steps | Validation split | Test split | Standard error | Episodes |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for model, found in measured["test"].items():
        steps = described["models"][model]["steps"]
        validated = f"{during[steps]:.4g}" if steps in during else "not measured"
        reward, error = from_json_number(found["reward"]), from_json_number(found["reward_error"])
        lines.append(f"| {model} | {steps} | {validated} | {reward:.4g} | {error:.2g} | {found['episodes']} |")
    return "\n".join(lines) + (
        "\n\nThe best model was chosen by its reward on the validation split, which therefore flatters it. "
        "The test split was not used for any choice.\n"
    )
