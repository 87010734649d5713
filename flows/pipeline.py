"""The pipeline as a Prefect flow, started by a worker or by `python -m flows.local --run RUN`.

Prefect orders the units and shows them; each runs in a process of its own, and what is finished is
what the store says. Nothing is cached here.
"""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.task_runners import ThreadPoolTaskRunner

from flows.request import Profile, Request, RunName, Seed, Timeframe, Workers
from flows.running import run_in_flow

NAME = "mtquant-pipeline"


@flow(name=NAME, persist_result=False, validate_parameters=True, task_runner=ThreadPoolTaskRunner())  # type: ignore[arg-type]
def pipeline(
    profile: Profile = "agents.yaml",
    data: str = "",
    timeframe: Timeframe = "any",
    settings: tuple[str, ...] = (),
    seed: Seed | None = None,
    workers: Workers = 0,
    resume: RunName = "",
) -> State:
    """Train all three phases, evaluate, export and register; what is finished already is reused.

    Args:
        profile: Settings to start from; `agents.yaml` is the one in the worker's `config` folder.
        data: Folder of bars on the worker, or the name of a planted market. Empty: what the settings say.
        timeframe: Bar length, where a folder holds several. `any`: what the settings say.
        settings: Single settings that differ, as in `phase1.timesteps=20000`.
        seed: Root of every random stream. None: what the settings say.
        workers: Units side by side. 0: as many as fit.
        resume: Name of a run to continue exactly where it stopped; only `workers` counts beside it.
    """
    return run_in_flow(NAME, Request(profile, data, timeframe, settings, seed), resume, workers)
