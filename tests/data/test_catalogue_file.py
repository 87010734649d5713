"""The shipped catalogue of instruments is valid and says what the documents name."""

from pathlib import Path

import yaml

from mtquant.config.agents import INSTRUMENTS
from mtquant.config.instruments import InstrumentsSpec

PAGE = Path(__file__).parents[2] / "config" / "instruments.yaml"


def test_eight_instruments_in_three_groups():
    found = InstrumentsSpec.model_validate(yaml.safe_load(PAGE.read_text()))
    assert tuple(found.instruments) == INSTRUMENTS
    assert found.groups == ("forex", "commodities", "equity")
    assert [len(found.members(g)) for g in found.groups] == [3, 2, 3]
    assert [s for s, spec in found.instruments.items() if spec.price_may_be_negative] == ["WTIUSD"]
    costs = {s: spec.half_spread_bps for s, spec in found.instruments.items()}
    assert list(costs.values()) == [0.6, 0.6, 0.5, 0.9, 3.5, 0.6, 0.4, 0.4]
    assert all(spec.impact == 0.8 for spec in found.instruments.values())
    assert all(0 < spec.financing_long_bps <= 1.5 for spec in found.instruments.values())
