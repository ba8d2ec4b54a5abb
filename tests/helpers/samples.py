"""A small good file of every format and its faults: a new reader is one more entry of ``SAMPLES``.

An entry makes the file and knows the faults that only its format can have; the faults that every file can have (empty,
cut short, NUL bytes, noise) the tests make by themselves in each file that the entry names.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from helpers.detectors import COCO, MEDIAPIPE, OPENPOSE
from helpers.freemocap import FREEMOCAP
from helpers.gltf import GLTF
from helpers.mocap import MOCAP
from helpers.pose_results import POSE_RESULTS
from helpers.sample import Change, Sample, in_json, never, replace, spellings

NTU_FILE, NW_FILE, BVH_FILE = "S001C002P003R002A013.skeleton", "a08_s02_e01_v03.json", "walk.bvh"
PKU_FILE, PKU_LABELS = "0105-L.txt", "labels/0105-L.txt"
NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)

# ------------------------------------------------------------------------------------------------------------ NTU


def ntu_text(frames: list[list[np.ndarray]]) -> str:
    """Text of an NTU recording: per frame a list of bodies, each ``[25, 3]``."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for k, body in enumerate(bodies):
            lines += [f"7205759403793110{k} 0 1 1 1 1 0 0.02764709 0.05745083 2", "25"]
            lines += [
                f"{x:.7g} {y:.7g} {z:.7g} 277.419 191.8218 1036.233 519.1677 -0.2059419 0.0534 0.96 -0.12 2"
                for x, y, z in body
            ]
    return "\n".join(lines) + "\n"


def _ntu(folder: Path) -> None:
    rng = np.random.default_rng(0)
    bodies = rng.normal(size=(4, 2, 25, 3))
    frames = [[], list(bodies[0]), list(bodies[1][:1]), [], list(bodies[3])]
    (folder / NTU_FILE).write_text(ntu_text(frames))


def _ntu_rows(change: Change) -> Change:
    """Change every line of a joint (they are the long ones)."""
    return lambda data: b"\n".join(change(line) if line.count(b" ") == 11 else line for line in data.split(b"\n"))


NTU = Sample(
    NTU_FILE,
    _ntu,
    faults={
        "infinity": (NTU_FILE, _ntu_rows(lambda row: b"-inf " + row.split(b" ", 1)[1])),
        "zero frames": (NTU_FILE, lambda data: b"0\n"),
        "10^9 frames": (NTU_FILE, lambda data: b"1000000000" + data[1:]),
        "wrong variant": (NTU_FILE, lambda data: data.replace(b"\n25\n", b"\n20\n")),
        "eleven columns": (NTU_FILE, _ntu_rows(lambda row: row.rsplit(b" ", 1)[0])),
        "too large for float32": (NTU_FILE, _ntu_rows(lambda row: b"1e39 " + row.split(b" ", 1)[1])),
        "one frame more than announced": (NTU_FILE, lambda data: data + b"0\n"),
        "a thousand bodies": (NTU_FILE, lambda data: b"1\n1000\n"),
        "a body without a number": (NTU_FILE, replace(b"\n25\n", b"\n0x19\n")),
    },
    complete={NTU_FILE: never},
    variants=spellings(NTU_FILE)
    | {
        "tabs": (NTU_FILE, lambda data: data.replace(b" ", b"\t ")),
        "plus signs": (NTU_FILE, lambda data: data.replace(b" 0.0276", b" +0.0276")),
        "other columns without a value": (NTU_FILE, lambda data: data.replace(b"277.419", b"NaN")),
    },
)


# ------------------------------------------------------------------------------------------------------------ PKU


def _pku(folder: Path) -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=150) + rng.normal(scale=0.1, size=(8, 150))  # who stay who they are
    rows[:, 75:] += 5
    rows[2:4, 75:] = 0  # no second body in two frames
    rows[5] = 0  # nobody
    (folder / PKU_FILE).write_text("\n".join(" ".join(f"{x:.6f}" for x in row) for row in rows) + "\n")
    (folder / "labels").mkdir()
    (folder / PKU_LABELS).write_text("26,1,4,2\n18,4,8,1\n")


def _pku_complete(good: bytes, cut: bytes) -> bool:
    """No count of frames: as many lines as the labels ask for. What is torn off the last one costs that frame."""
    return len(cut.split(b"\n")) >= 8 and bool(cut.split(b"\n")[7].strip())


def _label_complete(good: bytes, cut: bytes) -> bool:
    """No count of clips: whole lines, and the confidence at the end of a line may be missing."""
    return all(
        re.fullmatch(rb"\d+,\d+,\d+(,\d+)?", line) and float(line.split(b",")[1]) <= float(line.split(b",")[2])
        for line in cut.splitlines()
    )


PKU_MMD = Sample(
    PKU_FILE,
    _pku,
    faults={
        "infinity": (PKU_FILE, lambda data: b"Infinity" + data[data.index(b" ") :]),
        "zero frames": (PKU_FILE, lambda data: b"\n\n"),
        "10^9 frames": (PKU_LABELS, lambda data: b"26,1,1000000000,2\n"),
        "wrong variant": (PKU_FILE, lambda data: re.sub(rb"((\S+ ){75}).*", rb"\1", data)),
        "too large for float32": (PKU_FILE, lambda data: b"1e39" + data[data.index(b" ") :]),
        "a clip that ends before it begins": (PKU_LABELS, lambda data: b"26,4,1,2\n"),
        "a clip of no frame": (PKU_LABELS, lambda data: b"26,0,0,2\n"),
        "a label without numbers": (PKU_LABELS, lambda data: b"class,first,last\n"),
        "a label with half a frame": (PKU_LABELS, lambda data: b"26,1.5,4,2\n"),
    },
    complete={PKU_FILE: _pku_complete, PKU_LABELS: _label_complete},
    variants=spellings(PKU_FILE)
    | {f"labels: {name}": (PKU_LABELS, change) for name, (_, change) in spellings("").items()}
    | {"labels in floating point": (PKU_LABELS, lambda data: b"26.0,1.0,4.0,2.0\n18,4,8,1\n")},
)


# --------------------------------------------------------------------------------------------------------- N-UCLA


def _nw_ucla(folder: Path) -> None:
    skeletons = np.random.default_rng(2).normal(size=(4, 20, 3)).round(6).tolist()
    (folder / NW_FILE).write_text(
        json.dumps({"file_name": "a08_s02_e01_v03", "skeletons": skeletons, "label": 7}, indent=0) + "\n"
    )


NW_UCLA = Sample(
    NW_FILE,
    _nw_ucla,
    faults={
        "infinity": (NW_FILE, in_json(lambda d: d["skeletons"][1][2].__setitem__(0, float("-inf")))),
        "zero frames": (NW_FILE, in_json(lambda d: d.update(skeletons=[]))),
        "10^9 frames": (NW_FILE, in_json(lambda d: d.update(skeletons=10**9))),
        "wrong variant": (NW_FILE, in_json(lambda d: d.update(skeletons=[f[:15] for f in d["skeletons"]]))),
        "an unknown label": (NW_FILE, in_json(lambda d: d.update(label=11))),
        "no skeletons": (NW_FILE, in_json(lambda d: d.pop("skeletons"))),
        "a list": (NW_FILE, lambda data: b"[1, 2]"),
        "deeper than any stack": (NW_FILE, lambda data: b"[" * 100_000),
        "a number of 5000 digits": (NW_FILE, replace(b'"label": 7', b'"label": ' + b"7" * 5000)),
        "too large for float32": (NW_FILE, in_json(lambda d: d["skeletons"][1][2].__setitem__(0, 1e39))),
    },
    complete={NW_FILE: never},
    variants=spellings(NW_FILE) | {"all on one line": (NW_FILE, lambda data: json.dumps(json.loads(data)).encode())},
)


# --------------------------------------------------------------------------------------------------------- arrays


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping | None) -> None:
    """Write NAME.npz and NAME.json."""
    path.write_bytes(npz(arrays))
    if about is not None:
        path.with_suffix(".json").write_text(json.dumps(about, indent=0) + "\n")


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def _arrays(folder: Path) -> None:
    rng = np.random.default_rng(3)
    joints = rng.normal(size=(9, 4, 3)).astype(np.float16)
    joints[4] = 0
    arrays = {
        "joints": joints,
        "offsets": np.array([0, 4, 9]),
        "labels": np.array([1, 0], np.int16),
        "subjects": np.array([0, 3]),
        "views": np.array([1, 2]),
        "reps": np.array([1, 1]),
        "names": np.array(["a", "b"]),
        "styles": np.array([1, 0]),
    }
    about = {
        "joint_names": ["Hips", "Spine", "Head", "Tail"],
        "parents": [-1, 0, 1, 0],
        "class_names": ["run", "jump"],
        "units": "m",
        "up": "+y",
        "fps": 30,
        "style_names": ["old", "young"],
        "splits": {},
    }
    write_arrays(folder / "set.npz", arrays, about)


def _npz(change: Callable[[dict[str, np.ndarray]], None]) -> Change:
    def changed(data: bytes) -> bytes:
        with np.load(io.BytesIO(data)) as file:
            arrays = dict(file)
        change(arrays)
        return npz(arrays)

    return changed


def _claim(shape: tuple[int, ...]) -> Change:
    """Only the header of ``joints`` says that there is so much."""

    def changed(data: bytes) -> bytes:
        with np.load(io.BytesIO(data)) as file:
            arrays = dict(file)
        header, buffer = io.BytesIO(), io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
        with zipfile.ZipFile(buffer, "w") as file:
            file.writestr("joints.npy", header.getvalue() + arrays.pop("joints").astype(np.float32).tobytes())
            for name, array in arrays.items():
                part = io.BytesIO()
                np.save(part, array)
                file.writestr(f"{name}.npy", part.getvalue())
        return buffer.getvalue()

    return changed


def _set(key: str, value: object) -> Change:
    return _npz(lambda arrays: arrays.__setitem__(key, np.array(value)))


def _first(value: float) -> Change:
    return _npz(lambda arrays: arrays["joints"].__setitem__((1, 2, 0), value))


ARRAYS = Sample(
    "set.npz",
    _arrays,
    faults={
        "infinity": ("set.npz", _first(np.inf)),
        "zero frames": ("set.npz", _npz(lambda a: a.update(joints=a["joints"][:0], offsets=np.array([0, 0, 0])))),
        "10^9 frames": ("set.npz", _claim((10**9, 4, 3))),
        "wrong variant": ("set.npz", _npz(lambda a: a.update(joints=a["joints"][:, :3]))),
        "a clip without frames": ("set.npz", _set("offsets", [0, 0, 9])),
        "offsets beyond the end": ("set.npz", _set("offsets", [0, 4, 10**9])),
        "offsets that go back": ("set.npz", _set("offsets", [0, 10, 9])),
        "offsets in text": ("set.npz", _set("offsets", ["0", "4", "9"])),
        "one label too few": ("set.npz", _set("labels", [1])),
        "an unknown class": ("set.npz", _set("labels", [0, 2])),
        "labels in text": ("set.npz", _set("labels", ["run", "jump"])),
        "one coordinate": ("set.npz", _npz(lambda a: a.update(joints=a["joints"][..., :1]))),
        "joints in whole numbers": ("set.npz", _npz(lambda a: a.update(joints=a["joints"].astype(np.int32)))),
        "no joints": ("set.npz", _npz(lambda a: a.pop("joints"))),
        "python objects": ("set.npz", _npz(lambda a: a.update(labels=np.array([{}, {}], dtype=object)))),
        "confidence above 1": ("set.npz", _npz(lambda a: a.update(visibility=np.full((9, 4), 2)))),
        "confidence of another shape": ("set.npz", _npz(lambda a: a.update(visibility=np.ones((9, 3))))),
        "joint names missing": ("set.json", in_json(lambda d: d.pop("joint_names"))),
        "parents that run in a circle": ("set.json", in_json(lambda d: d.update(parents=[1, 0, 1, 0]))),
        "an unknown unit": ("set.json", in_json(lambda d: d.update(units="furlong"))),
        "an unknown up axis": ("set.json", in_json(lambda d: d.update(up=["+y"]))),
        "a negative frame rate": ("set.json", in_json(lambda d: d.update(fps=-30))),
        "class names in numbers": ("set.json", in_json(lambda d: d.update(class_names=[1, 2]))),
        "a list": ("set.json", lambda data: b"[]"),
    },
    complete={"set.npz": lambda good, cut: cut == good, "set.json": never},
    variants={
        f"description: {name}": ("set.json", change)
        for name, (_, change) in spellings("").items()
        if name != "byte-order mark"
    }
    | {"uncompressed": ("set.npz", _claim((9, 4, 3)))},
)


# ------------------------------------------------------------------------------------------------------------ BVH

BVH_TEXT = """HIERARCHY
ROOT mixamorig:Hips
{
\tOFFSET 0.00 0.00 0.00
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
\tJOINT left up leg
\t{
\t\tOFFSET 1.5 -2.25 0.5
\t\tCHANNELS 3 Zrotation Xrotation Yrotation
\t\tEnd Site
\t\t{
\t\t\tOFFSET 0.0 -4.0 0.125
\t\t}
\t}
}
MOTION
Frames: 3
Frame Time: 0.0333333
1.0 2.0 3.0 10.0 20.0 30.0 -40.0 50.0 60.0
1.5 2.5 3.5 11.0 21.0 31.0 -41.0 51.0 61.25
1.5 2.5 3.5 -11.0 21.0 -31.0 41.0 151.0 -161.25
"""


def _bvh(folder: Path) -> None:
    (folder / BVH_FILE).write_text(BVH_TEXT)


def _bvh_complete(good: bytes, cut: bytes) -> bool:
    """The rows count, whatever the file announces: one that is whole, the last number perhaps shorter than it was."""
    _, _, rows = cut.partition(b"0.0333333")
    return len(rows.split()) >= 9


BVH = Sample(
    BVH_FILE,
    _bvh,
    faults={
        "infinity": (BVH_FILE, replace(b"61.25", b"inf")),
        "10^9 frames": (
            BVH_FILE,
            lambda data: data[: data.index(b"1.0 2.0")].replace(b"Frames: 3", b"Frames: 1000000000"),
        ),
        "zero frames": (BVH_FILE, lambda data: data[: data.index(b"1.0 2.0")].replace(b"Frames: 3", b"Frames: 0")),
        "wrong variant": (
            BVH_FILE,
            replace(b"CHANNELS 3 Zrotation Xrotation Yrotation", b"CHANNELS 3 Qrotation Xrotation Yrotation"),
        ),
        "a negative frame time": (BVH_FILE, replace(b"Time: 0", b"Time: -0")),
        "frame time 0": (BVH_FILE, replace(b"0.0333333", b"0")),
        "a brace too few": (BVH_FILE, replace(b"}\nMOTION", b"\nMOTION")),
        "a brace too many": (BVH_FILE, replace(b"}\nMOTION", b"}}\nMOTION")),
        "two roots": (BVH_FILE, replace(b"JOINT", b"ROOT")),
        "channels that are not there": (BVH_FILE, replace(b"CHANNELS 3", b"CHANNELS 4")),
        "a position twice": (BVH_FILE, replace(b"Yposition Zposition", b"Xposition Zposition")),
        "an offset of two numbers": (BVH_FILE, replace(b"OFFSET 1.5 -2.25 0.5", b"OFFSET 1.5 -2.25")),
        "an offset in text": (BVH_FILE, replace(b"OFFSET 1.5", b"OFFSET x")),
        "an infinite offset": (BVH_FILE, replace(b"OFFSET 1.5", b"OFFSET inf")),
        "a skeleton only": (BVH_FILE, lambda data: data[: data.index(b"MOTION")]),
        "a motion only": (BVH_FILE, lambda data: data[data.index(b"MOTION") :]),
        "too large for float32": (BVH_FILE, replace(b"1.0 2.0", b"1e39 2.0")),
        "too large for float64": (BVH_FILE, replace(b"1.0 2.0", b"1e308 1e308")),
    },
    complete={BVH_FILE: _bvh_complete},
    variants=spellings(BVH_FILE)
    | {
        "lower case": (BVH_FILE, lambda d: d.replace(b"Xrotation", b"xrotation").replace(b"End Site", b"end site")),
        "braces on the line of the name": (BVH_FILE, lambda d: re.sub(rb"\n\s*\{", b" {", d)),
        "all numbers on one line": (
            BVH_FILE,
            lambda d: d[: d.index(b"1.0 2.0")] + d[d.index(b"1.0 2.0") :].replace(b"\n", b" "),
        ),
        "decimal commas": (BVH_FILE, lambda d: re.sub(rb"(?<=\d)\.(?=\d)", b",", d)),
        "tabs": (BVH_FILE, lambda d: d.replace(b"Frames: ", b"Frames:\t").replace(b"Time: ", b"Time:\t")),
    },
)

SAMPLES: dict[str, Sample] = {
    "ntu": NTU,
    "pku_mmd": PKU_MMD,
    "nw_ucla": NW_UCLA,
    "arrays": ARRAYS,
    "bvh": BVH,
    "openpose": OPENPOSE,
    "coco": COCO,
    "mediapipe": MEDIAPIPE,
    "freemocap": FREEMOCAP,
    "gltf": GLTF,
    **MOCAP,
    **POSE_RESULTS,
}
