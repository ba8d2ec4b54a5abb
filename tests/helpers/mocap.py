"""Small good files of motion capture, and their faults."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from helpers.sample import Change, Sample, in_json, never, replace, spellings

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


# ------------------------------------------------------------------------------------------------------ MSR Action3D

MSR_FILE = "a14_s03_e02_skeleton3D.txt"


def _msr_action3d(folder: Path) -> None:
    rng = np.random.default_rng(4)
    rows = np.concatenate([rng.normal(size=(60, 3)), rng.integers(1, 3, (60, 1)) / 2], 1)
    rows[20:40] = 0  # nobody in the second frame
    rows[3, 3] = 0  # a joint that is a guess
    (folder / MSR_FILE).write_text("\n".join(" ".join(f"{x:.6f}" for x in row) for row in rows) + "\n")


def _msr_complete(good: bytes, cut: bytes) -> bool:
    """No count of frames: the first one is whole, its last number perhaps shorter than it was."""
    lines = cut.splitlines()
    return len(lines) > 20 or (len(lines) == 20 and len(lines[19].split()) == 4)


def _each_line(old: bytes, new: bytes) -> Change:
    return lambda data: re.sub(rb"^" + old, new, data, flags=re.MULTILINE)


MSR_ACTION3D = Sample(
    MSR_FILE,
    _msr_action3d,
    faults={
        "infinity": (MSR_FILE, _each_line(rb"\S+", b"inf")),
        "zero frames": (MSR_FILE, lambda data: b"\n\n"),
        "10^9 frames": (MSR_FILE, lambda data: b"1000000000\n"),
        "wrong variant": (MSR_FILE, _each_line(rb"\S+ ", b"")),
        "19 joints": (MSR_FILE, lambda data: b"\n".join(data.split(b"\n")[:19])),
        "too large for float32": (MSR_FILE, _each_line(rb"\S+", b"1e39")),
        "confidence in per cent": (MSR_FILE, lambda data: data.replace(b"1.000000", b"100")),
    },
    mended={
        "a line of three": (MSR_FILE, lambda data: re.sub(rb"\A\S+ ", b"", data)),
        "a word": (MSR_FILE, lambda data: re.sub(rb"\A\S+ ", b"x ", data)),
        "a broken last frame": (MSR_FILE, lambda data: data + b"1 2 3 1\n"),
    },
    complete={MSR_FILE: _msr_complete},
    variants=spellings(MSR_FILE)
    | {"tabs": (MSR_FILE, lambda data: data.replace(b" ", b"\t")), "blanks before": (MSR_FILE, _each_line(b"", b"  "))},
)

# -------------------------------------------------------------------------------------------------------------- .mat

UTD_FILE, PENN_FILE = "a6_s2_t3_skeleton.mat", "0042.mat"


def mat(variables: dict[str, object]) -> bytes:
    """A MATLAB file."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, variables, do_compression=True)
    return buffer.getvalue()


def in_mat(change: Callable[[dict], object]) -> Change:
    """Change the variables of a MATLAB file."""

    def changed(data: bytes) -> bytes:
        from scipy.io import loadmat

        variables = {key: value for key, value in loadmat(io.BytesIO(data)).items() if not key.startswith("__")}
        change(variables)
        return mat(variables)

    return changed


def claim(variable: str, sides: tuple[int, int]) -> Change:
    """Only the header of a variable, which comes first then, says that there is so much."""

    def changed(data: bytes) -> bytes:
        from scipy.io import loadmat, savemat

        buffer = io.BytesIO()
        variables = {key: value for key, value in loadmat(io.BytesIO(data)).items() if not key.startswith("__")}
        savemat(buffer, {variable: variables.pop(variable), **variables})
        plain = bytearray(buffer.getvalue())
        for at, side in zip((160, 164), sides):  # behind the file's header, two tags and the flags
            plain[at : at + 4] = side.to_bytes(4, "little", signed=True)
        return bytes(plain)

    return changed


def _utd_mhad(folder: Path) -> None:
    (folder / UTD_FILE).write_bytes(mat({"d_skel": np.random.default_rng(5).normal(size=(20, 3, 4))}))


def _skeletons(**changes: Callable[[np.ndarray], object]) -> dict[str, tuple[str, Change]]:
    return {
        name.replace("_", " "): (UTD_FILE, in_mat(lambda d, change=change: d.update(d_skel=change(d["d_skel"]))))
        for name, change in changes.items()
    }


def _bomb(data: bytes) -> bytes:
    """300 MB of zeros in 300 KB."""
    import zlib

    machine = zlib.compressobj(9)
    packed = machine.compress(b"\x0e\0\0\0\0\0\0\x12") + b"".join(machine.compress(bytes(1 << 20)) for _ in range(300))
    packed += machine.flush()
    return data[:128] + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed


UTD_MHAD = Sample(
    UTD_FILE,
    _utd_mhad,
    faults=_skeletons(
        infinity=lambda a: np.full_like(a, np.inf),
        zero_frames=lambda a: a[..., :0],
        wrong_variant=lambda a: a[:15],
        text=lambda a: "words",
        two_coordinates=lambda a: a[:, :2],
        complex_numbers=lambda a: a * 1j,
        a_structure=lambda a: {"x": a},
        a_cell=lambda a: np.array([a, a[:1]], object),
        too_large_for_float32=lambda a: np.full_like(a, 1e39),
    )
    | {
        "10^9 frames": (UTD_FILE, claim("d_skel", (20, 10**9))),
        "a negative number of joints": (UTD_FILE, claim("d_skel", (-20, 3))),
        "no skeleton": (UTD_FILE, in_mat(lambda d: d.update(other=d.pop("d_skel")))),
        "300 MB in 300 KB": (UTD_FILE, _bomb),
        "version 7.3": (UTD_FILE, lambda data: data[:124] + b"\x00\x02IM" + data[128:]),
        "version 4": (UTD_FILE, lambda data: bytes(20) + data[128:]),
    },
    mended=_skeletons(a_joint_that_is_no_number=lambda a: np.where(np.arange(240).reshape(20, 3, 4) == 9, np.nan, a)),
    complete={UTD_FILE: lambda good, cut: cut == good},
)


def _penn_action(folder: Path) -> None:
    rng = np.random.default_rng(6)
    x, y = rng.uniform(20, 300, (2, 5, 13))
    visibility = rng.integers(0, 2, (5, 13)).astype(np.uint8)
    visibility[:, 1:4] = 1
    x[2, visibility[2] == 0] = y[2, visibility[2] == 0] = 1
    about = {"action": "golf_swing", "pose": "front", "train": 1, "bbox": np.ones((4, 4)), "nframes": 5}
    (folder / PENN_FILE).write_bytes(
        mat({"x": x, "y": y, "visibility": visibility, "dimensions": np.uint16([[272, 480, 5]]), **about})
    )


def _penn(change: Callable[[dict], object]) -> tuple[str, Change]:
    return PENN_FILE, in_mat(change)


PENN_ACTION = Sample(
    PENN_FILE,
    _penn_action,
    faults={
        "infinity": _penn(lambda d: d["x"].__setitem__((0, 1), np.inf)),
        "zero frames": _penn(lambda d: d.update(x=d["x"][:0], y=d["y"][:0], visibility=d["visibility"][:0])),
        "10^9 frames": (PENN_FILE, claim("visibility", (10**9, 13))),
        "wrong variant": _penn(lambda d: d.update(x=d["x"][:, :12])),
        "no visibility": _penn(lambda d: d.pop("visibility")),
        "visibility in text": _penn(lambda d: d.update(visibility=["x"] * 5)),
        "fourteen joints": _penn(lambda d: d.update({k: np.ones((5, 14)) for k in ("x", "y", "visibility")})),
        "300 MB in 300 KB": (PENN_FILE, _bomb),
    },
    mended={"a joint that is no number": _penn(lambda d: d["x"].__setitem__((0, 1), np.nan))},
    complete={PENN_FILE: lambda good, cut: cut == good},
)


# --------------------------------------------------------------------------------------------------------------- C3D

C3D_FILE, TRC_FILE = "walk.c3d", "walk.trc"
MARKERS = ("LASI", "RASI", "LKNE", "RKNE")


def c3d_bytes(points: np.ndarray, unit: str = "mm", rate: float = 100.0, labels: tuple[str, ...] = MARKERS) -> bytes:
    """A C3D file of points ``[T, V, 3]``; NaN is a missing one."""
    import warnings

    import c3d

    writer = c3d.Writer(point_rate=rate, analog_rate=0)
    for frame in points:
        gap = np.isnan(frame).any(1)
        row = np.concatenate([np.nan_to_num(frame), np.where(gap, -1, 0)[:, None], np.where(gap, -1, 0)[:, None]], 1)
        writer.add_frames([(row.astype(np.float32), np.array([[]]))])
    writer.set_point_labels(list(labels))
    writer.set_screen_axis("+X", "+Z")
    writer.point_group.set_str("UNITS", "", unit, len(unit))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        writer.write(buffer)
    return buffer.getvalue()


def _c3d_points() -> np.ndarray:
    points = np.random.default_rng(7).normal(500, 100, (8, 4, 3)).astype(np.float32)
    points[1, 2] = np.nan
    return points


def _c3d(folder: Path) -> None:
    (folder / C3D_FILE).write_bytes(c3d_bytes(_c3d_points()))


def _c3d_begin(data: bytes) -> int:
    return (int.from_bytes(data[16:18], "little") - 1) * 512


def _c3d_complete(good: bytes, cut: bytes) -> bool:
    """The frames count: one that is whole."""
    return len(cut) >= _c3d_begin(good) + 4 * 4 * 4


def _c3d_value(value: float) -> Change:
    """Another first number."""

    def change(data: bytes) -> bytes:
        at = _c3d_begin(data)
        return data[:at] + np.float32(value).tobytes() + data[at + 4 :]

    return change


def _c3d_header(at: int, value: int) -> Change:
    return lambda data: data[:at] + value.to_bytes(2, "little") + data[at + 2 :]


def _c3d_frames(data: bytes) -> bytes:
    """A number of frames beyond what is there."""
    name = b"ACTUAL_END_FIELD"
    at = data.index(name) + len(name) + 5  # behind an offset, the size of an element, and one dimension
    return data[:at] + (10**9).to_bytes(4, "little") + data[at + 4 :]


C3D = Sample(
    C3D_FILE,
    _c3d,
    faults={
        "zero frames": (C3D_FILE, lambda data: data[: _c3d_begin(data)]),
        "wrong variant": (C3D_FILE, lambda data: data[:1] + b"Q" + data[2:]),
        "NUL bytes": (C3D_FILE, lambda data: bytes(16) + data[16:]),
        "a header only": (C3D_FILE, lambda data: data[:512]),
        "parameters beyond the end": (C3D_FILE, lambda data: b"\xff" + data[1:]),
        "points beyond the end": (C3D_FILE, _c3d_header(16, 60000)),
        "points before the beginning": (C3D_FILE, _c3d_header(16, 0)),
    },
    mended={
        "infinity": (C3D_FILE, _c3d_value(np.inf)),
        "10^9 frames": (C3D_FILE, _c3d_frames),
    },
    complete={C3D_FILE: _c3d_complete},
)

# --------------------------------------------------------------------------------------------------------------- TRC

TRC_TEXT = """PathFileType\t4\t(X/Y/Z)\twalk.trc
DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames
60\t60\t3\t2\tmm\t60\t1\t3
Frame#\tTime\tLASI\t\t\tRKNE\t\t
\t\tX1\tY1\tZ1\tX2\tY2\tZ2

1\t0.000\t100.5\t900\t-20\t80\t500.25\t-31
2\t0.017\t\t\t\t81\t501.25\t-32
3\t0.033\t102.5\t902\t-22\t82\t502.25\t-33.5
"""


def _trc(folder: Path) -> None:
    (folder / TRC_FILE).write_text(TRC_TEXT)


def _trc_complete(good: bytes, cut: bytes) -> bool:
    """The rows count: one that is whole, its last number perhaps shorter than it was."""
    return bool(re.search(rb"\n1\t0.000\t100.5\t900\t-20\t80\t500.25\t.", cut))


TRC = Sample(
    TRC_FILE,
    _trc,
    faults={
        "zero frames": (TRC_FILE, lambda data: data[: data.index(b"1\t0.000")]),
        "wrong variant": (TRC_FILE, replace(b"RKNE", b"RKNE\t\t\tLKNE")),
        "no markers": (TRC_FILE, replace(b"LASI\t\t\tRKNE", b"")),
        "another count of markers": (TRC_FILE, replace(b"\t2\tmm", b"\t51\tmm")),
        "a header only": (TRC_FILE, lambda data: data[: data.index(b"\tX1")]),
        "rows of another width": (TRC_FILE, lambda data: data.replace(b"\t-3", b"")),
    },
    mended={
        "infinity": (TRC_FILE, replace(b"100.5", b"-inf")),
        "10^9 frames": (TRC_FILE, replace(b"60\t3\t", b"60\t1000000000\t")),
        "too large for float32": (TRC_FILE, replace(b"502.25", b"1e39")),
        "a word": (TRC_FILE, replace(b"502.25", b"x")),
        "a row too long": (TRC_FILE, replace(b"501.25", b"501.25\t1\t2")),
    },
    complete={TRC_FILE: _trc_complete},
    variants=spellings(TRC_FILE)
    | {
        "commas": (TRC_FILE, lambda data: data.replace(b"\t", b",")),
        "a tab at the end of rows": (TRC_FILE, lambda data: re.sub(rb"(?<=\d)\n", b"\t\n", data)),
        "blanks beside tabs": (TRC_FILE, lambda data: re.sub(rb"\t(?=[-\d])", b"\t ", data)),
        "no empty line": (TRC_FILE, lambda data: data.replace(b"\n\n", b"\n")),
    },
)


# --------------------------------------------------------------------------------------------------------------- npy

NPY_FILE, NPY_ABOUT, CSV_FILE = "walk.npy", "walk.json", "walk.csv"


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _npy(folder: Path) -> None:
    joints = np.random.default_rng(8).normal(size=(6, 1, 4, 3)).astype(np.float32)
    joints[2] = np.nan  # nobody in one frame
    (folder / NPY_FILE).write_bytes(npy(joints))
    about = {"joint_names": ["Hips", "Spine", "Head", "Tail"], "parents": [-1, 0, 1, 0], "fps": 30, "units": "m"}
    (folder / NPY_ABOUT).write_text(json.dumps({**about, "up": "+y"}, indent=0) + "\n")


def _array(change: Callable[[np.ndarray], np.ndarray]) -> tuple[str, Change]:
    return NPY_FILE, lambda data: npy(change(np.load(io.BytesIO(data))))


def _shape(new: bytes) -> tuple[str, Change]:
    """Only the header says so."""

    def change(data: bytes) -> bytes:
        assert b"(6, 1, 4, 3), }" in data
        return data.replace(b"(6, 1, 4, 3), }", new + b", }", 1)

    return NPY_FILE, change


def _first(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[1, 0, 2, 0] = value
        return array

    return change


NPY = Sample(
    NPY_FILE,
    _npy,
    faults={
        "NUL bytes": (NPY_FILE, lambda data: bytes(8) + data[8:]),
        "zero frames": _array(lambda a: a[:0]),
        "10^9 frames": _shape(b"(1000000000, 1, 4, 3)"),
        "wrong variant": _array(lambda a: a[:, :, :3]),
        "a negative number of frames": _shape(b"(-6, 1, 4, 3)"),
        "one axis": _array(lambda a: a.ravel()),
        "one coordinate": _array(lambda a: a[..., :1]),
        "complex numbers": _array(lambda a: a * 1j),
        "Python objects": _array(lambda a: a.astype(object)),
        "words": _array(lambda a: a.astype(str)),
        "confidence above 1": _array(lambda a: np.concatenate([a, np.full((6, 1, 4, 1), 2)], -1)),
        "a list beside it": (NPY_ABOUT, lambda data: b"[]"),
        "names in numbers": (NPY_ABOUT, in_json(lambda d: d.update(joint_names=[1, 2, 3, 4]))),
        "parents in a circle": (NPY_ABOUT, in_json(lambda d: d.update(parents=[1, 0, 1, 0]))),
        "an unknown unit": (NPY_ABOUT, in_json(lambda d: d.update(units="furlong"))),
        "a negative rate": (NPY_ABOUT, in_json(lambda d: d.update(fps=-30))),
        "a size of three": (NPY_ABOUT, in_json(lambda d: d.update(image_size=[1, 2, 3]))),
    },
    mended={"a joint that is no number": _array(_first(np.nan)), "infinity": _array(_first(np.inf))},
    complete={NPY_FILE: lambda good, cut: cut == good, NPY_ABOUT: never},
    variants={
        "a person's axis left out": _array(lambda a: a[:, 0]),
        "double precision": _array(lambda a: a.astype(np.float64)),
        "by columns": _array(np.asfortranarray),
        "bytes the other way round": _array(lambda a: a.astype(">f4")),
    },
)

# ------------------------------------------------------------------------------------------------------------- table


def _table(folder: Path) -> None:
    rng = np.random.default_rng(9)
    names = ("nose", "left_hip", "right_hip", "tail")
    lines = ["frame,time,note," + ",".join(f"{name}_{axis}" for name in names for axis in "xyz") + ",unit,up"]
    for frame in range(5):
        cells = [f"{value:.5f}" for value in rng.normal(1.5, 0.3, 12)]
        lines.append(",".join([str(frame), f"{frame / 25:.3f}", "ok", *cells, "m", "+y"]))
    (folder / CSV_FILE).write_text("\n".join(lines) + "\n")


def _table_complete(good: bytes, cut: bytes) -> bool:
    """The rows count: one whose cells are all there, the last perhaps shorter than it was."""
    rows = cut.rstrip().split(b"\n")
    whole = [row for row in rows[1:] if row.count(b",") == good.split(b"\n")[0].count(b",")]
    units_up = [cell for row in whole for cell in (row.split(b",")[-2], row.split(b",")[-1])]
    return bool(whole) and len(rows) - 1 - len(whole) < len(whole) and set(units_up[:2]) == {b"m", b"+y"}


def _cells(column: int, value: bytes, rows: slice = slice(1, None)) -> tuple[str, Change]:
    def change(data: bytes) -> bytes:
        lines = [line.split(b",") for line in data.rstrip().split(b"\n")]
        for line in lines[rows]:
            line[column] = value
        return b"\n".join(map(b",".join, lines)) + b"\n"

    return CSV_FILE, change


TABLE = Sample(
    CSV_FILE,
    _table,
    faults={
        "zero frames": (CSV_FILE, lambda data: data.split(b"\n")[0]),
        "10^9 frames": _cells(0, b"1000000000", slice(1, 2)),
        "wrong variant": (CSV_FILE, lambda data: data.replace(b"_x", b"_a")),
        "nobody": (CSV_FILE, lambda data: re.sub(rb"\d\.\d{5}", b"", data)),
        "a column twice": (CSV_FILE, replace(b"left_hip_x", b"nose_x")),
        "frames in text": _cells(0, b"x"),
        "an unknown unit": _cells(15, b"furlong"),
        "an unknown axis": _cells(16, b"up"),
        "rows too short": (CSV_FILE, lambda data: re.sub(rb",m,.*", b"", data)),
    },
    mended={
        "infinity": _cells(3, b"inf", slice(1, 2)),
        "a word": _cells(3, b"x", slice(1, 2)),
        "an empty cell": _cells(3, b"", slice(1, 2)),
        "too large for float32": _cells(3, b"1e39", slice(1, 2)),
    },
    complete={CSV_FILE: _table_complete},
    variants=spellings(CSV_FILE)
    | {
        "tabs": (CSV_FILE, lambda data: data.replace(b",", b"\t")),
        "semicolons and decimal commas": (CSV_FILE, lambda data: data.replace(b",", b";").replace(b".", b",")),
        "dots in the names": (CSV_FILE, lambda data: re.sub(rb"_([xyz])(?=,)", rb".\1", data)),
        "the coordinate in front": (CSV_FILE, lambda data: re.sub(rb"(\w+)_([xyz])(?=,)", rb"\2_\1", data)),
        "capitals": (CSV_FILE, lambda data: re.sub(rb"_([xyz])(?=,)", lambda found: found[0].upper(), data)),
        "without frames": (CSV_FILE, lambda data: re.sub(rb"^\w+,", b"", data, flags=re.MULTILINE)),
    },
)


# ------------------------------------------------------------------------------------------- VideoPose3D, SMPL, .npz

POSES_FILE, SMPL_FILE = "data_2d_custom_walk.npz", "walk_poses.npz"


def npz(arrays: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=True, **{key: np.asarray(value) for key, value in arrays.items()})
    return buffer.getvalue()


def _videopose3d(folder: Path) -> None:
    clip = np.random.default_rng(10).uniform(100, 900, (4, 17, 2)).astype(np.float32)
    metadata = {"layout_name": "coco", "num_joints": 17, "video_metadata": {"walk.mp4": {"w": 1920, "h": 1080}}}
    (folder / POSES_FILE).write_bytes(npz({"positions_2d": {"walk.mp4": {"custom": [clip]}}, "metadata": metadata}))


def _poses(change: Callable[[np.ndarray], object]) -> tuple[str, Change]:
    """Change the poses of the one clip."""

    def changed(data: bytes) -> bytes:
        with np.load(io.BytesIO(data), allow_pickle=True) as file:
            arrays = {key: file[key] for key in file.files}
        videos = arrays["positions_2d"].item()
        videos["walk.mp4"]["custom"][0] = change(videos["walk.mp4"]["custom"][0].copy())
        return npz({**arrays, "positions_2d": videos})

    return POSES_FILE, changed


def _put(where: tuple[int, ...], value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(array: np.ndarray) -> np.ndarray:
        array[where] = value
        return array

    return change


def _member(name: str, key: str, content: bytes) -> tuple[str, Change]:
    """Another file in the archive."""

    def changed(data: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
            for entry in old.namelist():
                new.writestr(entry, content if entry == f"{key}.npy" else old.read(entry))
        return buffer.getvalue()

    return name, changed


def _header(shape: tuple[int, ...], descr: str) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


VIDEOPOSE3D = Sample(
    POSES_FILE,
    _videopose3d,
    faults={
        "zero frames": _poses(lambda a: a[:0]),
        "10^9 frames": _member(POSES_FILE, "positions_2d", _header((10**9,), "|O")),
        "wrong variant": _poses(lambda a: a[:, :16]),
        "a pickle that calls": _member(POSES_FILE, "positions_2d", _header((), "|O") + b"cos\nsystem\n(S'true'\ntR."),
        "a pickle that ends": _member(POSES_FILE, "positions_2d", _header((), "|O") + b"\x80\x04}"),
        "a list of poses": _member(POSES_FILE, "positions_2d", npy(np.array([[1, 2], [3, 4]]))),
        "poses in text": _poses(lambda a: a.astype(str)),
        "poses in a list": _poses(lambda a: a.tolist()),
        "one coordinate": _poses(lambda a: a[..., :1]),
    },
    mended={
        "infinity": _poses(_put((1, 2, 0), np.inf)),
        "a joint that is no number": _poses(_put((1, 2, 0), np.nan)),
    },
    complete={POSES_FILE: lambda good, cut: cut == good},
)


def _smpl(folder: Path) -> None:
    rng = np.random.default_rng(11)
    arrays = {"poses": rng.normal(size=(5, 72)), "trans": rng.normal(size=(5, 3)), "mocap_framerate": 120.0}
    (folder / SMPL_FILE).write_bytes(npz({**arrays, "joints": rng.normal(size=(5, 24, 3)).astype(np.float32)}))


def _joints(change: Callable[[np.ndarray], np.ndarray]) -> tuple[str, Change]:
    def changed(data: bytes) -> bytes:
        with np.load(io.BytesIO(data)) as file:
            return npz({**file, "joints": change(file["joints"])})

    return SMPL_FILE, changed


def _without_joints(data: bytes) -> bytes:
    with np.load(io.BytesIO(data)) as file:
        return npz({key: file[key] for key in file.files if key != "joints"})


SMPL = Sample(
    SMPL_FILE,
    _smpl,
    faults={
        "NUL bytes": (SMPL_FILE, lambda data: data[:-8] + bytes(8)),
        "zero frames": _joints(lambda a: a[:0]),
        "10^9 frames": _member(SMPL_FILE, "joints", _header((10**9, 24, 3), "<f4")),
        "wrong variant": _joints(lambda a: a[:, :20]),
        "no joints": (SMPL_FILE, _without_joints),
        "two coordinates": _joints(lambda a: a[..., :2]),
        "Python objects": _joints(lambda a: a.astype(object)),
    },
    mended={
        "infinity": _joints(_put((1, 2, 0), np.inf)),
        "a joint that is no number": _joints(_put((1, 2, 0), np.nan)),
    },
    complete={SMPL_FILE: lambda good, cut: cut == good},
    variants={"double precision": _joints(lambda a: a.astype(np.float64))},
)

# ------------------------------------------------------------------------------------------------------- Azure Kinect

AZURE_FILE, MVNX_FILE = "walk_azure.json", "walk.mvnx"


def _azure_kinect(folder: Path) -> None:
    rng = np.random.default_rng(12)
    places = rng.normal(1000, 200, (2, 32, 3))
    frames = []
    for k in range(5):
        moved = [(places[j] + 10 * k).round(3).tolist() for j in range(2)]
        bodies = [{"body_id": j + 1, "joint_positions": moved[j]} for j in range(2) if (k, j) != (2, 1)]
        about = {"frame_id": k, "num_bodies": len(bodies), "timestamp_usec": 100_000 + 33_333 * k}
        frames.append({"bodies": bodies, **about})
    names = ["K4ABT_JOINT_PELVIS", "K4ABT_JOINT_SPINE_NAVEL"]
    (folder / AZURE_FILE).write_text(json.dumps({"joint_names": names, "frames": frames}, indent=0) + "\n")


def _azure(change: Callable[[dict], object]) -> tuple[str, Change]:
    return AZURE_FILE, in_json(change)


AZURE_KINECT = Sample(
    AZURE_FILE,
    _azure_kinect,
    faults={
        "zero frames": _azure(lambda d: d.update(frames=[])),
        "10^9 frames": _azure(lambda d: d.update(frames=10**9)),
        "wrong variant": _azure(
            lambda d: [b.update(joint_positions=b["joint_positions"][:25]) for f in d["frames"] for b in f["bodies"]]
        ),
        "nobody": _azure(lambda d: [f.update(bodies=[]) for f in d["frames"]]),
        "no frames": _azure(lambda d: d.pop("frames")),
        "bodies that are numbers": _azure(lambda d: d["frames"][0].update(bodies=[1, 2])),
        "a list": (AZURE_FILE, lambda data: b"[1]"),
    },
    mended={
        "infinity": _azure(lambda d: d["frames"][1]["bodies"][0]["joint_positions"][3].__setitem__(0, float("inf"))),
        "a joint that is null": _azure(
            lambda d: d["frames"][1]["bodies"][0]["joint_positions"][3].__setitem__(0, None)
        ),
        "a body of 31 joints": _azure(lambda d: d["frames"][1]["bodies"][0]["joint_positions"].pop()),
        "a frame that is a number": _azure(lambda d: d["frames"].append(3)),
    },
    complete={AZURE_FILE: never},
    variants=spellings(AZURE_FILE)
    | {"all on one line": (AZURE_FILE, lambda data: json.dumps(json.loads(data)).encode())},
)

# -------------------------------------------------------------------------------------------------------------- MVNX

SEGMENTS = ["Pelvis", "L5", "L3", "T12", "T8", "Neck", "Head"]
SEGMENTS += [f"{side}{bone}" for side in ("Right", "Left") for bone in ("Shoulder", "UpperArm", "ForeArm", "Hand")]
SEGMENTS += [f"{side}{bone}" for side in ("Right", "Left") for bone in ("UpperLeg", "LowerLeg", "Foot", "Toe")]


def mvnx_text(joints: np.ndarray, rate: str = "60", segments: list[str] = SEGMENTS) -> str:
    """MVNX of joints ``[T, V, 3]``, with the poses that stand before the frames that count."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<mvnx xmlns="http://www.xsens.com/mvn/mvnx" version="4">']
    lines += [f'<subject label="Anna" frameRate="{rate}" segmentCount="{len(segments)}">', "<segments>"]
    lines += [f'<segment id="{k + 1}" label="{name}"><points/></segment>' for k, name in enumerate(segments)]
    lines += ["</segments>", f'<frames segmentCount="{len(segments)}">']
    still = " ".join(["0"] * 3 * len(segments))
    lines.append(f'<frame time="0" type="tpose"><position>{still}</position></frame>')
    for k, frame in enumerate(joints):
        cells = " ".join(f"{value:.6f}" for value in frame.ravel())
        lines += [f'<frame time="{16 * k}" index="{k}" type="normal">', "<orientation>1 0 0 0</orientation>"]
        lines += [f"<position>{cells}</position>", "</frame>"]
    return "\n".join([*lines, "</frames>", "</subject>", "</mvnx>"]) + "\n"


def _mvnx(folder: Path) -> None:
    (folder / MVNX_FILE).write_text(mvnx_text(np.random.default_rng(13).normal(size=(4, 23, 3))))


def _mvnx_complete(good: bytes, cut: bytes) -> bool:
    """The frames count: one whose position is whole."""
    return cut.count(b"</position>") > 1


def _laughs(data: bytes) -> bytes:
    """Nine levels of ten entities each: 10^9 frames once they are expanded."""
    frame = "<frame type='normal'><position>1 2 3</position></frame>"
    entities = [f'<!ENTITY a0 "{frame}">', *(f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 10))]
    head, _, rest = data.partition(b"<mvnx")
    rest = rest.replace(b"</frames>", b"&a9;</frames>")
    return head + f"<!DOCTYPE mvnx [{''.join(entities)}]>".encode() + b"<mvnx" + rest


def _first_position(old: bytes, new: bytes) -> tuple[str, Change]:
    return MVNX_FILE, lambda data: re.sub(rb"(0</orientation>\n<position>)" + old, rb"\g<1>" + new, data, count=1)


MVNX = Sample(
    MVNX_FILE,
    _mvnx,
    faults={
        "zero frames": (MVNX_FILE, lambda data: data.replace(b'type="normal"', b'type="identity"')),
        "10^9 frames": (MVNX_FILE, _laughs),
        "wrong variant": (MVNX_FILE, lambda data: re.sub(rb'<segment id="7".*\n', b"", data)),
        "no segments": (MVNX_FILE, lambda data: data.replace(b"segment ", b"sensor ").replace(b"segment>", b"sensor>")),
        "no subject": (MVNX_FILE, lambda data: data.replace(b"subject", b"object")),
        "two thousand segments": (
            MVNX_FILE,
            lambda data: re.sub(rb'(<segment id="7".*\n)', lambda found: found[1] * 2000, data),
        ),
    },
    mended={
        "infinity": _first_position(rb"\S+", b"inf"),
        "a frame too short": _first_position(rb"\S+ ", b""),
        "a word": _first_position(rb"\S+", b"x"),
    },
    complete={MVNX_FILE: _mvnx_complete},
    variants={name: change for name, change in spellings(MVNX_FILE).items() if name != "byte-order mark"}
    | {
        "a prefix": (
            MVNX_FILE,
            lambda data: re.sub(rb"<(/?)(?=[a-z])", rb"<\1m:", data).replace(b"xmlns=", b"xmlns:m="),
        ),
        "on one line": (MVNX_FILE, lambda data: data.replace(b"\n", b" ")),
    },
)


MOCAP: dict[str, Sample] = {
    "asf_amc": ASF_AMC,
    "azure_kinect": AZURE_KINECT,
    "c3d": C3D,
    "msr_action3d": MSR_ACTION3D,
    "mvnx": MVNX,
    "npy": NPY,
    "penn_action": PENN_ACTION,
    "smpl": SMPL,
    "table": TABLE,
    "trc": TRC,
    "utd_mhad": UTD_MHAD,
    "videopose3d": VIDEOPOSE3D,
}
