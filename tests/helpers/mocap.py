"""Small good files of motion capture, and their faults."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.sample import Sample, never, replace, spellings

# ------------------------------------------------------------------------------------------------------------ ASF/AMC

AMC_FILE, ASF_FILE = "01_02.amc", "01.asf"
ASF_TEXT = """# made for a test
:version 1.10
:name made
:units
  mass 1.0
  length 0.45
  angle deg
:documentation
   begin with nothing
:root
   order TX TY TZ RX RY RZ
   axis XYZ
   position 0 0 0
   orientation 0 0 0
:bonedata
  begin
     id 1
     name lfemur
     direction 0 -1 0
     length 2.5
     axis 0 0 20  XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-60.0 70.0)
  end
  begin
     id 2
     name ltibia
     direction 0.6 -0.8 0
     length 2
     axis 0 0 0 XYZ
    dof rx
    limits (-10.0 170.0)
  end
  begin
     id 3
     name lowerback
     direction 0 1 0
     length 3
     axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root lfemur lowerback
    lfemur ltibia
  end
"""
AMC_TEXT = """#!OML:ASF somewhere
:FULLY-SPECIFIED
:DEGREES
1
root 1 2.5 3 0 90 0
lfemur 10 20 30
ltibia 45.5
2
root 1 2.5 3.5 0 90 0
lfemur 10 20 31
ltibia 46
3
root 1.5 2.5 4.5 0 90 7.25
lfemur 10 20 32
ltibia 47
"""


def _asf_amc(folder: Path) -> None:
    (folder / AMC_FILE).write_text(AMC_TEXT)
    (folder / ASF_FILE).write_text(ASF_TEXT)


def _amc_complete(good: bytes, cut: bytes) -> bool:
    """The frames count: one of whole lines, its last number perhaps shorter than it was."""
    text, root, femur = cut[cut.find(b"1\nroot") :], rb"1\nroot( \S+){6}", rb"\nlfemur( \S+){3}"
    return bool(re.match(root + femur + rb"\nltibia \S", text) or re.fullmatch(root + rb"(" + femur + rb")?\s*", text))


ASF_AMC = Sample(
    AMC_FILE,
    _asf_amc,
    faults={
        "infinity": (AMC_FILE, replace(b"45.5", b"inf")),
        "zero frames": (AMC_FILE, lambda data: data[: data.index(b"1\nroot")]),
        "wrong variant": (AMC_FILE, lambda data: data.replace(b"lfemur", b"lthigh")),
        "two values of three": (AMC_FILE, lambda data: re.sub(rb"(lfemur \S+ \S+) \S+", rb"\1", data)),
        "a bone twice": (AMC_FILE, lambda data: data.replace(b"ltibia", b"lfemur")),
        "too large for float32": (AMC_FILE, replace(b"45.5", b"1e39")),
        "bones before the first frame": (AMC_FILE, replace(b"1\nroot", b"root")),
        "a bone that hangs on itself": (ASF_FILE, replace(b"lfemur ltibia", b"ltibia ltibia")),
        "a bone that hangs on two": (ASF_FILE, replace(b"lfemur ltibia", b"lfemur lowerback ltibia")),
        "a bone without a length": (ASF_FILE, replace(b"length 2.5", b"")),
        "a bone without end": (ASF_FILE, lambda data: data.replace(b"  end\n:hierarchy", b":hierarchy")),
        "a bone of two names": (ASF_FILE, replace(b"name ltibia", b"name lfemur")),
        "a direction in text": (ASF_FILE, replace(b"0 -1 0", b"x -1 0")),
        "an infinite length": (ASF_FILE, replace(b"length 2.5", b"length inf")),
        "an unknown freedom": (ASF_FILE, replace(b"dof rx ry rz", b"dof rx ry rw")),
        "an axis twice": (ASF_FILE, replace(b"20  XYZ", b"20  XXZ")),
        "lengths of nothing": (ASF_FILE, replace(b"length 0.45", b"length 0")),
        "a thousand bones": (
            ASF_FILE,
            lambda data: data.replace(
                b":hierarchy", data[data.index(b"  begin\n     id 3") : -75] * 1100 + b":hierarchy"
            ),
        ),
        "no hierarchy": (ASF_FILE, lambda data: data[: data.index(b":hierarchy")]),
    },
    mended={
        "10^9 frames": (AMC_FILE, replace(b"\n3\n", b"\n1000000000\n")),
        "a frame without a bone": (AMC_FILE, replace(b"ltibia 46\n", b"")),
        "a value that is no number": (AMC_FILE, replace(b"ltibia 46", b"ltibia 4x6")),
    },
    complete={AMC_FILE: _amc_complete, ASF_FILE: never},
    variants=spellings(AMC_FILE)
    | {f"skeleton: {name}": (ASF_FILE, change) for name, (_, change) in spellings("").items()}
    | {
        "tabs": (AMC_FILE, lambda data: data.replace(b" ", b"\t")),
        "bones in another order": (
            AMC_FILE,
            lambda data: re.sub(rb"(lfemur.*\n)(ltibia.*\n)", rb"\2\1", data),
        ),
        "limits in one line": (ASF_FILE, lambda data: re.sub(rb"\)\s+\(", b") (", data)),
    },
)

MOCAP: dict[str, Sample] = {"asf_amc": ASF_AMC}
