"""docs/commands.md has every command and every option, and no others."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from mtquant.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
ROWS = {
    tuple(match[1].split()): line
    for line in PAGE.splitlines()
    if (match := re.match(r"\| `mtquant ((?:config |runs |report )?[a-z]+)", line))
}


def commands(command=None, path=()) -> Iterator[tuple[tuple[str, ...], object]]:
    command = command or typer.main.get_command(app)
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, entry in inner.items():
        yield from commands(entry, (*path, name))


@pytest.mark.parametrize(("path", "command"), [pytest.param(p, c, id=" ".join(p)) for p, c in commands()])
def test_every_option_is_documented(path, command):
    row = ROWS[path]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts) if name[0] == "-"}
    written = set(re.findall(r"`(--?[a-z][a-z-]*)", row))
    assert written == known


def test_no_command_is_made_up():
    assert set(ROWS) == {path for path, _ in commands()}


def test_every_command_says_what_it_does():
    assert all(command.help and command.help.splitlines()[0].endswith(".") for _, command in commands())
