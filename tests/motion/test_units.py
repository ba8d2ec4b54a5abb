"""Units in the words of files and people."""

import numpy as np
import pytest

from kineme.motion import layout, units
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("m", "m"), ("M", "m"), ("metre", "m"), ("Metres", "m"), ("METERS", "m"), (" meter ", "m"),
        ("millimeters", "mm"), ("MM", "mm"), ("mm.", "mm"), ("[mm]", "mm"), ("(Millimetre)", "mm"),
        ("cm", "cm"), ("centimeter", "cm"), ("Centimetres", "cm"), ("decimetre", "dm"),
        ("inches", "in"), ("Inch", "in"), ('"', "in"), ("in.", "in"), ("feet", "ft"), ("foot", "ft"), ("FT", "ft"),
        ("pixels", "px"), ("PX", "px"), ("1", "1"), (1, "1"), (None, "1"), ("", "1"), ("unknown", "1"),
        ("furlong", None), ("meterss", None), (True, None), (2, None), (["m"], None),
    ],
)  # fmt: skip
def test_a_unit_in_any_spelling(text, unit):
    assert units.find(text) == unit
    if unit is None:
        with pytest.raises(InputError, match="one of m, dm, cm, mm, in, ft, px, 1"):
            units.unit(text)


@pytest.mark.parametrize("unit", units.METRES)
def test_what_a_person_says_is_a_unit_or_metres(unit):
    assert units.asked(unit.upper()) == (unit, 1.0)
    assert units.asked(str(units.METRES[unit])) == ("m", units.METRES[unit])
    assert units.asked(units.METRES[unit]) == ("m", units.METRES[unit])


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "millimetre3", "", None])
def test_what_is_neither_is_refused(text):
    if text in ("", None):  # unknown: what files state is forgotten
        assert units.asked(text) == ("1", 1.0)
        return
    with pytest.raises(InputError, match="--unit: unit "):
        units.asked(text)


def test_a_motion_knows_its_unit_by_any_name():
    still = Motion(np.zeros((2, 1, 25, 3)), layout.layout("ntu25"), unit="Inches")
    assert still.unit == "in"
    assert still.with_(unit=None).unit == "1"
