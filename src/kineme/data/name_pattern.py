"""Labels from the names of files: ``S{subject}_{label}_{repetition}`` says what the parts of a name are."""

from __future__ import annotations

import functools
import itertools
import re
import string
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from ..utils.errors import InputError
from .clip_table import COLUMNS, FIXED
from .labels import WHOLE

NUMBERS = ("subject", "camera", "setup", "repetition")  # as a rule these are numbers: digits go before other text
OWN = (*(name for name in FIXED if name != "label"), "start", "end")  # columns that no name decides
FIELDS = "label, subject, camera, repetition, performance"
EXPECTED = f"text with fields in braces ({FIELDS}, or a column of your own), such as S{{subject}}_{{label}}"


class NamePattern:
    """What the parts of a name are.

    ``{label}`` and the like take one character or more, but no ``/``; ``{}`` and ``*`` stand for anything that is not
    kept (``*`` also for nothing). A field that comes twice has one value. Where a name can be read in several ways,
    fields that are numbers as a rule are digits if they can be, and fields are short from left to right.

    Args:
        text: the pattern. One without ``/`` is matched with a name, one with ``/`` with a name and the folders above.

    Raises:
        InputError: braces that do not match, no field, or a field that names no column.

    Examples:
        >>> NamePattern("S{subject}_{label}_{repetition}").match(["raw/S07_pick_up_2"])
        {'subject': '07', 'label': 'pick_up', 'repetition': 2}
    """

    def __init__(self, text: str):
        self.text = text
        try:
            found = string.Formatter().parse(text.replace("\\", "/").removeprefix("./"))
            parts = [(part[0], _column(part[1]), *part[2:]) for part in found]
        except ValueError as error:
            raise InputError(f"--labels {text!r}", f"no pattern ({error})", EXPECTED) from None
        self.fields: list[str] = []
        for _, name, spec, conversion in parts:
            if name in (None, "", "_"):
                continue
            if not str(name).isidentifier() or spec or conversion:
                raise InputError(f"--labels {text!r}", f"the field {{{name}}}", EXPECTED)
            if name in OWN:
                raise InputError(f"--labels {text!r}", f"the field {{{name}}}, which Kineme itself fills", EXPECTED)
            self.fields += [name] if name not in self.fields else []
        if not self.fields:
            raise InputError(f"--labels {text!r}", "a pattern without a field", EXPECTED)
        numbers = [name for name in self.fields if name in NUMBERS]
        chosen = itertools.product((r"\d+", "[^/]+?"), repeat=len(numbers))
        self._ways = [
            re.compile("(?:.*/)?" + "".join(_regex(parts, dict(zip(numbers, kinds)))))
            for kinds in sorted(chosen, key=lambda kinds: kinds.count("[^/]+?"))
        ]

    def match(self, names: Sequence[str]) -> dict[str, int | str] | None:
        """The values of the fields in the first of several names of a clip that fits; None where none does.

        Plain whole numbers are numbers, all else (007 as well) is text, and so is the label.
        """
        for way, name in itertools.product(self._ways, names):
            if found := way.fullmatch(name):
                return {
                    field: int(value) if field != "label" and WHOLE.fullmatch(value) else value
                    for field, value in found.groupdict().items()
                }
        return None


def names(source: str, path: str, recording: str | None, is_folder: bool) -> list[str]:
    """What a clip may be called, the most telling first: its own name, its file's without and with the ending.

    Args:
        source: of the clip, under the prepared folder.
        path: of its file or folder there.
        recording: the name of a recording of several files.
        is_folder: whether ``path`` is a folder.
    """
    place = PurePosixPath(path)
    plain = [path] if is_folder else [str(place.with_suffix("")), path]
    own = recording or source.partition("#")[2]
    above = place if is_folder else place.parent
    return list(dict.fromkeys([*([str(above / own)] if own else []), *plain, source]))


@functools.lru_cache(maxsize=8)  # asked for every clip
def pattern(text: str) -> NamePattern:
    """The pattern, compiled once."""
    return NamePattern(text)


def is_pattern(labels: str | None) -> bool:
    """Whether what is said about labels is a pattern, and no path or word."""
    return labels is not None and ("{" in labels or "}" in labels)


def _column(name: str | None) -> str | None:
    return name.lower() if name and name.lower() in COLUMNS else name


def _regex(parts: Sequence[tuple], kinds: dict[str, str]) -> Iterator[str]:
    """The parts of a pattern as regular expressions."""
    met: set[str] = set()
    for literal, name, *_ in parts:
        yield "[^/]*?".join(map(re.escape, literal.split("*")))
        if name in ("", "_"):
            yield "[^/]+?"
        elif name is not None:
            yield f"(?P={name})" if name in met else f"(?P<{name}>{kinds.get(name, '[^/]+?')})"
            met.add(name)
