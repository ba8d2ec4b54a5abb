"""Samples of what detectors of people write: OpenPose, COCO, MediaPipe."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from helpers.sample import Change, Sample, in_json, never, spellings

from kineme.motion import layout


def detections(seed: int, *shape: int) -> np.ndarray:
    """Made people in pixels ``[(frames,) persons, joints, (x, y, confidence)]`` who move a little from frame to frame;
    the last joint is not seen in every second body."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(100, 300, (*shape[-2:], 2)) + rng.normal(0, 3, (*shape, 2))
    found = np.concatenate([place, rng.uniform(0.2, 1, (*shape, 1))], -1).round(3)
    found.reshape(-1, *shape[-1:], 3)[::2, -1] = 0
    return found


def item(*keys: str | int, put: object = None) -> Change:
    """Put a value at a place in JSON; ``...`` takes what is there away."""

    def change(content: dict) -> None:
        for key in keys[:-1]:
            content = content[key]
        if put is ...:
            del content[keys[-1]]
        else:
            content[keys[-1]] = put

    return in_json(change)


def number_faults(name: str, *keys: str | int) -> dict[str, tuple[str, Change]]:
    """What may stand in the place of the number that these keys lead to."""
    values = {
        "NaN": float("nan"),
        "infinity": float("-inf"),
        "text for a number": "twelve",
        "null for a number": None,
        "a list for a number": [1],
        "too large for float32": 1e39,
        "too large for any": 10**400,
    }
    return {fault: (name, item(*keys, put=value)) for fault, value in values.items()}


def json_faults(name: str) -> dict[str, tuple[str, Change]]:
    """Faults of a whole file."""
    return {
        "deeper than any stack": (name, lambda data: b"[" * 100_000),
        "a text": (name, lambda data: b'"x"'),
        "only a number": (name, lambda data: b"1"),
    }


FRAME = "take/walk_{:012d}_keypoints.json"
KEYPOINTS = ("people", 0, "pose_keypoints_2d")


def _openpose(folder: Path) -> None:
    (folder / "take").mkdir()
    for k, bodies in enumerate(detections(4, 3, 2, 25)):
        persons = [
            {"person_id": [-1], "pose_keypoints_2d": body.ravel().tolist(), "pose_keypoints_3d": []}
            for body in bodies[: 1 + k % 2]
        ]
        (folder / FRAME.format(k)).write_text(json.dumps({"version": 1.3, "people": persons}, indent=0) + "\n")


OPENPOSE = Sample(
    "take",
    _openpose,
    faults={},
    mended=number_faults(FRAME.format(1), *KEYPOINTS, 0)
    | json_faults(FRAME.format(1))
    | {
        "zero frames": (FRAME.format(1), lambda data: b"{}"),
        "10^9 frames": (FRAME.format(1), item("people", put=10**9)),
        "wrong variant": (FRAME.format(1), lambda data: data.replace(b'"people"', b'"persons"')),
        "a number too few": (FRAME.format(1), item(*KEYPOINTS, 74, put=...)),
        "another layout": (FRAME.format(1), item(*KEYPOINTS, put=[1.5] * 54)),
        "people in text": (FRAME.format(1), item("people", put=["x"])),
        "nested keypoints of another number": (FRAME.format(1), item(*KEYPOINTS, put=[[1.0, 2.0, 0.5]] * 24)),
        "a list": (FRAME.format(1), lambda data: b"[1, 2]"),
    },
    complete={FRAME.format(0): never, FRAME.format(2): never},
    frames=True,
    variants=spellings(FRAME.format(0))
    | {
        "before version 1.2": (FRAME.format(2), lambda data: data.replace(b"pose_keypoints_2d", b"pose_keypoints")),
        "without identity": (FRAME.format(2), lambda data: data.replace(b'"person_id"', b'"other"')),
    },
)


def _coco(folder: Path) -> None:
    images = [
        {"id": 70 + k, "file_name": f"clip/{k:05d}.jpg", "vid_id": "clip", "width": 640, "height": 480}
        for k in range(4)
    ]
    entries = [
        {"image_id": 70 + k, "category_id": 1, "track_id": m, "keypoints": body.ravel().tolist()}
        for k, bodies in enumerate(detections(5, 4, 2, 17))
        for m, body in enumerate(bodies)
    ]
    (folder / "persons.json").write_text(json.dumps({"images": images, "annotations": entries}, indent=0) + "\n")


BODY = ("annotations", 1, "keypoints")
COCO = Sample(
    "persons.json",
    _coco,
    faults=json_faults("persons.json")
    | {
        "zero frames": ("persons.json", item("images", put=[])),
        "joints of no name": ("persons.json", item("categories", put=[{"id": 1, "keypoints": 17}])),
        "edges to nowhere": (
            "persons.json",
            item("categories", put=[{"id": 1, "keypoints": [f"joint {k}" for k in range(17)], "skeleton": [[1, 99]]}]),
        ),
        "two kinds of bodies": (
            "persons.json",
            item("categories", put=[{"id": 1, "keypoints": ["nose"]}, {"id": 2, "keypoints": ["tail"]}]),
        ),
        "an empty list": ("persons.json", lambda data: b"[]"),
        "most people of another number of joints": (
            "persons.json",
            in_json(lambda d: [entry.update(keypoints=[1.5] * 48) for entry in d["annotations"][:5]]),
        ),
    },
    mended=number_faults("persons.json", *BODY, 0)
    | {
        "10^9 frames": ("persons.json", item("images", 3, "file_name", put="clip/1000000000.jpg")),
        "wrong variant": ("persons.json", item(*BODY, put=[1.5] * 48)),
        "another number of joints": ("persons.json", item(*BODY, put=[1.5] * 78)),
        "no keypoints": ("persons.json", item(*BODY, put=None)),
        "an unknown image": ("persons.json", item("annotations", 1, "image_id", put=7)),
        "an annotation in text": ("persons.json", item("annotations", 1, put="x")),
        "an image without a number": ("persons.json", item("images", 1, "id", put=[])),
        "an image twice": ("persons.json", item("images", 1, "id", put=70)),
        "a file name in numbers": ("persons.json", item("images", 1, "file_name", put=[1])),
        "a frame twice": ("persons.json", item("images", 1, "file_name", put="clip/00000.jpg")),
        "half a pixel": ("persons.json", item("images", 1, "width", put=640.5)),
    },
    complete={"persons.json": never},
    variants=spellings("persons.json")
    | {
        "categories that name the joints of COCO": (
            "persons.json",
            item("categories", put=[{"id": 1, "name": "person", "keypoints": list(layout.layout("coco17").joints)}]),
        ),
        "sizes as floats": (
            "persons.json",
            in_json(lambda d: [image.update(width=640.0, height=480.0) for image in d["images"]]),
        ),
        "nested keypoints": (
            "persons.json",
            in_json(
                lambda d: [
                    entry.update(keypoints=np.reshape(entry["keypoints"], (17, 3)).tolist())
                    for entry in d["annotations"]
                ]
            ),
        ),
    },
)


def _mediapipe(folder: Path) -> None:
    marks = np.random.default_rng(6).uniform(0.1, 0.9, (4, 33, 4)).round(6)
    frames = [
        {"frame": k, "landmarks": [] if k == 2 else body.tolist(), "world_landmarks": []}
        for k, body in enumerate(marks)
    ]
    about = {"fps": 25, "width": 320, "height": 240, "frames": frames}
    (folder / "pose.json").write_text(json.dumps(about, indent=0) + "\n")


MARK = ("frames", 1, "landmarks", 5, 0)
MEDIAPIPE = Sample(
    "pose.json",
    _mediapipe,
    faults=json_faults("pose.json")
    | {
        "zero frames": ("pose.json", item("frames", put=[])),
        "10^9 frames": ("pose.json", item("frames", 3, "frame", put=10**9)),
        "other names": ("pose.json", item("landmark_names", put=["nose"])),
        "other fields": ("pose.json", item("landmark_fields", put=["y", "x", "z", "visibility"])),
        "other keys": ("pose.json", lambda data: data.replace(b'"landmarks"', b'"points"').replace(b'"world_', b'"w')),
    },
    mended=number_faults("pose.json", *MARK)
    | {
        "wrong variant": ("pose.json", item("frames", 1, "landmarks", put=[[0.5, 0.5, 0, 1]] * 21)),
        "a landmark of two numbers": ("pose.json", item("frames", 1, "landmarks", 5, put=[0.5, 0.5])),
        "a landmark of one number": ("pose.json", item("frames", 1, "landmarks", 5, put=[0.5])),
        "a landmark without x": ("pose.json", item("frames", 1, "landmarks", 5, put={"y": 1, "z": 0})),
        "landmarks in text": ("pose.json", item("frames", 1, "landmarks", put="nose")),
        "a frame twice": ("pose.json", item("frames", 1, "frame", put=0)),
        "half a frame": ("pose.json", item("frames", 1, "frame", put=0.5)),
        "frames in text": ("pose.json", item("frames", 1, put="x")),
        "a negative frame rate": ("pose.json", item("fps", put=-25)),
        "a frame rate in words": ("pose.json", item("fps", put="fast")),
        "half a pixel": ("pose.json", item("width", put=320.5)),
        "a negative width": ("pose.json", item("width", put=-320)),
    },
    complete={"pose.json": never},
    variants=spellings("pose.json")
    | {
        "points as objects": (
            "pose.json",
            in_json(
                lambda d: [
                    frame.update(
                        landmarks=[dict(zip(("x", "y", "z", "visibility"), mark)) for mark in frame["landmarks"]]
                    )
                    for frame in d["frames"]
                ]
            ),
        ),
        "points by name": (
            "pose.json",
            in_json(
                lambda d: [
                    frame.update(
                        landmarks={
                            name: dict(zip(("X", "Y", "Z", "Visibility"), mark))
                            for name, mark in zip(layout.layout("mediapipe33").joints, frame["landmarks"])
                        }
                    )
                    for frame in d["frames"]
                ]
            ),
        ),
        "points in an object": (
            "pose.json",
            in_json(
                lambda d: [
                    frame.update(
                        landmarks={
                            "landmark": [dict(zip(("x", "y", "z", "visibility"), mark)) for mark in frame["landmarks"]]
                        }
                    )
                    for frame in d["frames"]
                ]
            ),
        ),
        "flat": (
            "pose.json",
            in_json(
                lambda d: [
                    frame.update(landmarks=[value for mark in frame["landmarks"] for value in mark])
                    for frame in d["frames"]
                ]
            ),
        ),
        "names in the browser": ("pose.json", lambda data: data.replace(b'"landmarks"', b'"poseLandmarks"')),
        "a size in floats": ("pose.json", item("width", put=320.0)),
        "a frame rate in text": ("pose.json", item("fps", put="25/1")),
        "whole floats": ("pose.json", item("frames", 1, "frame", put=1.0)),
        "names of the solution": ("pose.json", lambda data: data.replace(b'"landmarks"', b'"pose_landmarks"')),
        "a list of people": (
            "pose.json",
            in_json(lambda d: [frame.update(landmarks=[frame["landmarks"]]) for frame in d["frames"]]),
        ),
    },
)
