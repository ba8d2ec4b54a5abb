"""Samples of further formats of pose detectors and of the data sets made with them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from helpers.detectors import detections, item, json_faults, number_faults
from helpers.mocap import claim, in_mat, mat
from helpers.sample import Change, Sample, in_json, never, spellings


def _alphapose(folder: Path) -> None:
    entries = [
        {
            "image_id": f"{3 + 2 * k}.jpg",
            "category_id": 1,
            "keypoints": body.ravel().tolist(),
            "score": 1.5,
            "box": [1.0, 2.0, 30.0, 40.0],
            "idx": [float(m)],
        }
        for k, bodies in enumerate(detections(7, 4, 2, 17))
        for m, body in enumerate(bodies)
    ]
    (folder / "alphapose-results.json").write_text(json.dumps(entries, indent=0) + "\n")


ALPHA = "alphapose-results.json"
ALPHAPOSE = Sample(
    ALPHA,
    _alphapose,
    faults=json_faults(ALPHA)
    | {
        "zero frames": (ALPHA, lambda data: b"[]"),
        "wrong variant": (ALPHA, lambda data: data.replace(b'"keypoints"', b'"points"')),
        "most people of another number of joints": (
            ALPHA,
            in_json(lambda d: [entry.update(keypoints=[1.5] * 48) for entry in d[:5]]),
        ),
        "no names of images": (ALPHA, in_json(lambda d: [entry.update(image_id=None) for entry in d])),
    },
    mended=number_faults(ALPHA, 1, "keypoints", 0)
    | {
        "10^9 frames": (ALPHA, item(7, put="x")),
        "another number of joints": (ALPHA, item(1, "keypoints", put=[1.5] * 78)),
        "no keypoints": (ALPHA, item(1, "keypoints", put=None)),
        "an entry in text": (ALPHA, item(1, put="x")),
        "an image without a name": (ALPHA, item(1, "image_id", put=[])),
    },
    complete={ALPHA: never},
    variants=spellings(ALPHA)
    | {
        "nested ids": (ALPHA, in_json(lambda d: [entry.update(idx=[entry["idx"]]) for entry in d])),
        "plain ids": (ALPHA, in_json(lambda d: [entry.update(idx=entry["idx"][0]) for entry in d])),
        "nested keypoints": (
            ALPHA,
            in_json(
                lambda d: [entry.update(keypoints=np.reshape(entry["keypoints"], (17, 3)).tolist()) for entry in d]
            ),
        ),
        "in another order": (ALPHA, lambda data: json.dumps(json.loads(data)[::-1]).encode()),
    },
)


def pickled_clips() -> dict:
    """Two annotations of a pose detector and their splits, as PYSKL has them."""
    found = detections(8, 2, 5, 2, 17).astype(np.float32)  # clips, frames, persons
    names = ("a", "b")
    clips = [
        {
            "frame_dir": name,
            "label": k,
            "total_frames": 5,
            "img_shape": (480, 640),
            "original_shape": (480, 640),
            "keypoint": np.ascontiguousarray(bodies[..., :2].swapaxes(0, 1)),
            "keypoint_score": np.ascontiguousarray(bodies[..., 2].swapaxes(0, 1)),
        }
        for k, (name, bodies) in enumerate(zip(names, found))
    ]
    return {"split": {"xsub_train": ["a"], "xsub_val": ["b"]}, "annotations": clips}


def _pyskl(folder: Path) -> None:
    (folder / "clips.pkl").write_bytes(pickle.dumps(pickled_clips(), 4))


def _in_pickle(change: Callable[[dict], object]) -> tuple[str, Change]:
    def changed(data: bytes) -> bytes:
        content = pickle.loads(data)
        made = change(content)
        return pickle.dumps(content if made is None else made, 4)

    return "clips.pkl", changed


def _in_clips(**put: object) -> tuple[str, Change]:
    return _in_pickle(lambda content: [clip.update(put) for clip in content["annotations"]] and None)


class Call:
    """Pickled, it is a call of any function."""

    def __init__(self, called: object, *arguments: object):
        self.called, self.arguments = called, arguments

    def __reduce__(self) -> tuple:
        return self.called, self.arguments


PYSKL = Sample(
    "clips.pkl",
    _pyskl,
    faults={
        "zero frames": _in_clips(keypoint=np.zeros((1, 0, 17, 2), np.float32)),
        "10^9 frames": (
            "clips.pkl",
            lambda data: data.replace(b"K\x02K\x05K\x11K\x02", b"K\x02J\x00\xca\x9a;K\x11K\x02"),
        ),
        "wrong variant": _in_clips(keypoint=np.ones((1, 5, 16, 2), np.float32)),
        "NUL bytes": ("clips.pkl", lambda data: bytes(8) + data[8:]),  # among its numbers nothing can tell
        "a call": _in_pickle(lambda content: content["annotations"][1].update(label=Call(exec, "raise SystemExit"))),
        "a class": _in_pickle(lambda content: content["annotations"][1].update(label=Path("x"))),
        "deeper than any stack": ("clips.pkl", lambda data: data[:2] + b"annotations" + b"]" * 100_000),
        "tuples deeper than any stack": ("clips.pkl", lambda data: b"\x80\x02N" + b"\x85" * 100_000 + b"}keypoint."),
        "a text": _in_pickle(lambda content: "annotations"),
        "no annotations": _in_pickle(lambda content: content.pop("annotations") and None),
        "annotations in text": _in_pickle(lambda content: content.update(annotations="x")),
        "a table of contents": _in_pickle(
            lambda content: [clip.pop("keypoint") for clip in content["annotations"]] and None
        ),
        "keypoints in lists": _in_clips(keypoint=[[[[1.0, 2.0]]]]),
        "keypoints of objects": _in_clips(keypoint=np.array([[[[{}, {}]]]], object)),
        "scores of another shape": _in_clips(keypoint_score=np.ones((1, 5, 17), np.float32)),
        "four coordinates": _in_clips(keypoint=np.ones((1, 5, 17, 4), np.float32)),
    },
    mended={
        "infinity": _in_pickle(lambda c: c["annotations"][0]["keypoint"].__setitem__((0, 1, 2, 0), -np.inf)),
        "NaN": _in_pickle(lambda c: c["annotations"][0]["keypoint"].__setitem__((0, 1, 2, 0), np.nan)),
        "an image of text": _in_pickle(lambda c: c["annotations"][0].update(img_shape=("x", "y"))),
    },
    complete={"clips.pkl": lambda good, cut: cut == good},
    variants={
        f"protocol {protocol}": (
            "clips.pkl",
            lambda data, protocol=protocol: pickle.dumps(pickle.loads(data), protocol),
        )
        for protocol in (0, 1, 2, 3, 5)
    }
    | {
        "fortran order": _in_pickle(
            lambda c: [clip.update(keypoint=np.asfortranarray(clip["keypoint"])) for clip in c["annotations"]] and None
        ),
        "the other order of bytes": _in_pickle(
            lambda c: [clip.update(keypoint=clip["keypoint"].astype(">f4")) for clip in c["annotations"]] and None
        ),
        "only the annotations": _in_pickle(lambda content: content["annotations"]),
    },
)

SCENE = "take/body3DScene_{:08d}.json"
SCORES = ("bodies", 0, "joints19")


def _panoptic(folder: Path) -> None:
    (folder / "take").mkdir()
    place = np.random.default_rng(9).normal(0, 40, (2, 19, 3)) + 200 * np.arange(2)[:, None, None]
    for k in range(3):
        people = np.concatenate([place + k, np.full((2, 19, 1), 0.5)], -1).round(3)
        people[0, 8] = (0, 0, 0, -1)
        bodies = [{"id": m, "joints19": body.ravel().tolist()} for m, body in enumerate(people)]
        content = {"version": 0.7, "univTime": 33.4 * k, "fpsType": "hd_29_97", "bodies": bodies}
        (folder / SCENE.format(k)).write_text(json.dumps(content, indent=0) + "\n")


PANOPTIC = Sample(
    "take",
    _panoptic,
    faults={},
    mended=number_faults(SCENE.format(1), *SCORES, 0)
    | json_faults(SCENE.format(1))
    | {
        "zero frames": (SCENE.format(1), lambda data: b"{}"),
        "10^9 frames": (SCENE.format(1), item("bodies", put=10**9)),
        "wrong variant": (SCENE.format(1), lambda data: data.replace(b'"bodies"', b'"persons"')),
        "a number too few": (SCENE.format(1), item(*SCORES, 75, put=...)),
        "another layout": (SCENE.format(1), item(*SCORES, put=[1.5] * 60)),
        "bodies in text": (SCENE.format(1), item("bodies", put=["x"])),
        "a list": (SCENE.format(1), lambda data: b'[1, 2, "univTime"]'),
    },
    complete={SCENE.format(0): never, SCENE.format(2): never},
    frames=True,
    variants=spellings(SCENE.format(0)),
)

HOME = "Cook.Cut_p03_r01_v07_c02_pose3d.json"


def _smarthome(folder: Path) -> None:
    rng = np.random.default_rng(10)
    place = rng.normal(0, 0.4, (2, 13, 3)) + 3 * np.arange(2)[:, None, None]
    frames = [
        [
            {
                "pose2d": (200 + 100 * body[:, :2]).T.ravel().round(3).tolist(),
                "pose3d": body.T.ravel().round(5).tolist(),
                "cumscore": 3.2,
            }
            for body in place + 0.01 * k
        ][: 1 + k % 2]
        for k in range(4)
    ]
    (folder / HOME).write_text(json.dumps({"K": 100, "njts": 13, "frames": frames}, indent=0) + "\n")


POSE = ("frames", 1, 0, "pose3d")
SMARTHOME = Sample(
    HOME,
    _smarthome,
    faults=json_faults(HOME)
    | {
        "zero frames": (HOME, item("frames", put=[])),
        "10^9 frames": (HOME, item("frames", put=10**9)),
        "wrong variant": (HOME, lambda data: data.replace(b'"frames"', b'"images"')),
        "most people of another number of joints": (
            HOME,
            in_json(lambda d: [p.update(pose3d=[1.5] * 45) for frame in d["frames"][:3] for p in frame]),
        ),
    },
    mended=number_faults(HOME, *POSE, 0)
    | {
        "another number of joints": (HOME, item(*POSE, put=[1.5] * 45)),
        "a person in text": (HOME, item("frames", 3, put=["x", *[{"pose3d": [0.5] * 39}] * 2])),
        "a frame in text": (HOME, item("frames", 0, put="x")),
    },
    complete={HOME: never},
    variants=spellings(HOME),
)

PUPPET = "joint_positions.mat"


def _jhmdb(folder: Path) -> None:
    joints = np.random.default_rng(11).uniform(20, 200, (2, 15, 1)) + np.arange(5.0)
    world = np.zeros((2, 15, 5))
    (folder / PUPPET).write_bytes(mat({"pos_img": joints, "pos_world": world, "scale": np.ones((1, 5))}))


def _in_puppet(change: Callable[[np.ndarray], object]) -> tuple[str, Change]:
    return PUPPET, in_mat(lambda d: d.update(pos_img=change(d["pos_img"])))


def _put(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def change(joints: np.ndarray) -> np.ndarray:
        joints = joints.astype(np.float64)
        joints[0, 2, 1] = value
        return joints

    return change


JHMDB = Sample(
    PUPPET,
    _jhmdb,
    faults={
        "zero frames": _in_puppet(lambda joints: joints[..., :0]),
        "10^9 frames": (PUPPET, claim("pos_img", (2, 10**9))),
        "wrong variant": _in_puppet(lambda joints: joints[:, :13]),
        "no joints": (PUPPET, in_mat(lambda d: d.update(other=d.pop("pos_img")))),
        "joints in text": _in_puppet(lambda joints: "x"),
        "too large for float32": _in_puppet(_put(1e39)),
    },
    mended={"infinity": _in_puppet(_put(-np.inf)), "NaN": _in_puppet(_put(np.nan))},
    complete={PUPPET: lambda good, cut: cut == good},
    variants={"uncompressed": (PUPPET, claim("pos_img", (2, 15)))},
)

LABEL = "labels/clip_{}.txt"


def _yolo(folder: Path) -> None:
    (folder / "labels").mkdir()
    found = detections(12, 3, 2, 17)
    found[..., :2] = (found[..., :2] / 640).round(5)
    for k, bodies in enumerate(found):
        lines = [
            " ".join(["0", "0.5", "0.5", "0.25", "0.5", *(f"{value:g}" for value in body.ravel()), "0.9", str(m + 1)])
            for m, body in enumerate(bodies[: 1 + k % 2])
        ]
        (folder / LABEL.format(k + 8)).write_text("\n".join(lines) + "\n")


def _words(change: Callable[[list[bytes]], object]) -> tuple[str, Change]:
    """Change the words of the second line of the second file."""

    def changed(data: bytes) -> bytes:
        first, second = data.splitlines()
        words = second.split()
        change(words)
        return first + b"\n" + b" ".join(words) + b"\n"

    return LABEL.format(9), changed


YOLO = Sample(
    "labels",
    _yolo,
    faults={},
    mended={
        "infinity": _words(lambda words: words.__setitem__(8, b"-inf")),
        "NaN": _words(lambda words: words.__setitem__(8, b"nan")),
        "too large for float32": _words(lambda words: words.__setitem__(8, b"1e39")),
        "zero frames": (LABEL.format(9), lambda data: data.split(b" 0.25 ", 1)[0] + b" 0.25" + b" x" * 40),
        "10^9 frames": _words(lambda words: words.append(b"1 1 1")),
        "wrong variant": _words(lambda words: words.__delitem__(slice(8, 20))),
    },
    complete={LABEL.format(8): never, LABEL.format(10): never},
    frames=True,
    variants=spellings(LABEL.format(8)),
)

MICE = "mouseDLC_resnet50.csv"
MICE_TEXT = """scorer,DLC,DLC,DLC,DLC,DLC,DLC
bodyparts,nose,nose,nose,tail,tail,tail
coords,x,y,likelihood,x,y,likelihood
0,10.5,20.25,0.9,30.5,40.25,0.75
1,11.5,21.25,0.9,,,
2,12.5,22.25,0.5,32.5,42.25,0.5
3,13.5,23.25,0.5,33.5,43.25,0.25
"""


def cells(name: str, row: int, column: int, value: bytes) -> tuple[str, Change]:
    """Put a value into a cell of a table."""

    def changed(data: bytes) -> bytes:
        rows = [line.split(b",") for line in data.splitlines()]
        rows[row][column] = value
        return b"\n".join(b",".join(line) for line in rows) + b"\n"

    return name, changed


def rows_left(count: int, columns: int) -> Callable[[bytes, bytes], bool]:
    """Whether so many lines of a head are there, and some row behind it; a torn row costs that frame."""

    def complete(good: bytes, cut: bytes) -> bool:
        lines = cut.splitlines()
        whole = [line.count(b",") >= columns - 1 for line in lines[count:]]
        return cut.startswith(b"".join(line + b"\n" for line in good.splitlines()[:count])) and 2 * sum(whole) > len(
            whole
        )

    return complete


DEEPLABCUT = Sample(
    MICE,
    lambda folder: (folder / MICE).write_text(MICE_TEXT) and None,
    faults={
        "zero frames": (MICE, lambda data: data[: data.index(b"0,10.5")]),
        "10^9 frames": cells(MICE, 6, 0, b"1000000000"),
        "wrong variant": (MICE, lambda data: data.replace(b"coords", b"values")),
        "no parts": (MICE, lambda data: data.replace(b"bodyparts", b"parts")),
        "only x": (MICE, lambda data: data.replace(b",y,", b",z,")),
        "a frame twice": cells(MICE, 6, 0, b"2"),
    },
    mended={
        "infinity": cells(MICE, 5, 1, b"inf"),
        "text in a cell": cells(MICE, 5, 1, b"x"),
        "too large for float32": cells(MICE, 5, 1, b"-1e39"),
        "a row too short": (MICE, lambda data: data.replace(b",32.5,42.25,0.5", b"")),
    },
    complete={MICE: rows_left(3, 7)},
    variants={
        **spellings(MICE),
        "NaN for empty": (MICE, lambda data: data.replace(b",,,", b",nan,nan,nan")),
        "one individual": (
            MICE,
            lambda data: data.replace(b"bodyparts", b"individuals" + b",individual" * 6 + b"\nbodyparts"),
        ),
    },
)

FLIES = "flies.analysis.csv"
FLIES_TEXT = """track,frame_idx,instance.score,head.x,head.y,head.score,abdomen.x,abdomen.y,abdomen.score
track_0,4,0.9,10.5,20.25,0.9,30.5,40.25,0.75
track_1,4,0.8,110.5,120.25,0.9,130.5,140.25,0.75
track_0,5,0.9,11.5,21.25,0.9,,,
track_1,5,0.8,111.5,121.25,0.9,131.5,141.25,0.75
track_0,6,0.9,12.5,22.25,0.5,32.5,42.25,0.5
"""
SLEAP = Sample(
    FLIES,
    lambda folder: (folder / FLIES).write_text(FLIES_TEXT) and None,
    faults={
        "zero frames": (FLIES, lambda data: data[: data.index(b"track_0")]),
        "10^9 frames": cells(FLIES, 5, 1, b"1000000000"),
        # with x and y as they are it would be a table of named columns, which is read as such
        "wrong variant": (FLIES, lambda data: data.replace(b"frame_idx", b"frame").replace(b".x", b".a")),
        "no nodes": (FLIES, lambda data: data.replace(b".y", b".z")),
        "most rows of another length": (FLIES, lambda data: data.replace(b",0.75", b"").replace(b",,,", b",")),
    },
    mended={
        "half a frame": cells(FLIES, 4, 1, b"5.5"),
        "a negative frame": cells(FLIES, 4, 1, b"-5"),
        "a row too short": (FLIES, lambda data: data.replace(b",131.5,141.25,0.75", b"")),
        "infinity": cells(FLIES, 4, 3, b"inf"),
        "text in a cell": cells(FLIES, 4, 3, b"x"),
        "too large for float32": cells(FLIES, 4, 3, b"-1e39"),
    },
    complete={FLIES: rows_left(1, 9)},
    variants={
        **spellings(FLIES),
        "NaN for empty": (FLIES, lambda data: data.replace(b",,,", b",nan,nan,nan")),
        "whole floats": (FLIES, lambda data: data.replace(b",5,0", b",5.0,0")),
    },
)

POSE_RESULTS = {
    "alphapose": ALPHAPOSE,
    "deeplabcut": DEEPLABCUT,
    "jhmdb": JHMDB,
    "panoptic": PANOPTIC,
    "pyskl": PYSKL,
    "sleap": SLEAP,
    "smarthome": SMARTHOME,
    "yolo_pose": YOLO,
}
