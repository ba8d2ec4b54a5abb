"""What a list or a table may call a clip: its id or its file, with or without folders, file ending and clip number."""

from __future__ import annotations

import difflib
import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from .. import io
from ..utils.errors import InputError

if TYPE_CHECKING:
    from .store import Store

ALIKE = 0.75  # names of equal numbers whose letters are as alike as this are taken for misspelt ones


def spelled(name: str) -> str:
    """A name without what writing it down adds: blanks around it, ``./`` in front, backslashes, split accents."""
    return re.sub(r"^(\./+)+", "", unicodedata.normalize("NFC", name.strip().replace("\\", "/")))


def forms(clip: str, file: str | None, endings: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """What a clip may be called, the most particular first.

    Args:
        clip: its id.
        file: the file that it came from, or None.
        endings: file endings that may be left out (:func:`endings`).

    Returns:
        The spellings of the clip itself, those of its file, and both once more without folders.
    """
    clip, file = spelled(clip), spelled(file or clip)
    rest = clip[len(file) :] if clip.startswith(file) else None  # clip number, frames

    def both(of_clip: str, of_file: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        short = _without_ending(of_file, endings)
        own = _without_ending(of_clip, endings) if rest is None else short + rest
        return tuple(dict.fromkeys((of_clip, own))), tuple(dict.fromkeys((of_file, short)))

    bare = posixpath.basename(file)
    return both(clip, file) + both(posixpath.basename(clip) if rest is None else bare + rest, bare)


def endings() -> tuple[str, ...]:
    """The file endings of all formats and of videos; what stands behind another point belongs to the name."""
    known = {ending.lower() for reader in io.readers().values() for ending in reader.suffixes}
    return tuple(sorted(known | set(io.VIDEO_ENDINGS)))


class Names:
    """The clips of a set by everything that they may be called.

    Args:
        clips: their ids.
        files: the file of each, or None.
    """

    def __init__(self, clips: Sequence[str], files: Sequence[str | None]):
        self.clips, self._endings = clips, endings()
        self._whole: dict[str, list[int]] = defaultdict(list)  # spelling -> clips
        self._bare: dict[str, list[int]] = defaultdict(list)
        self._recording: list[str] = []  # of each clip; files that differ in their ending alone are one
        for i, (clip, file) in enumerate(zip(clips, files)):
            own, recording, bare, bare_recording = forms(clip, file, self._endings)
            self._recording.append(recording[-1])
            for table, names in ((self._whole, own + recording), (self._bare, bare + bare_recording)):
                for name in dict.fromkeys(names):
                    table[name].append(i)

    def find(self, name: str) -> list[int]:
        """The clips that a name fits; none where it is no name.

        Raises:
            InputError: it fits recordings of several folders.
        """
        name = spelled(name)
        found = self._whole.get(name) or self._bare.get(name, [])
        recordings = dict.fromkeys(self._recording[i] for i in found)
        if name not in self._whole and len(recordings) > 1:
            several = ", ".join(self.clips[i] for i in found[:5])
            raise InputError(
                repr(name),
                f"it fits {len(recordings)} recordings: {several}{' ...' if len(found) > 5 else ''}",
                "a name of one recording",
                "Write the folder as well",
            )
        return found

    def nearest(self, unknown: Iterable[str], among: Iterable[int]) -> dict[str, str]:
        """Names that are no clip's, but look like one of these clips misspelt: with the id of that clip.

        Equal are names that differ in folders, ending or case; alike are those with the same numbers in them whose
        letters (four or more) are nearly the same. Other numbers are other recordings.
        """
        equal: dict[str, int] = {}
        alike: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
        for i in among:
            plain = self._plain(self._recording[i])
            equal.setdefault(plain, i)
            alike[_numbers(plain)].setdefault(_letters(plain), i)
        found = {}
        for name in unknown:
            plain = self._plain(spelled(name))
            letters, group = _letters(plain), alike.get(_numbers(plain), {})
            if plain in equal:
                found[name] = self.clips[equal[plain]]
            elif len(letters) >= 4 and (near := difflib.get_close_matches(letters, group, 1, ALIKE)):
                found[name] = self.clips[group[near[0]]]
        return found

    def _plain(self, name: str) -> str:
        return re.sub(r"\.[a-z][a-z0-9]{1,7}$", "", posixpath.basename(_without_ending(name, self._endings)).casefold())


def files_of(store: Store) -> list[str]:
    """The file of each clip. A store that was not prepared from files has a clip number in the id alone."""
    files = store.column("source").tolist()
    if "prepared" not in store.card:
        files = [re.sub(r"#[0-9]+$", "", file) if file == clip else file for clip, file in zip(store.ids, files)]
    return files


def of_store(store: Store) -> Names:
    """What the clips of a store may be called."""
    return Names(store.ids, files_of(store))


def _without_ending(name: str, endings: Sequence[str]) -> str:
    stem, ending = posixpath.splitext(name)
    return stem if ending.lower() in endings else name


def _numbers(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[0-9]+", name))


def _letters(name: str) -> str:
    return re.sub(r"[\W\d_]+", "", name)
