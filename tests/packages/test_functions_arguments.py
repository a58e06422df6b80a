import pytest

from geodl_lab.errors import OptionError
from geodl_lab.packages.functions_arguments import merged, scalars

NUMBER, TEXT = {"dataType": "numeric"}, {"dataType": "string"}
PARAMETERS = [
    {"name": "raster", "dataType": "raster"},
    {"name": "model", **TEXT, "value": "x"},
    {"name": "device", **NUMBER},
    {"name": "padding", **NUMBER, "value": 64},
    {"name": "batch_size", **NUMBER, "value": 4},
    {"name": "score_threshold", **NUMBER, "value": 0.6},
    {"name": "exclude_pad_detections", **TEXT, "value": "True", "domain": ("True", "False")},
    {"name": "merge", **TEXT, "value": "mean", "domain": ("mean", "max")},
    {"name": "tta", "dataType": "boolean", "value": False},
    {"name": "prompt", **TEXT},
]


def test_defaults_with_what_the_engine_does_itself():
    assert scalars(PARAMETERS, {}) == {
        "padding": 0,
        "batch_size": 1,
        "score_threshold": 0.6,
        "exclude_pad_detections": "False",
        "merge": "mean",
        "tta": False,
    }


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        ({"threshold": "0.25"}, "score_threshold", 0.25),
        ({"score_threshold": 1}, "score_threshold", 1),
        ({"tta": "True"}, "tta", True),
        ({"tta": 0}, "tta", False),
        ({"merge": "max"}, "merge", "max"),
        ({"prompt": True}, "prompt", "True"),
        ({"batch_size": 9}, "batch_size", 1),
        ({"padding": 9}, "padding", 0),
    ],
)
def test_values_take_the_declared_type(given, name, value):
    found = scalars(PARAMETERS, merged({}, given))[name]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"colour": 1}, "no argument 'colour'; possible are .*merge.*threshold"),
        ({"model": "x"}, "no argument 'model'"),
        ({"merge": "min"}, "merge 'min' is not possible; give one of mean, max"),
        ({"tta": "perhaps"}, "tta 'perhaps' is not possible; give True or False"),
        ({"threshold": "nan"}, "threshold 'nan' is not possible; give a number"),
        ({"threshold": 2}, "threshold 2 is not possible; give a number from 0 to 1"),
    ],
)
def test_what_is_not_possible_is_refused(given, message):
    with pytest.raises(OptionError, match=message):
        scalars(PARAMETERS, merged({}, given))


def test_a_threshold_is_one_argument_by_either_name():
    assert merged({"threshold": 0.5, "merge": "max"}, {"score_threshold": 0.2}) == {
        "threshold": 0.2,
        "merge": "max",
    }
