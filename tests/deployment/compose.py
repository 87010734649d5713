"""docker-compose.yml as Compose reads it: anchors merged, variables filled in."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"
VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::(?P<rule>[-?])(?P<text>[^}]*))?\})")
COMPLETED, HEALTHY = "service_completed_successfully", "service_healthy"


def project() -> dict[str, Any]:
    """Return the file as it stands, with its variables."""
    return dict(yaml.safe_load(FILE.read_text()))


def services() -> dict[str, dict[str, Any]]:
    """Return the services by name, with their variables."""
    return dict(project()["services"])


def texts(node: Any) -> Iterator[str]:
    """Yield every string value below a node."""
    if isinstance(node, dict):
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


def filled(node: Any, variables: Mapping[str, str]) -> Any:
    """Return a node with its variables filled in. Raises `KeyError` for one that must be set and is not."""
    if isinstance(node, dict):
        return {name: filled(value, variables) for name, value in node.items()}
    if isinstance(node, list):
        return [filled(value, variables) for value in node]
    return VARIABLE.sub(lambda found: _value(found, variables), node) if isinstance(node, str) else node


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    value = variables.get(found["name"], "")
    if not value and found["rule"] == "?":
        raise KeyError(f"{found['name']} {found['text']}")
    return value or (found["text"] if found["rule"] == "-" else "")


def environment_file(path: Path) -> dict[str, str]:
    """Return the variables of a .env file."""
    return {name: value or "" for name, value in dotenv_values(path, interpolate=False).items()}


@dataclass(frozen=True)
class Service:
    """One service with its variables filled in."""

    name: str
    definition: Mapping[str, Any]

    @property
    def command(self) -> list[str]:
        return list(self.definition["command"])

    @property
    def environment(self) -> dict[str, str]:
        return dict(self.definition.get("environment", {}))

    @property
    def check(self) -> list[str] | None:
        """Return the command of the health check, or None."""
        test = self.definition.get("healthcheck", {}).get("test")
        return list(test[1:]) if test else None

    @property
    def is_job(self) -> bool:
        """Return whether it ends by itself."""
        return self.definition["restart"] == "no"

    @property
    def mounts(self) -> list[str]:
        """Return the folders it may write to: volumes and temporary file systems."""
        targets = [entry.split(":")[1] for entry in self.definition.get("volumes", ()) if not entry.endswith(":ro")]
        return [*targets, *self.definition.get("tmpfs", ())]


def in_order(variables: Mapping[str, str]) -> list[Service]:
    """Return the services in an order in which each comes after what it waits for; profiles as the variables say."""
    active = set(variables.get("COMPOSE_PROFILES", "").split(","))
    waiting = {
        name: Service(name, filled(definition, variables))
        for name, definition in services().items()
        if not definition.get("profiles") or active & set(definition["profiles"])
    }
    ordered: list[Service] = []
    while waiting:
        ready = [s for s in waiting.values() if not waiting.keys() & s.definition.get("depends_on", {}).keys()]
        assert ready, f"circular: {sorted(waiting)}"
        ordered += ready
        for service in ready:
            del waiting[service.name]
    return ordered
