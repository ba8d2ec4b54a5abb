"""glTF files of a skeleton, made by hand."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from helpers.sample import Change, Sample, never

FILE = "walk.glb"
NAMES = ("Hips", "Spine", "Chest", "Neck", "LeftHip", "LeftKnee", "RightHip", "RightKnee")
PARENTS = (-1, 0, 1, 2, 0, 4, 0, 6)
OFFSETS = np.array(
    [[0, 0.9, 0], [0, 0.1, 0], [0, 0.2, 0], [0, 0.2, 0], [0.1, 0, 0], [0, -0.4, 0], [-0.1, 0, 0], [0, -0.4, 0]]
)
Track = tuple[Sequence[float], np.ndarray, str]  # times, values, interpolation


def document(
    animations: Sequence[Mapping[tuple[int, str], Track]],
    names: Sequence[str] = NAMES,
    parents: Sequence[int] = PARENTS,
    offsets: np.ndarray = OFFSETS,
    skins: Sequence[Sequence[int]] = (range(8),),
) -> tuple[dict[str, Any], bytes]:
    """A document whose node 0 is called Armature and rests, and its numbers; joint k is node k + 1."""
    blob, accessors, views = b"", list[dict](), list[dict]()

    def add(values: np.ndarray) -> int:
        nonlocal blob
        values = np.asarray(values, np.float32)
        views.append({"buffer": 0, "byteOffset": len(blob), "byteLength": values.nbytes})
        kind = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}[1 if values.ndim == 1 else values.shape[-1]]
        count = values.size // {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[kind]
        accessors.append({"bufferView": len(views) - 1, "componentType": 5126, "count": count, "type": kind})
        blob += values.tobytes()
        return len(accessors) - 1

    nodes: list[dict[str, Any]] = [{"name": "Armature", "children": [1 + k for k, up in enumerate(parents) if up < 0]}]
    for k, (name, offset) in enumerate(zip(names, np.asarray(offsets).tolist())):
        below = [1 + j for j, up in enumerate(parents) if up == k]
        nodes.append({"name": name, "translation": offset, **({"children": below} if below else {})})
    made = []
    for number, tracks in enumerate(animations):
        samplers, channels = [], []
        for (joint, what), (times, values, mode) in tracks.items():
            samplers.append({"input": add(np.array(times)), "output": add(values), "interpolation": mode})
            channels.append({"sampler": len(samplers) - 1, "target": {"node": joint + 1, "path": what}})
        made.append({"name": f"take {number}", "samplers": samplers, "channels": channels})
    data = {
        "asset": {"version": "2.0", "generator": "a test"}, "nodes": nodes, "animations": made, "accessors": accessors,
        "bufferViews": views, "buffers": [{"byteLength": len(blob)}],
        "skins": [{"joints": [joint + 1 for joint in skin]} for skin in skins],
    }  # fmt: skip
    return data, blob


def binary(data: Mapping[str, Any], blob: bytes) -> bytes:
    text = json.dumps(data).encode()
    text += b" " * (-len(text) % 4)
    blob += bytes(-len(blob) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(blob), 0x004E4942) + blob
    return b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks


def in_text(data: Mapping[str, Any], blob: bytes) -> bytes:
    uri = "data:application/octet-stream;base64," + base64.b64encode(blob).decode()
    return json.dumps({**data, "buffers": [{"byteLength": len(blob), "uri": uri}]}).encode()


def turning(frames: int = 6, fps: float = 24.0, seed: int = 0) -> dict[tuple[int, str], Track]:
    """All joints turn at random, the hips move."""
    chance, times = np.random.default_rng(seed), np.arange(frames) / fps
    turns = chance.normal(size=(len(NAMES), 1, 4)) + 0.2 * chance.normal(size=(len(NAMES), frames, 4))
    turns /= np.linalg.norm(turns, axis=-1, keepdims=True)
    tracks: dict[tuple[int, str], Track] = {(k, "rotation"): (times, turn, "LINEAR") for k, turn in enumerate(turns)}
    tracks[0, "translation"] = (times, chance.normal(size=(frames, 3)), "LINEAR")
    return tracks


def _write(folder: Path) -> None:
    (folder / FILE).write_bytes(binary(*document([turning()])))


def _changed(change: Any) -> tuple[str, Change]:
    """A change of the document."""

    def changed(data: bytes) -> bytes:
        size = struct.unpack_from("<I", data, 12)[0]
        content = json.loads(data[20 : 20 + size])
        change(content)
        return binary(content, data[28 + size :])

    return FILE, changed


def _put(where: str, value: Any) -> tuple[str, Change]:
    """A value at a path such as ``nodes 1 name``."""

    def change(content: Any) -> None:
        *path, last = [int(word) if word.isdecimal() else word for word in where.split()]
        for word in path:
            content = content[word]
        content[last] = value

    return _changed(change)


def _numbers(change: Any) -> tuple[str, Change]:
    """A change of the numbers, float32."""

    def changed(data: bytes) -> bytes:
        size = struct.unpack_from("<I", data, 12)[0]
        numbers = np.frombuffer(data[28 + size :], np.float32).copy()
        change(numbers)
        return data[: 28 + size] + numbers.tobytes()

    return FILE, changed


# of the first sampler there are 6 times, then 6 quaternions; the last one is that of the hips' places
GLTF = Sample(
    FILE,
    _write,
    faults={
        "infinity": _numbers(lambda n: n.__setitem__(2, np.inf)),
        "zero frames": _put("accessors 0 count", 0),
        "10^9 frames": _put("accessors 1 count", 10**9),
        "wrong variant": _put("asset version", "1.0"),
        "NUL bytes": (FILE, lambda data: data[:40] + bytes(8) + data[48:]),  # among the numbers they are numbers
        "no animation": _put("animations", []),
        "animations that are no list": _put("animations", {"a": 1}),
        "a node below itself": _put("nodes 8 children", [7]),
        "a node below two": _put("nodes 3 children", [5]),
        "a child that is not there": _put("nodes 3 children", [99]),
        "a negative child": _put("nodes 3 children", [-1]),
        "times that fall": _numbers(lambda n: n.__setitem__(3, 0)),
        "times far apart": _numbers(lambda n: n.__setitem__(5, 1e9)),
        "rotations of three numbers": _put("accessors 1 type", "VEC3"),
        "sparse values": _put("accessors 1 sparse", {"count": 1}),
        "compressed values": _put("bufferViews 1 extensions", {"EXT_meshopt_compression": {}}),
        "a buffer elsewhere": _put("buffers 0 uri", "../../etc/passwd"),
        "a buffer that is missing": _put("buffers 0 uri", "gone.bin"),
        "a place of two numbers": _put("nodes 3 translation", [0, 1]),
        "an unknown interpolation": _put("animations 0 samplers 0 interpolation", "QUICK"),
        "joints of a number": _put("skins 0 joints", 10**9),
        "nothing that moves": _put("animations 0 channels", []),
        "values as text": _put("accessors 1 count", "6"),
    },
    complete={FILE: never},
    variants={
        "in text": (FILE, lambda data: in_text(*document([turning()]))),
        "no skin": _put("skins", []),
        "a further property": _put("animations 0 extras", {"a": 1}),
        "nodes at rest as a matrix": _put("nodes 0 matrix", np.eye(4).ravel().tolist()),
        "another chunk behind": (FILE, lambda data: data + struct.pack("<II", 4, 1) + b"none"),
    },
    mended={},
)
