"""Reads one file from outside in a process of its own, which may use little and write nothing.

The parent (:mod:`kineme.apps.explorer.uploads`) starts it with ``python -I`` in an empty folder; what it found goes
back as one answer of plain arrays, or as a sentence about what is wrong.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from ... import io
from ...motion.motion import Motion
from ...utils.errors import InputError
from . import container

MEMORY, SECONDS, FILES = 2 << 30, 20, 32  # bytes of memory, seconds of work, open files
MOST_FRAMES, MOST_PEOPLE, MOST_JOINTS = 200_000, 8, 512
MOST_SAID = 160  # characters of each part of an error
MOST_BYTES = 512 << 20  # of the answer


def limit() -> None:
    """Take away from this process what reading a file does not need; where the system knows no limits, nothing."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_NOFILE, FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def main() -> None:
    """Read the file that the command line names; ``image`` behind it: coordinates in the image are wanted."""
    path, image = Path(sys.argv[1]), sys.argv[2:] == ["image"]
    limit()
    try:
        answer = encoded(next(io.read_all(path, options=io.Options(image=image)), None), path.name)
    except InputError as error:
        answer = container.write({}, error=told(error, path.name))
    except MemoryError:
        found = f"more than {MEMORY >> 30} GB of memory to read it"
        answer = container.write({}, error={"where": path.name, "what": found, "expected": "", "fix": "Cut it"})
    sys.stdout.buffer.write(answer)


def encoded(motion: Motion | None, name: str) -> bytes:
    """A motion as an answer; the first clip of a file that holds several.

    Raises:
        InputError: none, or one that is larger than anything a page can show.
    """
    if motion is None:
        raise InputError(name, "no clip that can be used", "a movement")
    frames, people, joints, _ = motion.joints.shape
    if frames > MOST_FRAMES or people > MOST_PEOPLE or joints > MOST_JOINTS:
        found = f"{frames} frames of {people} people with {joints} joints"
        most = f"at most {MOST_FRAMES}, {MOST_PEOPLE} and {MOST_JOINTS}"
        raise InputError(name, found, most, "Cut it, or prepare it with kineme prepare")
    arrays = {"joints": motion.joints.astype(np.float32), "confidence": motion.confidence.astype(np.float32)}
    size = None if motion.image_size is None else list(motion.image_size)
    facts = {"fps": motion.fps, "up": motion.up, "unit": motion.unit, "size": size}
    return container.write(arrays, layout=motion.layout.as_dict(), **facts)


def told(error: InputError, name: str) -> dict[str, str]:
    """What is wrong, in a sentence or two, without the place where the file lay."""
    where = error.where.rpartition("/")[2].rpartition("\\")[2] or name
    said = {"what": error.found, "expected": error.expected, "fix": error.hint}
    return {
        "where": where,
        **{key: textwrap.shorten(text, MOST_SAID, placeholder=" ...") for key, text in said.items()},
    }


def decoded(data: bytes, name: str) -> Motion:
    """The parent's side: a motion of what the child wrote, checked once more.

    Raises:
        InputError: what the child found wrong, or an answer that is none.
    """
    from ...motion import layout as skeleton

    try:
        arrays, fields = container.read(data)
    except ValueError:
        raise InputError(name, "its reading broke off", "a motion file", "Try kineme show with it") from None
    error: Any = fields.get("error")
    if error:
        raise InputError(*(str(error.get(key, "")) for key in ("where", "what", "expected", "fix")))
    layout = skeleton.from_dict(fields["layout"])
    about = {key: fields[key] for key in ("fps", "up", "unit")}
    size = fields["size"] and tuple(fields["size"])
    return Motion(arrays["joints"], layout, arrays["confidence"], image_size=size, source=name, **about)


if __name__ == "__main__":
    main()
