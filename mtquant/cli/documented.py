"""The documents' scripts (`scripts/*.py`) in terms of `mtquant`: their flags become its arguments."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mtquant.context import STORE_VARIABLE
from mtquant.errors import UsageError

PHASES = (1, 2, 3)
Run = Callable[[Sequence[str]], int]


def training_pipeline(argv: Sequence[str], run: Run | None = None) -> int:
    """`training_pipeline.py --mode train|resume|eval`: the whole pipeline."""
    parser = _parser("training_pipeline.py", "Train, resume or evaluate the whole pipeline.")
    parser.add_argument("--mode", choices=("train", "resume", "eval"), default="train", help="what to do")
    parser.add_argument("--eval-episodes", type=int, help="episodes of the evaluation")
    given, rest = parser.parse_known_args(argv)
    _use_store(given.output_dir)
    run = run or _run
    if given.mode != "train":
        _say_unused(given)
    if given.mode == "resume":
        return run(["resume", *_logs(given), *rest])
    if given.mode == "eval":
        return run(["evaluate", *(["--episodes", str(given.eval_episodes)] if given.eval_episodes else []), *rest])
    return run(["train", *_common(given), *_episodes(given.eval_episodes), *rest])


def phase_training(phase: int, argv: Sequence[str], run: Run | None = None) -> int:
    """`run_phase<N>_training.py`: one phase, and what it needs.

    Phases before it keep the length they had in the newest run of the store, so that they are reused.
    """
    parser = _parser(f"run_phase{phase}_training.py", f"Train phase {phase} and what it needs.")
    parser.add_argument("--timesteps", type=int, help="steps of this phase")
    if phase == PHASES[-1]:
        parser.add_argument("--eval-episodes", type=int, help="evaluate afterwards, with this many episodes")
    given, rest = parser.parse_known_args(argv)
    _use_store(given.output_dir)
    run = run or _run
    settings = [item for before in PHASES[: phase - 1] for item in _earlier(before)]
    settings += _steps(phase, given.timesteps)
    code = run(["train", "--phase", str(phase), *_common(given), *settings, *rest])
    episodes = getattr(given, "eval_episodes", None)
    return run(["evaluate", "--episodes", str(episodes)]) if code == 0 and episodes else code


def end_to_end_training(argv: Sequence[str], run: Run | None = None) -> int:
    """`run_end_to_end_training.py`: all phases with their steps on the command line."""
    parser = _parser("run_end_to_end_training.py", "Train all three phases, evaluate, export.")
    for phase in PHASES:
        parser.add_argument(f"--phase{phase}-timesteps", type=int, help=f"steps of phase {phase}")
    given, rest = parser.parse_known_args(argv)
    _use_store(given.output_dir)
    settings = [item for phase in PHASES for item in _steps(phase, getattr(given, f"phase{phase}_timesteps"))]
    return (run or _run)(["train", *_common(given), *settings, *rest])


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    more = "Other options go to `mtquant train` (see `mtquant train --help`)."
    # Abbreviations would swallow options that belong to `mtquant`.
    parser = argparse.ArgumentParser(prog=name, description=description, epilog=more, allow_abbrev=False)
    parser.add_argument("--config", type=Path, help="YAML file of settings")
    parser.add_argument("--output-dir", type=Path, help="store; a last folder named phase1 to phase3 is left off")
    logs = "folder for <phase>/training.log and TensorBoard; a last phase<N> is left off (default: logs)"
    parser.add_argument("--log-dir", type=Path, default=Path("logs"), help=logs)
    parser.add_argument("--device", help="cpu or cuda")
    return parser


def _use_store(folder: Path | None) -> None:
    """Use `folder` as the store, and say how other commands find it."""
    if folder is None:
        return
    from mtquant.cli.failures import say_note

    store = str(_without_phase(folder))
    os.environ[STORE_VARIABLE] = store
    say_note(f"the store is {store}; other commands find it after: export {STORE_VARIABLE}={store}")


def _without_phase(folder: Path) -> Path:
    """Return the folder that all phases share: units of one phase are read by the next."""
    return folder.parent if folder.name in {f"phase{phase}" for phase in PHASES} else folder


def _common(given: argparse.Namespace) -> list[str]:
    arguments = ["--config", str(given.config)] if given.config else []
    arguments += ["--set", f"device={given.device}"] if given.device else []
    return [*arguments, *_logs(given)]


def _logs(given: argparse.Namespace) -> list[str]:
    """Return what makes `<log-dir>/phase<N>/training.log` and TensorBoard's events."""
    return ["--log-dir", str(_without_phase(given.log_dir)), "--tensorboard"]


def _say_unused(given: argparse.Namespace) -> None:
    """Say which options have no effect because the run that is continued or evaluated has its own settings."""
    from mtquant.cli.failures import say_note

    unused = [f"--{name}" for name in ("config", "device") if getattr(given, name)]
    if unused:
        say_note(f"{' and '.join(unused)} count when a run is begun (`--mode train`); this run keeps its own settings.")


def _steps(phase: int, steps: int | None) -> list[str]:
    return ["--set", f"phase{phase}.timesteps={steps}"] if steps else []


def _episodes(episodes: int | None) -> list[str]:
    return ["--set", f"evaluation.paired_episodes={episodes}"] if episodes else []


def _earlier(phase: int) -> list[str]:
    """Return the setting with which the store's newest run trained `phase`, nothing where there is no run."""
    from mtquant.context import store_root
    from mtquant.store.runs import load_run

    try:
        config = load_run(store_root()).config
    except UsageError:
        return []
    return _steps(phase, config[f"phase{phase}"]["timesteps"])


def _run(arguments: Sequence[str]) -> int:
    from mtquant.cli.app import run

    return run(arguments)
