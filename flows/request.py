"""What a person asks for in Prefect's form, and the run that becomes of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from mtquant.cli.options import require_source, resolved_settings
from mtquant.execution.preparation import record_run
from mtquant.store.runs import RunRecord, append_event, load_run

Profile = Literal["agents.yaml", "smoke", "default", "spec"]
Timeframe = Literal["any", "M1", "M5", "M15", "M30", "H1", "H4", "D1"]
Seed = Annotated[int, Field(ge=0)]
Workers = Annotated[int, Field(ge=0, le=64)]
RunName = Annotated[str, Field(pattern=r"^[0-9a-f-]*$")]
"""The beginning of a run's name suffices."""


@dataclass(frozen=True)
class Request:
    """The settings a new run is asked for with; what is left empty is what the profile says."""

    profile: Profile
    data: str
    timeframe: Timeframe
    settings: tuple[str, ...]
    seed: int | None

    def record(self, root: Path) -> RunRecord:
        """Record the run, before its bars are read. Raises `ConfigError` and `DataError` as `mtquant train` does."""
        profile, timeframe = self._stated()
        spec = resolved_settings(profile, None, self.data or None, timeframe, list(self.settings), self.seed)
        require_source(spec)
        record = record_run(root, spec, self._command(), "prefect")
        append_event(root, record.run_id, "created", profile=profile or "default", git="")
        return record

    def _stated(self) -> tuple[str | None, str | None]:
        """Return profile and timeframe as the command line takes them, which has them or does not."""
        return (
            None if self.profile == "agents.yaml" else self.profile,
            None if self.timeframe == "any" else self.timeframe,
        )

    def _command(self) -> list[str]:
        """Return the command line that asks for the same."""
        profile, timeframe = self._stated()
        stated = {"--profile": profile, "--data": self.data, "--timeframe": timeframe, "--seed": self.seed}
        options = [part for option, value in stated.items() if value not in (None, "") for part in (option, str(value))]
        return ["mtquant", "train", *options, *(part for change in self.settings for part in ("--set", change))]


def known_run(root: Path, name: str) -> RunRecord:
    """Return the run to continue. Raises `UsageError` where there is none of that name."""
    record = load_run(root, name)
    append_event(root, record.run_id, "resumed", engine="prefect")
    return record
