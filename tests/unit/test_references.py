"""References to parts, on the command line and in suites."""

import json

import pytest
from hypothesis import given
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
        ("x:empty=,list=[]", {"empty": "", "list": []}),
        ("x:label=don't", {"label": "don't"}),
        ('x:label="don\'t, please"', {"label": "don't, please"}),
        ("x:label='don''t, please'", {"label": "don't, please"}),
        ("x:label=don''t", {"label": "don''t"}),
    ],
)
def test_reference_is_parsed(text, parameters):
    assert PartReference.parse(text).parameters == parameters


@pytest.mark.parametrize(
    "text", ["", ":", "x:", "x:novalue", "x:=1", "x:a=1,a=2", "x:a=[1,2", "x:a='b", " :a=1"]
)
def test_invalid_reference_is_refused(text):
    with pytest.raises(ConfigurationError):
        PartReference.parse(text)


def test_table_without_name_is_refused():
    assert PartReference.parse({"name": "ngram", "order": 3}).parameters == {"order": 3}
    with pytest.raises(ConfigurationError, match="needs a name"):
        PartReference.parse({"order": 3})


values = st.one_of(st.text(), st.text(" ,=()[]{}'\"a"), st.sampled_from(["0 '", "it's", "'", ""]))


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True),
        st.one_of(values, st.lists(st.one_of(values, st.lists(values)))),
        max_size=4,
    )
)
def test_reference_round_trips(parameters):
    reference = PartReference("part", parameters)
    assert PartReference.parse(str(reference)) == reference


def test_table_parameter_is_written_as_json():
    made = PartReference("openai", {"extra_body": {"a": 1, "b": ["c"]}})
    again = PartReference.parse(str(made))
    assert json.loads(again.parameters["extra_body"]) == made.parameters["extra_body"]
