"""A small good file of FreeMoCap, and its faults."""

from __future__ import annotations

import re

from helpers.pose_results import cells
from helpers.sample import Sample, replace, spellings

from kineme.motion.layout import layout

FILE = "mediapipe_body_3d_xyz.csv"
ROWS = [
    f"{frame},{name},{90.5 * k - 1500},{40.25 * frame + 10},{1700 - 50.125 * k}"
    for frame in range(4)
    for k, name in enumerate(layout("mediapipe33").joints)
]


FREEMOCAP = Sample(
    FILE,
    lambda folder: (folder / FILE).write_text("\n".join(["frame,keypoint,x,y,z", *ROWS, ""])) and None,
    faults={
        "zero frames": (FILE, lambda data: data[: data.index(b"0,nose")]),
        "10^9 frames": cells(FILE, -1, 0, b"1000000000"),
        "wrong variant": (FILE, replace(b"keypoint", b"point")),
        "nobody": (FILE, lambda data: re.sub(rb",[-\d.]+,[-\d.]+,[-\d.]+\n", b",,,\n", data)),
        "frames without numbers": (FILE, lambda data: re.sub(rb"\n\d,", b"\nx,", data)),
    },
    mended={
        "infinity": cells(FILE, 40, 2, b"inf"),
        "text in a cell": cells(FILE, 40, 2, b"x"),
        "too large for float32": cells(FILE, 40, 2, b"-1e39"),
        "half a frame": cells(FILE, 40, 0, b"1.5"),
        "a negative frame": cells(FILE, 40, 0, b"-1"),
        "a row too short": (FILE, lambda data: data.rsplit(b",", 1)[0] + b"\n"),
        "a point twice": (FILE, lambda data: data + data.splitlines()[-1] + b"\n"),
    },
    complete={FILE: lambda good, cut: b"\n0,nose," in cut and cut.count(b",") >= 8},
    variants={
        **spellings(FILE),
        "NaN for empty": (FILE, lambda data: data.replace(b",-1500.0,", b",-1.5e3,")),
        "whole floats": (FILE, lambda data: data.replace(b"\n1,", b"\n1.0,")),
        "quotes": (FILE, lambda data: data.replace(b"nose", b'"nose"')),
    },
)
