"""The documents' scripts on the PettingZoo environments: validate, verify, benchmark."""

import argparse
from collections.abc import Sequence

from mtquant.envs.conformance import CHECKS, ENVIRONMENTS, ROWS, measure, run_check
from mtquant.errors import GateError

API = ("api_test", "parallel_api_test")
OK = 0


def validate(argv: Sequence[str]) -> int:
    """`validate_pettingzoo_envs.py`: every test of PettingZoo on every environment."""
    return _checked(argv, "Run all of PettingZoo's tests, warnings being errors.", tuple(CHECKS))


def verify(argv: Sequence[str]) -> int:
    """`verify_pettingzoo_envs.py`: whether every environment speaks the API."""
    return _checked(argv, "Run PettingZoo's API tests, warnings being errors.", API)


def benchmark(argv: Sequence[str]) -> int:
    """`benchmark_pettingzoo_performance.py`: agent steps per second of every view."""
    parser = _parser("Measure steps of single agents per second.")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each measurement")
    given = parser.parse_args(argv)
    print(f"{'environment':16}{'AEC':>12}{'Parallel':>12}{f'batch of {ROWS}':>16}   agent steps per second")
    for name in given.env or ENVIRONMENTS:
        speed = measure(name, given.seconds)
        print(f"{name:16}{speed.aec:12,.0f}{speed.parallel:12,.0f}{speed.batched:16,.0f}")
    return OK


def _checked(argv: Sequence[str], about: str, checks: Sequence[str]) -> int:
    parser = _parser(about)
    parser.add_argument("--cycles", type=int, default=1000, help="cycles of each test")
    given = parser.parse_args(argv)
    failed = 0
    for name in given.env or ENVIRONMENTS:
        for check in checks:
            problem = run_check(name, check, given.cycles)
            failed += bool(problem)
            print(f"{name:16}{check:20}{'failed: ' + problem if problem else 'passed'}")
    return GateError.exit_code if failed else OK


def _parser(about: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--env", action="append", choices=tuple(ENVIRONMENTS), help="only this one; may be repeated")
    return parser
