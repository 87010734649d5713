"""Every Python block of docs/environments.md runs, each by itself, and the page names what there is."""

import re
from pathlib import Path

import pytest

from mtquant.config.games import GamesSpec
from mtquant.envs.columns import INDICATOR_COLUMNS
from mtquant.envs.conformance import ENVIRONMENTS

PAGE = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.strip().splitlines()[-1][:40])
def test_block_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "docs/environments.md", "exec"), {"__name__": "page"})  # noqa: S102 - the page's own code


def test_the_page_has_blocks_and_names_every_environment_and_setting_block():
    assert len(BLOCKS) >= 6
    for made in ENVIRONMENTS.values():
        assert all(f"`{agent}`" in PAGE for agent in made.env().possible_agents)
    blocks = [name for name, info in GamesSpec.model_fields.items() if info.annotation is not bool]
    assert all(f"`{name}`" in PAGE for name in blocks)


def test_every_column_on_the_page_exists():
    table = PAGE[PAGE.index("| Column |") : PAGE.index("All of them use bars")]
    names = re.findall(r"`([a-z_]+)`", "\n".join(line.split("|")[1] for line in table.splitlines() if "|" in line))
    assert len(names) > 12 and not [name for name in names if name not in INDICATOR_COLUMNS]
