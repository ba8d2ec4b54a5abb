"""Samples of further formats of pose detectors and of the data sets made with them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from helpers.detectors import detections, item, json_faults, number_faults
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

POSE_RESULTS = {"alphapose": ALPHAPOSE, "pyskl": PYSKL}
