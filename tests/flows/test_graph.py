"""The picture of a run: what comes after what, and only the edges that say something."""

from flows.graph import GATE, REGISTER, nodes_of
from mtquant.store.units import UnitSpec
from tests.flows.conftest import UNITS

SPECIALISTS = ("phase1-forex", "phase1-commodities", "phase1-equity")
TRAINED = ("dataset-market", *SPECIALISTS, "phase2-meta")
UPSTREAM = {
    "dataset-market": (),
    **dict.fromkeys(SPECIALISTS, ("dataset-market",)),
    "phase2-meta": ("dataset-market", *SPECIALISTS),
    "phase3-joint": TRAINED,
    "phase3-no-peers": TRAINED,
    "evaluate-report": (*TRAINED, "phase3-joint", "phase3-no-peers"),
    "export-onnx": (*TRAINED, "phase3-joint"),
}


def units(*names):
    """Return descriptions of units with the upstream that a run gives them."""
    return [UnitSpec(name, name.split("-")[0], name.split("-")[1], {}, UPSTREAM[name]) for name in names]


def drawn(*names):
    return {node.name: set(node.drawn) for node in nodes_of(units(*names))}


def test_the_whole_run():
    assert drawn(*UNITS) == {
        "dataset-market": set(),
        **{name: {"dataset-market"} for name in SPECIALISTS},
        GATE: set(SPECIALISTS),
        "phase2-meta": {GATE},
        "phase3-joint": {"phase2-meta"},
        "phase3-no-peers": {"phase2-meta"},
        "evaluate-report": {"phase3-joint", "phase3-no-peers"},
        "export-onnx": {"phase3-joint"},
        REGISTER: {"evaluate-report", "export-onnx"},
    }


def test_a_node_needs_all_that_its_unit_reads_and_the_gate_behind_specialists():
    found = {node.name: node for node in nodes_of(units(*UNITS))}
    for name in UNITS:
        assert set(UPSTREAM[name]) <= set(found[name].needs)
        assert (GATE in found[name].needs) == bool(set(SPECIALISTS) & set(UPSTREAM[name]))
    order = list(found)
    assert all(order.index(before) < order.index(name) for name, node in found.items() for before in node.needs)


def test_a_part_of_a_run():
    assert drawn("dataset-market", "phase1-forex") == {
        "dataset-market": set(),
        "phase1-forex": {"dataset-market"},
        GATE: {"phase1-forex"},
    }
    assert REGISTER not in drawn(*UNITS[:-1]), "nothing deploys without an export"
    assert list(drawn("dataset-market")) == ["dataset-market"]
