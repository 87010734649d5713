"""What the code base promises about its own shape."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = ("mtquant", "flows", "scripts", "examples", "benchmarks", "tests")
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".lock", ".css", ".html", ".json", ".sh", ".txt", ".cfg", ""}
LONGEST_FILE = 400
LONGEST_FUNCTION = 50
VAGUE = re.compile(r"(^|_)(utils?|helpers?|common|managers?|v\d+|enhanced|misc|base|new|old|final)(_|$)")
# Folders that exist on one machine only: absolute homes, temporary folders and mounts.
MACHINE = re.compile(r"(?<![\w.$}/])/(?:home|Users|root|work|tmp|mnt|opt|private)/[\w.-]+")
EXEMPT = {"tests/test_architecture.py"}
# PettingZoo's users import an environment by its name and version: `from mtquant.envs import strategic_v1`.
VERSIONED = re.compile(r"mtquant/envs/[a-z]+_v\d+\.py")


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def text_files() -> Iterator[Path]:
    for name in (*CODE, "config", "docs", ".ci"):
        for path in sorted((ROOT / name).rglob("*")):
            if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts:
                yield path
    yield from (
        ROOT / name for name in ("README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "requirements.lock")
    )


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_files_are_short():
    lengths = {shown(path): len(path.read_text().splitlines()) for path in python_files(*CODE)}
    assert not {name: length for name, length in lengths.items() if length >= LONGEST_FILE}


def test_functions_are_short():
    long = {}
    for path in python_files("mtquant", "flows", "scripts"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = statement_lines(node)
                if length >= LONGEST_FUNCTION:
                    long[f"{shown(path)}:{node.lineno} {node.name}"] = length
    assert not long


def statement_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function's body, the docstring not counted: it is the contract, not the code."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_names_of_files_say_something():
    names = [path for path in python_files(*CODE) if path.stem != "__init__"]
    assert not [shown(path) for path in names if VAGUE.search(path.stem) and not VERSIONED.fullmatch(shown(path))]


def test_what_is_public_is_documented():
    bare = []
    for path in python_files("mtquant", "flows"):
        tree = ast.parse(path.read_text())
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]
        for node in (*tree.body, *(member for outer in classes for member in outer.body)):
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                bare.append(f"{shown(path)}:{node.lineno} {node.name}")
        if tree.body and not ast.get_docstring(tree):
            bare.append(shown(path))
    assert not bare


def test_tests_mirror_the_package():
    """A test folder has the name of the package folder whose modules it tests, or of what it tests as a whole."""
    mirrored = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    packages = {path.name for path in (ROOT / "mtquant").iterdir() if path.is_dir()}
    assert mirrored <= packages | {"contracts", "flows", "scripts", "benchmarks", "examples", "kills", "deployment"}


def test_no_file_names_a_folder_of_one_machine():
    found = {
        f"{shown(path)}:{number}": match.group()
        for path in text_files()
        if shown(path) not in EXEMPT
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (match := MACHINE.search(line)) and not line.startswith("#!")
    }
    assert not found


def test_nothing_is_left_to_be_done_later():
    marker = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError|\bunittest\.mock\b")
    files = list(python_files("mtquant", "flows", "scripts", "examples", "benchmarks"))
    assert not [shown(path) for path in files if marker.search(path.read_text())]


def test_imports_go_downwards():
    """The contracts in `pyproject.toml`, which name every layer."""
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "module", ["mtquant.config.load", "mtquant.store.units", "mtquant.sim.simulator", "mtquant.pipeline"]
)
def test_light_modules_start_without_heavy_libraries(module):
    """A command that only reads settings or the store answers at once."""
    heavy = ("torch", "mlflow", "prefect", "stable_baselines3", "gymnasium", "pettingzoo", "matplotlib", "plotly")
    program = f"import sys, {module}; print(*[name for name in {heavy!r} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == []


def test_every_bound_of_a_dependency_is_pinned():
    """The lock file has every declared dependency, once, at a version that its bounds allow."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["build-system"]["requires"],
    ]
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(Requirement(line).name): str(Requirement(line).specifier) for line in lines}
    assert len(pins) == len(lines)
    for name in map(Requirement, declared):
        assert canonicalize_name(name.name) in pins, f"`{name.name}` is not in requirements.lock"
        assert name.specifier.contains(pins[canonicalize_name(name.name)].removeprefix("==")), name


def test_the_lock_file_has_versions_only():
    """No folder, no address, no package of one vendor's hardware: the same file serves every machine."""
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    wrong = [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!]+( ; .+)?", line) or line.startswith("nvidia")]
    assert not wrong
