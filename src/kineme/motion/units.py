"""Units of length in the words of files and people, and how many metres each is: the one table of them."""

from __future__ import annotations

import math
from typing import Any

from ..utils.errors import InputError
from ..utils.registry import did_you_mean

METRES = {"m": 1.0, "dm": 0.1, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
SPOKEN = {"m": "metres", "cm": "centimetres", "mm": "millimetres", "in": "inches"}
UNITS = (*METRES, "px", "1")
_PREFIXES = {"m": "", "dm": "deci", "cm": "centi", "mm": "milli"}
_WORDS = {
    "in": ("inch", "inches", "ins", '"', "\N{DOUBLE PRIME}"),
    "ft": ("foot", "feet", "'", "\N{PRIME}"),
    "px": ("pixel", "pixels", "pix", "image"),
    "1": ("", "none", "null", "unknown", "unitless", "dimensionless", "normalised", "normalized", "arbitrary"),
    **{
        unit: tuple(f"{before}{word}" for word in ("metre", "metres", "meter", "meters"))
        for unit, before in _PREFIXES.items()
    },
}
_NAMES = {name: unit for unit in UNITS for name in (unit, *_WORDS[unit])}
SAID = f"one of {', '.join(UNITS)}, in any usual spelling (Millimeters, MM, inches)"


def find(text: Any) -> str | None:
    """The unit that a file or a person means, one of ``UNITS``; None if there is no such unit.

    Case, blanks, brackets and a full stop at the end do not count.

    Examples:
        >>> find("Millimeters"), find("[CM]"), find("metres."), find("furlong")
        ('mm', 'cm', 'm', None)
    """
    if text is None:
        return "1"
    return _NAMES.get(str(text).strip().strip("[](){}").strip().rstrip(".").lower()) if _plain(text) else None


def unit(text: Any, where: object = "unit") -> str:
    """As :func:`find`.

    Raises:
        InputError: no such unit; the message names ``where``.
    """
    found = find(text)
    if found is None:
        raise InputError(where, f"unit {text!r}", SAID, did_you_mean(str(text).lower(), _NAMES))
    return found


def asked(text: Any, where: object = "--unit") -> tuple[str, float]:
    """What a person says that numbers mean: (unit, 1), or ("m", metres in one of theirs) for a number.

    Raises:
        InputError: neither a unit nor a number above 0.

    Examples:
        >>> asked("Inches"), asked("0.00254")
        (('in', 1.0), ('m', 0.00254))
    """
    if (found := find(text)) is not None and str(text).strip() != "1":
        return found, 1.0
    try:
        metres = float(text)
    except (TypeError, ValueError):
        metres = math.nan
    if not 0 < metres < math.inf:
        raise InputError(
            where, f"unit {text!r}", f"{SAID}, or how many metres one is", did_you_mean(str(text).lower(), _NAMES)
        )
    return "m", metres


def _plain(text: Any) -> bool:
    return isinstance(text, (str, int)) and not isinstance(text, bool)
