"""The strict reader of YAML."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.config.reader import load_yaml, parse_layer, reads_as_text
from mtquant.errors import ConfigError


def tree(text: str) -> dict[str, object]:
    return parse_layer(text, "`f.yaml`").tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1_000", 1000),
        ("-3", -3),
        ("0", 0),
        ("0.5", 0.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("1.5e+3", 1500.0),
        ("3.0e-4", 3e-4),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("off", "off"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("012", "012"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("'3e-4'", "3e-4"),
        ("[1, two]", [1, "two"]),
        ("{a: 1}", {"a": 1}),
    ],
)
def test_scalars_are_read_by_the_core_schema(text, value):
    found = tree(f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "written"), [("3e-4", "3.0e-4"), ("1e6", "1.0e+6"), ("-2.5e3", "-2.5e+3"), ("1_0E+2", "1_0.0e+2")]
)
def test_a_number_that_yaml_takes_for_text_is_refused_with_its_spelling(text, written):
    with pytest.raises(ConfigError) as refused:
        tree(f"outer:\n  rate: {text}\n")
    message = str(refused.value)
    assert "`f.yaml` line 2, `outer.rate`" in message
    assert f"Write `{written}`" in message
    assert tree(f"rate: {written}")["rate"] == float(text)


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 1", "x: {a: 1, a: 2}", "x:\n  - {a: 1, a: 1}"])
def test_a_key_stands_once(text):
    with pytest.raises(ConfigError, match="stands twice"):
        tree(text)


@pytest.mark.parametrize(
    "text",
    [
        "- 1",
        "word",
        "a: [1",
        "? [1]\n: 2",
        "a: &x {b: *x}",
        "a: !!python/object:os.system x",
        "a: !!set {x}",
        "a: !!int x",
        "a: 1\n---\nb: 2",
        "a: @x",
    ],
)
def test_what_is_no_mapping_of_plain_values_is_refused_by_name(text):
    with pytest.raises(ConfigError, match=r"`f\.yaml`"):
        tree(text)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n", "null"])
def test_a_file_without_settings_is_empty(text):
    assert tree(text) == {}


def test_each_key_remembers_its_line():
    origins = parse_layer("a:\n  b: 1\n  c: [2, {d: 3}]\n", "`f.yaml`").origins
    assert str(origins["a", "b"]) == "`f.yaml` line 2, `a.b`"
    assert str(origins["a", "c", "1", "d"]) == "`f.yaml` line 3, `a.c[1].d`"


def test_files_that_cannot_be_read_are_named(tmp_path: Path):
    (tmp_path / "latin.yaml").write_bytes(b"a: \xff\n")
    for name in ("absent.yaml", "latin.yaml"):
        with pytest.raises(ConfigError, match=name):
            load_yaml(tmp_path / name)


@given(st.text("0123456789eE+-._xaoftrun~", min_size=1).filter(lambda word: word != "-"))
def test_a_word_needs_quotes_exactly_when_it_would_not_be_read_back(word):
    try:
        kept = tree(f"key: {word}")["key"] == word
    except ConfigError:
        kept = False
    assert reads_as_text(word) == kept
