"""Reading the card of a run: nothing in it is believed before it has been looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..motion import layout as skeleton
from ..motion import normalise as norms
from ..motion import size
from ..motion.motion import UPS
from ..utils.errors import InputError
from ..utils.files import read_json

FORMAT = 1
MOST_FRAMES, MOST_PERSONS = 10_000, 1_000  # of a clip as an encoder sees it: more is a slip, and would fill the memory
AGAIN = "The card was damaged or edited; take another copy of the run, or train again"


class Entry(NamedTuple):
    """What an entry of a card has to be: whether a value is right, and what to say of one that is not."""

    right: Callable[[Any], bool]
    wanted: str
    optional: bool = False


def _whole(low: int, high: int) -> Entry:
    return Entry(lambda value: type(value) is int and low <= value <= high, f"a whole number from {low} to {high}")


def _one_of(*values: Any) -> Entry:
    words = " or ".join(map(str, values))
    return Entry(lambda value: any(type(each) is type(value) and each == value for each in values), words)


TEXT = Entry(lambda value: isinstance(value, str) and value != "", "text")
TABLE = Entry(lambda value: isinstance(value, dict), "a table")
SHARE = Entry(
    lambda value: type(value) in (int, float) and math.isfinite(value) and 0 < value <= 1, "a number above 0, at most 1"
)
ORIGINS = Entry(
    lambda value: (
        isinstance(value, dict)
        and all(
            isinstance(origin, dict) and all(isinstance(v, str) for v in origin.values()) for origin in value.values()
        )
    ),
    "a table of plug-ins: file and sha256, or package",
)
STORES = Entry(
    lambda value: (
        isinstance(value, list)
        and all(isinstance(each, dict) and isinstance(each.get("hash"), str) for each in value)
        and bool(value)
    ),
    "a list of stores, each with its hash",
)
BEGUN = Entry(
    lambda value: (
        value is None
        or (
            isinstance(value, dict)
            and all(isinstance(value.get(name), str) for name in ("run", "hash"))
            and type(value.get("epochs")) in (int, float)
        )
    ),
    "null, or a table with run, hash and epochs",
)
FLAG = Entry(lambda value: value is None or isinstance(value, bool), "true, false or null", optional=True)

USED = {
    "format": _one_of(FORMAT),
    "method": TEXT,
    "encoder": TEXT,
    "unit": _one_of("clip", "frame", "video"),
    "seed": _whole(-(2**63), 2**63 - 1),
    "coords": _one_of(2, 3),
    "persons": _whole(1, MOST_PERSONS),
    "layout": TABLE,
    "normalise": TABLE,
    "normalise.how": _one_of(*norms.MODES),
    "normalise.options": TABLE._replace(optional=True),
    "normalise.clean": TABLE._replace(optional=True),
    "normalise.options.scale": FLAG,
    "normalise.options.per_frame": FLAG,
    "size": Entry(size.is_entry, "null, or a table with how: metres, torso or unknown, and unit", optional=True),
    "up": Entry(lambda value: value in (None, *UPS), f"null, or one of {', '.join(UPS)}", optional=True),
    "crop": TABLE,
    "crop.ratio": SHARE,
    "crop.frames": _whole(1, MOST_FRAMES),
    "recipe": TABLE,
    **{f"recipe.{name}": TEXT for name in ("method_name", "encoder_name", "preset")},
    **{f"recipe.{name}": TABLE for name in ("method", "encoder", "loop")},
    "plugins": ORIGINS._replace(optional=True),
}
"""What whoever uses a run reads of its card."""
RESUMED = {
    "status": _one_of("running", "done"),
    "split": Entry(lambda value: value is None or isinstance(value, str), "the name of a split, or null"),
    "stores": STORES,
    "data": TEXT,
    "init": BEGUN._replace(optional=True),
}
"""What is read besides where a training goes on."""


def read(run: str | Path, *, resumed: bool = False) -> dict[str, Any]:
    """The card of a run, every entry of it that is used checked.

    Args:
        run: the run's folder.
        resumed: also check what is read where a training goes on.

    Raises:
        InputError: no card, one of something else or of another version, or an entry that is missing or not what it
            has to be; the message names the card and the entry.
    """
    path = Path(run) / "card.json"
    card = read_json(path, "a run (a folder that `kineme pretrain` wrote)")
    kind = card.get("kind") if isinstance(card, dict) else None
    if kind != "run":
        found = f"a {kind!r}" if isinstance(kind, str) else "no card of a run"
        raise InputError(run, found, "a run", "Runs are written by `kineme pretrain`")
    check(card, USED | (RESUMED if resumed else {}), path)
    try:
        skeleton.from_dict(card["layout"])
    except InputError as error:
        raise within(path, "layout", error) from None
    return card


def check(card: Mapping[str, Any], entries: Mapping[str, Entry], path: Path) -> None:
    """Compare a card with what its entries have to be; names are dotted.

    Raises:
        InputError: names the first entry that is not right.
    """
    for name, entry in entries.items():
        *above, last = name.split(".")
        table: Any = card
        for word in above:
            table = table.get(word, {}) if isinstance(table, Mapping) else {}
        if last in table:
            if not entry.right(table[last]):
                raise InputError(f"{path}, {name}", _short(table[last]), entry.wanted, AGAIN)
        elif not entry.optional:
            raise InputError(f"{path}, {name}", "missing", entry.wanted, AGAIN)


def within(path: Path, entry: str, error: InputError) -> InputError:
    """An error about something in a card, with the card and the entry before it."""
    return InputError(f"{path}, {entry}: {error.where}", error.found, error.expected, error.hint or AGAIN)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
