"""Files that hold motion but are not read: told by name or first bytes, with what to do about them."""

from __future__ import annotations

import re
from pathlib import Path

EXPORT = (
    "Open it in Blender (File > Import) and export glTF (.glb, with animation) or BVH from there, or export C3D or BVH "
    "from the program that recorded it"
)
KINDS = {  # ending -> what it is, how such files begin
    ".fbx": ("FBX, for which there is no reader", re.compile(rb"Kaydara FBX Binary|\s*; FBX \d")),
    ".blend": ("a scene of Blender, not a recording", re.compile(rb"BLENDER[-_]")),
}


def kind(path: Path, head: bytes) -> str | None:
    """What such a file is; None for every other."""
    found = (what for ending, (what, opening) in KINDS.items() if path.suffix.lower() == ending or opening.match(head))
    return next(found, None)
