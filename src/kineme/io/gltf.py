"""glTF 2.0 (.glb, .gltf): the joints of an animated skeleton, as Blender, Mixamo's users and game engines write it.

Each animation is a clip. Joints are the nodes that the largest skin names, with those of skins on the same joints;
where there is no skin, the nodes that move and all below them. Places come from the products of translations,
rotations and scales down the tree, in the metres and with the +y up that glTF prescribes. Keys stand at times of their
own: they are interpolated as the file says (``LINEAR``, ``STEP``, ``CUBICSPLINE``) at the rate of the nearest two.
Meshes, cameras and morph targets are passed over.

Buffers stand in the file, in text, or in a file beside a ``.gltf``. Sparse and compressed ones are refused.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import numpy as np

from ..motion.motion import Motion
from ..utils.errors import InputError
from ..utils.files import loads
from . import MAX_JOINTS, Options, _bodies, _text
from ._following import MAX_POINTS
from ._tracking import SPARSE

suffixes = own = (".glb", ".gltf")

WHAT = "glTF 2.0 with an animated skeleton"
CUT = "The file may be cut short"
MOST = 1 << 30  # bytes
NODES = 1 << 16
BLOCK = 4096  # frames that are computed together
FASTEST = 1 / 480  # seconds between two keys
UNEVEN = "recordings whose keys stand at uneven times, interpolated"  # a note
INFINITE = "joints that are no finite number, taken as missing"
OTHERS = "skins of other skeletons, passed over"
JSON, BIN = 0x4E4F534A, 0x004E4942  # chunks
KINDS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
REST = {"translation": (0.0, 0.0, 0.0), "rotation": (0.0, 0.0, 0.0, 1.0), "scale": (1.0, 1.0, 1.0)}
MODES = ("LINEAR", "STEP", "CUBICSPLINE")


def sniff(path: Path, head: bytes) -> bool:
    return head[:4] == b"glTF"


def side(path: Path, head: bytes) -> bool:
    """The buffer of a ``.gltf`` of the same name."""
    return path.suffix.lower() == ".bin" and path.with_suffix(".gltf").is_file()


class Track(NamedTuple):
    """How one property of a node moves: times ``[K]``, values ``[K, 3 or 4]`` (of splines ``[K, 3, ...]``), mode."""

    times: np.ndarray
    values: np.ndarray
    mode: str


def read(path: Path, options: Options) -> Iterator[Motion | InputError]:
    """One motion ``[T, 1, V, 3]`` for each animation."""
    file = _File(path)
    parents, order = _tree(file)
    animations = file.entries("animations")
    if not animations:
        raise InputError(path, "no animation", WHAT, "Export it with animations")
    for k, animation in enumerate(animations):
        source = path.name if len(animations) == 1 else f"{path.name}#{animation.get('name') or k}"
        try:
            yield _motion(file, source, _tracks(file, animation), parents, order)
        except InputError as error:
            if len(animations) == 1:
                raise
            yield InputError(source, error.found, error.expected, error.hint)


def _motion(
    file: _File, source: str, tracks: dict[tuple[int, str], Track], parents: list[int], order: list[int]
) -> Motion:
    joints, others = _joints(file, {node for node, _ in tracks}, parents, order)
    above = _with_parents(joints, parents)
    tracks = {key: track for key, track in tracks.items() if key[0] in above}
    if not tracks:
        raise InputError(file.path, "an animation that moves no joint", WHAT)
    at, uneven = _times(file.path, list(tracks.values()))
    if len(at) * len(joints) > MAX_POINTS:
        raise InputError(file.path, f"{len(at)} frames of {len(joints)} joints", f"at most {MAX_POINTS} places")
    local = {node: file.entries("nodes")[node] for node in above}
    blocks = [at[low : low + BLOCK] for low in range(0, len(at), BLOCK)]
    rising = [node for node in order if node in above]
    with np.errstate(all="ignore"):
        places = np.concatenate([_places(file.path, joints, rising, parents, local, tracks, block) for block in blocks])
    names = [str(file.entries("nodes")[node].get("name") or f"node_{node}") for node in joints]
    edges = [(joints.index(up), k) for k, node in enumerate(joints) if (up := _nearest(node, joints, parents)) >= 0]
    layout, which = _bodies.named(names, edges)
    places, fps = places[:, which], (len(at) - 1) / (at[-1] - at[0]) if len(at) > 1 else None
    seen = np.isfinite(places).all(-1) & (np.abs(places) < np.finfo(np.float32).max).all(-1)
    return Motion(
        np.where(seen[..., None], places, 0)[:, None],
        layout,
        seen[:, None].astype(np.float32),
        fps=None if fps is None else float(f"{fps:.6g}"),
        up="+y",
        unit="m",
        source=source,
        notes={UNEVEN: int(uneven), OTHERS: others, INFINITE: int((~seen).sum())},
    )


# ------------------------------------------------------------------------------------------------------------ the file


class _File:
    """The document, and the numbers that it points at."""

    def __init__(self, path: Path):
        self.path, self.blob = path, b""
        data = _text.raw(path, WHAT, MOST)
        if data[:4] == b"glTF":
            data = self._chunks(data)
        self.document = loads(path, data, WHAT)
        if not isinstance(self.document, dict) or not isinstance(self.document.get("asset"), dict):
            raise InputError(path, "JSON of another kind", WHAT)
        if (version := str(self.document["asset"].get("version"))[:8]).split(".")[0] != "2":
            raise InputError(path, f"version {version}", "version 2.0")
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.known: dict[int, bytes] = {}

    def _chunks(self, data: bytes) -> bytes:
        """The JSON of a binary file; the numbers behind it are kept."""
        found: dict[int, bytes] = {}
        at = 12
        while at + 8 <= len(data):
            size, kind = struct.unpack_from("<II", data, at)
            if at + 8 + size > len(data):
                raise InputError(self.path, f"a chunk of {size} bytes in a file of {len(data)}", WHAT, CUT)
            found.setdefault(kind, data[at + 8 : at + 8 + size])
            at += 8 + size
        if len(data) < 20 or JSON not in found or struct.unpack_from("<I", data, 8)[0] > len(data):
            raise InputError(self.path, f"no whole glTF in {len(data)} bytes", WHAT, CUT)
        self.blob = found.get(BIN, b"")
        return found[JSON]

    def entries(self, name: str) -> list[dict[str, Any]]:
        if name not in self.lists:
            self.lists[name] = self.of(self.document, name)
        return self.lists[name]

    def of(self, entry: Mapping[str, Any], name: str) -> list[Any]:
        """A list of objects."""
        found = entry.get(name, [])
        if not isinstance(found, list) or len(found) > NODES or not all(isinstance(each, dict) for each in found):
            raise InputError(self.path, f"{name} that are no list of at most {NODES} objects", WHAT)
        return found

    def one(self, name: str, index: Any) -> dict[str, Any]:
        return self.entries(name)[self.index(name, index)]

    def index(self, name: str, index: Any) -> int:
        if type(index) is not int or not 0 <= index < len(self.entries(name)):
            raise InputError(self.path, f"{name} {str(index)[:20]} of {len(self.entries(name))}", WHAT, CUT)
        return index

    def whole(self, entry: Mapping[str, Any], name: str, usual: int | None = None) -> int:
        value = entry.get(name, usual)
        if type(value) is not int or not 0 <= value <= MOST:
            raise InputError(self.path, f"{name} = {str(value)[:20]}", "a whole number from 0")
        return value

    def numbers(self, index: Any) -> np.ndarray:
        """The values of an accessor, float64 ``[N, width]``."""
        accessor = self.one("accessors", index)
        kind, width = KINDS.get(accessor.get("componentType", 0)), WIDTHS.get(str(accessor.get("type")))
        view = self.one("bufferViews", accessor.get("bufferView"))
        if kind is None or width is None or "sparse" in accessor or view.get("extensions"):
            found = f"values of type {str(accessor.get('type'))[:20]} {str(accessor.get('componentType'))[:20]}"
            packed = "sparse or compressed values" if "sparse" in accessor or view.get("extensions") else found
            raise InputError(self.path, packed, "plain numbers, vectors and quaternions", "Export without compression")
        dtype, count = np.dtype(kind), self.whole(accessor, "count")
        step = self.whole(view, "byteStride", 0) or dtype.itemsize * width
        data = self._buffer(view.get("buffer"))
        begin = self.whole(view, "byteOffset", 0) + self.whole(accessor, "byteOffset", 0)
        if (
            not count
            or step < dtype.itemsize * width
            or begin + step * (count - 1) + dtype.itemsize * width > len(data)
        ):
            raise InputError(self.path, f"{count} values at byte {begin} of {len(data)}", WHAT, CUT)
        with np.errstate(invalid="ignore"):  # signalling NaN
            rows = np.ndarray((count, width), dtype, data, begin, (step, dtype.itemsize)).astype(np.float64)
        if accessor.get("normalized") is True and dtype.kind != "f":
            rows = np.maximum(rows / np.iinfo(dtype).max, -1)
        return rows

    def _buffer(self, index: Any) -> bytes:
        if (at := self.index("buffers", index)) not in self.known:
            uri = self.entries("buffers")[at].get("uri")
            self.known[at] = self.blob if uri is None and at == 0 else self._outside(uri)
        return self.known[at]

    def _outside(self, uri: Any) -> bytes:
        """A buffer in text, or in a file of the same folder."""
        if isinstance(uri, str) and uri.startswith("data:"):
            try:
                return base64.b64decode(uri.split(",", 1)[-1], validate=True)
            except (binascii.Error, ValueError):
                raise InputError(self.path, "a buffer in text that is no base64", WHAT, CUT) from None
        name = unquote(uri) if isinstance(uri, str) else ""
        if not name or "\0" in name or Path(name).name != name or "\\" in name:
            raise InputError(self.path, f"a buffer in {str(uri)[:40]!r}", "a file in the same folder")
        if not (beside := self.path.parent / name).is_file():
            raise InputError(self.path, f"no file {name[:60]!r} beside it", "its buffer, in the same folder")
        return _text.raw(beside, "the buffer of a glTF file", MOST)


def _tree(file: _File) -> tuple[list[int], list[int]]:
    """The parent of every node, -1 at the top, and the nodes in an order in which parents come first."""
    nodes = file.entries("nodes")
    parents, children = [-1] * len(nodes), [node.get("children", []) for node in nodes]
    for k, below in enumerate(children):
        if not isinstance(below, list):
            raise InputError(file.path, f"children of node {k} that are no list", WHAT)
        for child in below:
            if parents[file.index("nodes", child)] >= 0:
                raise InputError(file.path, f"node {child} below two others", "a tree")
            parents[child] = k
    order, waiting = list[int](), [k for k, parent in enumerate(parents) if parent < 0][::-1]
    while waiting:
        order.append(waiting.pop())
        waiting += children[order[-1]][::-1]
    if len(order) < len(nodes):
        raise InputError(file.path, "nodes that are below themselves", "a tree")
    return parents, order


def _tracks(file: _File, animation: Mapping[str, Any]) -> dict[tuple[int, str], Track]:
    """(node, property) -> how it moves."""
    samplers, tracks = file.of(animation, "samplers"), dict[tuple[int, str], Track]()
    for channel in file.of(animation, "channels"):
        target = channel.get("target")
        what = target.get("path") if isinstance(target, dict) else None
        if what not in REST or target.get("node") is None:
            continue  # weights of morph targets, or an extension's
        at = channel.get("sampler")
        if type(at) is not int or not 0 <= at < len(samplers):
            raise InputError(file.path, f"sampler {str(at)[:20]} of {len(samplers)}", WHAT)
        mode = samplers[at].get("interpolation", MODES[0])
        times, values = file.numbers(samplers[at].get("input"))[:, 0], file.numbers(samplers[at].get("output"))
        each = 3 if mode == "CUBICSPLINE" else 1
        if mode not in MODES or values.shape != (each * len(times), len(REST[what])):
            found = f"{len(values)} values of {values.shape[1]} for {len(times)} keys of {what}, {str(mode)[:20]}"
            raise InputError(file.path, found, f"as many as keys; {', '.join(MODES)}")
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise InputError(file.path, "keys whose times do not rise", "times in seconds, each after the one before")
        shape = (len(times), 3, -1) if each == 3 else (len(times), -1)
        tracks[file.index("nodes", target["node"]), what] = Track(times, values.reshape(shape), mode)
    return tracks


def _joints(file: _File, moved: set[int], parents: list[int], order: list[int]) -> tuple[list[int], int]:
    """The nodes that are joints, parents first, and how many skins have others."""
    skins = []
    for skin in file.entries("skins"):
        nodes = skin.get("joints", [])
        skins.append({file.index("nodes", node) for node in (nodes if isinstance(nodes, list) else [nodes])})
    wanted = max(skins, key=len, default=set[int]())
    mine = [skin for skin in skins if skin & wanted]
    wanted = set().union(*mine)
    if not wanted:
        for node in order:
            if node in moved or parents[node] in wanted:
                wanted.add(node)
    if not 0 < len(wanted) <= MAX_JOINTS:
        raise InputError(file.path, f"{len(wanted)} joints", f"{WHAT}, at most {MAX_JOINTS} joints")
    return [node for node in order if node in wanted], len(skins) - len(mine)


def _with_parents(nodes: Sequence[int], parents: list[int]) -> set[int]:
    found: set[int] = set()
    for node in nodes:
        while node >= 0 and node not in found:
            found.add(node)
            node = parents[node]
    return found


def _nearest(node: int, joints: Sequence[int], parents: list[int]) -> int:
    """The joint above a joint, -1 if there is none."""
    known = set(joints)
    node = parents[node]
    while node >= 0 and node not in known:
        node = parents[node]
    return node


# ---------------------------------------------------------------------------------------------------------- the motion


def _times(path: Path, tracks: list[Track]) -> tuple[np.ndarray, bool]:
    """When the frames are, evenly from the first key to the last, and whether keys stand between them."""
    keys = np.unique(np.concatenate([track.times for track in tracks]))
    steps = np.diff(keys)
    steps = steps[steps >= FASTEST]
    if not len(steps):
        return keys[:1], False
    step, span = float(np.median(steps[steps < 1.5 * steps.min()])), float(keys[-1] - keys[0])
    count = max(round(span / step), 1)
    if count > SPARSE * len(keys):
        raise InputError(path, f"{len(keys)} keys within {span:.6g} seconds, {step:.3g} apart", "keys of one recording")
    at = keys[0] + span / count * np.arange(count + 1)
    off = np.abs((keys - keys[0]) / (span / count) % 1 - 0.5)
    return at, bool((off < 0.45).any())


def _places(
    path: Path,
    joints: list[int],
    order: list[int],
    parents: list[int],
    nodes: Mapping[int, Mapping[str, Any]],
    tracks: Mapping[tuple[int, str], Track],
    at: np.ndarray,
) -> np.ndarray:
    """Places of joints ``[T, V, 3]`` at these times; ``order``: they and all above them."""
    world: dict[int, np.ndarray] = {}
    for node in order:
        local = _local(path, nodes[node], {what: tracks[node, what] for what in REST if (node, what) in tracks}, at)
        world[node] = world[parents[node]] @ local if parents[node] >= 0 else local
    return np.stack([np.broadcast_to(world[node][:, :3, 3], (len(at), 3)) for node in joints], 1)


def _local(path: Path, node: Mapping[str, Any], moved: Mapping[str, Track], at: np.ndarray) -> np.ndarray:
    """The matrices of a node within its parent, ``[T, 4, 4]``, of one that rests ``[1, 4, 4]``."""
    if not moved and "matrix" in node:
        return np.array(_row(path, node["matrix"], 16)).reshape(1, 4, 4).transpose(0, 2, 1)
    shift, turn, scale = (
        _sampled(moved[what], at, what == "rotation") if what in moved else np.array([_row(path, said, len(rest))])
        for what, rest in REST.items()
        for said in [node.get(what, rest)]
    )
    x, y, z, w = (turn / np.maximum(np.sqrt((turn * turn).sum(-1, keepdims=True)), 1e-12)).T
    matrix = np.zeros((max(len(shift), len(turn), len(scale)), 4, 4))
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:, :3, :3] = np.stack([np.stack(row, -1) for row in rows], -2) * scale[:, None]
    matrix[:, :3, 3], matrix[:, 3, 3] = shift, 1
    return matrix


def _row(path: Path, value: Any, count: int) -> list[float]:
    good = isinstance(value, (list, tuple)) and len(value) == count
    if not good or not all(type(each) in (int, float) and math.isfinite(each) for each in value):
        raise InputError(path, f"{str(value)[:60]} for a node", f"{count} numbers")
    return [float(each) for each in value]


def _sampled(track: Track, at: np.ndarray, turns: bool) -> np.ndarray:
    """Values at these times, held before the first key and behind the last one."""
    times, values = track.times, track.values
    last = len(times) - 1
    k = np.clip(np.searchsorted(times, at + 1e-6, side="right") - 1, 0, last)
    if track.mode == "STEP" or not last:
        return values[k, 1] if values.ndim == 3 else values[k]
    k = np.minimum(k, last - 1)
    step = (times[k + 1] - times[k])[:, None]
    part = np.clip((at[:, None] - times[k][:, None]) / step, 0, 1)
    if track.mode == "CUBICSPLINE":
        (_, one, leaving), (arriving, other, _) = (values[k + j].swapaxes(0, 1) for j in (0, 1))
        square, cube = part**2, part**3
        bent = (2 * cube - 3 * square + 1) * one + (3 * square - 2 * cube) * other
        return bent + step * ((cube - 2 * square + part) * leaving + (cube - square) * arriving)
    one, other = values[k], values[k + 1]
    if not turns:
        return one + part * (other - one)
    cosine = (one * other).sum(-1, keepdims=True)
    other, angle = np.where(cosine < 0, -other, other), np.arccos(np.clip(np.abs(cosine), 0, 1))
    sine = np.sin(angle)
    near = sine < 1e-6
    sine = np.where(near, 1, sine)
    first = np.where(near, 1 - part, np.sin((1 - part) * angle) / sine)
    return first * one + np.where(near, part, np.sin(part * angle) / sine) * other
