"""References to parts, on the command line and in suites."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fgbench.errors import ConfigurationError
from fgbench.plugins.references import PartReference


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("ngram", {}),
        ("histogram:bins=30", {"bins": "30"}),
        (
            "openai:base_url=http://h:80/v1,model=a/b",
            {"base_url": "http://h:80/v1", "model": "a/b"},
        ),
        ("banking77:intents=[age_limit, atm_support]", {"intents": ["age_limit", "atm_support"]}),
        ("csv:path='a,b.csv',text=t", {"path": "a,b.csv", "text": "t"}),
        ("csv:path=x=y.csv", {"path": "x=y.csv"}),
        ("csv:a.csv,text=t", {"": "a.csv", "text": "t"}),
        ("hf:'a,b'", {"": "a,b"}),
        ("csv:'a=b.csv',text=t", {"": "a=b.csv", "text": "t"}),
        ("x:empty=,list=[]", {"empty": "", "list": []}),
        ("x:label=don't", {"label": "don't"}),
        ('x:label="don\'t, please"', {"label": "don't, please"}),
        ("x:label='don''t, please'", {"label": "don't, please"}),
        ("x:label='',other=''''", {"label": "", "other": "'"}),
        ("x:label=don''t", {"label": "don''t"}),
    ],
)
def test_reference_is_parsed(text, parameters):
    assert PartReference.parse(text).parameters == parameters


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "x:",
        "x:a=1,novalue",
        "x:one,two",
        "x:=1",
        "x:a=1,a=2",
        "x:a=[1,2",
        "x:a='b",
        " :a=1",
    ],
)
def test_invalid_reference_is_refused(text):
    with pytest.raises(ConfigurationError):
        PartReference.parse(text)


def test_table_without_name_is_refused():
    assert PartReference.parse({"name": "ngram", "order": 3}).parameters == {"order": 3}
    with pytest.raises(ConfigurationError, match="needs a name"):
        PartReference.parse({"order": 3})


words = st.text(st.sampled_from("ab0 ./:-_,='\"[](){}\n\u00e9"), max_size=8)
values = st.recursive(words, lambda items: st.lists(items, max_size=3), max_leaves=6)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), values, max_size=4))
@example({"a": "0 '"})
@example({"a": 'it\'s "so", ['})
@example({"a": [""], "b": " ", "c": "(", "d": ["'", '"', "''"]})
def test_reference_round_trips(parameters):
    reference = PartReference("part", parameters)
    assert PartReference.parse(str(reference)) == reference


def test_table_parameter_is_written_as_json():
    made = PartReference("openai", {"extra_body": {"a": 1, "b": ["c"]}})
    again = PartReference.parse(str(made))
    assert json.loads(again.parameters["extra_body"]) == made.parameters["extra_body"]


def test_value_without_key_goes_to_the_unnamed_parameter():
    from fgbench.plugins.registry import Registry

    registry = Registry.load()

    def create(text):
        return registry.create("dataset", PartReference.parse(text)).parameters()

    named = create("csv:path=a.csv,text=t,label=l")
    assert create("csv:a.csv,text=t,label=l") == named
    with pytest.raises(ConfigurationError, match="'path' given twice"):
        create("csv:a.csv,path=b.csv,text=t,label=l")
    with pytest.raises(ConfigurationError, match="dataset 'subj': 'novalue' is not key=value"):
        create("subj:novalue")


@pytest.mark.parametrize("value", ["a.csv", "a,b.csv", "a=b.csv", "it's=1, or 2"])
def test_value_without_key_round_trips(value):
    reference = PartReference("csv", {"": value, "text": "t"})
    assert PartReference.parse(str(reference)) == reference
