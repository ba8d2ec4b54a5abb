"""HDF5 files as pandas (for DeepLabCut) and SLEAP write them, by h5py alone."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

KEY = "df_with_missing"
COORDS = ("x", "y", "likelihood")
POINT = [("x", "f8"), ("y", "f8"), ("visible", "?"), ("complete", "?")]
FRAME = [
    ("frame_id", "u8"),
    ("video", "u4"),
    ("frame_idx", "u8"),
    ("instance_id_start", "u8"),
    ("instance_id_end", "u8"),
]
INSTANCE = [
    ("instance_id", "i8"), ("instance_type", "u1"), ("frame_id", "u8"), ("skeleton", "u4"), ("track", "i4"),
    ("from_predicted", "i8"), ("score", "f4"), ("point_id_start", "u8"), ("point_id_end", "u8"),
    ("tracking_score", "f4"),
]  # fmt: skip


def columns(parts: Sequence[str], individuals: Sequence[str]) -> list[tuple[str, ...]]:
    """The labels of a DeepLabCut table."""
    if not individuals:
        return [("DLC", part, what) for part in parts for what in COORDS]
    return [("DLC", one, part, what) for one in individuals for part in parts for what in COORDS]


def deeplabcut_table(path: Path, values: np.ndarray, labels: list[tuple[str, ...]]) -> Path:
    """``[R, C]`` as a PyTables table, which analyze_videos writes."""
    with h5py.File(path, "w") as file:
        rows = np.zeros(len(values), [("index", "i8"), ("values_block_0", "f8", (len(labels),))])
        rows["index"], rows["values_block_0"] = np.arange(len(values)), values
        table = file.create_group(KEY).create_dataset("table", data=rows, chunks=True)
        table.attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(labels, 0))
    return path


def deeplabcut_array(
    path: Path, values: np.ndarray, labels: list[tuple[str, ...]], index: list[tuple[str, ...]] | None = None
) -> Path:
    """``[R, C]`` as arrays, which labelling by hand writes."""

    def levels(group: h5py.Group, name: str, tuples: list[tuple[str, ...]]) -> None:
        for k, words in enumerate(zip(*tuples)):
            known = sorted(set(words))
            group[f"{name}_level{k}"] = np.array(known, "S")
            group[f"{name}_label{k}"] = np.array([known.index(word) for word in words], np.int8)

    with h5py.File(path, "w") as file:
        group = file.create_group(KEY)
        levels(group, "block0_items", labels)
        if index is None:
            group["axis1"] = np.arange(len(values))
        else:
            levels(group, "axis1", index)
        group["block0_values"] = values
        group["block0_values"].attrs["transposed"] = np.uint8(1)
    return path


def sleap_analysis(
    path: Path, points: np.ndarray, nodes: Sequence[str], tracks: Sequence[str], turned: bool = False
) -> Path:
    """``[T, tracks, V, 3]``, NaN where nothing was found."""
    places = points.transpose(1, 3, 2, 0)  # [tracks, xyscore, V, T]
    with h5py.File(path, "w") as file:
        file["edge_inds"] = np.array([[0, k] for k in range(1, len(nodes))])
        file["node_names"], file["track_names"] = np.array(nodes, "S"), np.array(tracks, "S")
        file.create_dataset("tracks", data=places[:, :2].T if turned else places[:, :2], compression="gzip")
        file.create_dataset("point_scores", data=places[:, 2].T if turned else places[:, 2], compression="gzip")
    return path


def links(count: int) -> list[dict]:
    """Each node below the first one, and two that say left and right, which are no bones."""
    bone, side = {"py/reduce": [{"py/type": "EdgeType"}, {"py/tuple": [1]}]}, {"py/reduce": [{}, {"py/tuple": [2]}]}
    kinds = [bone, *[{"py/id": 1}] * (count - 2)]
    bones = [{"source": count - 1, "target": count - 1 - k, "type": kinds[k - 1]} for k in range(1, count)]
    return [*bones, {"source": 0, "target": count - 1, "type": side}, {"source": 0, "target": 1, "type": {"py/id": 2}}]


def sleap_project(
    path: Path, nodes: Sequence[str], instances: Sequence[dict], tracks: Sequence[str], format: float = 1.4
) -> Path:
    """Instances with video, frame, track (number or -1), points ``[V, 3]``; ``user``: the instance that it corrects."""
    points: dict[bool, list] = {True: [], False: []}
    frames = sorted({(each["video"], each["frame"]) for each in instances})
    rows = []
    for k, each in enumerate(instances):
        user = each.get("user") is not None
        begin = len(points[user])
        for x, y, score in each["points"]:
            points[user].append((x, y, x == x, False, *(() if user else (score,))))
        owner = frames.index((each["video"], each["frame"]))
        end = len(points[user])
        rows.append(
            (k, 0 if user else 1, owner, 0, each["track"], each["user"] if user else -1, 0.9, begin, end, np.nan)
        )
    about = {
        "nodes": [{"name": name, "weight": 1.0} for name in reversed(nodes)],
        "skeletons": [{"nodes": [{"id": len(nodes) - 1 - k} for k in range(len(nodes))], "links": links(len(nodes))}],
    }
    with h5py.File(path, "w") as file:
        file["frames"] = np.array([(k, *frame, 0, 0) for k, frame in enumerate(frames)], FRAME)
        file["instances"] = np.array(rows, INSTANCE)
        file["points"] = np.array(points[True], POINT)
        file["pred_points"] = np.array(points[False], [*POINT, ("score", "f8")])
        file["tracks_json"] = [json.dumps([0, name]) for name in tracks]
        file.create_group("metadata").attrs.update({"json": np.bytes_(json.dumps(about)), "format_id": format})
    return path
