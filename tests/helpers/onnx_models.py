"""Small ONNX models of pose estimators that find a red and a green square."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIDE = 96  # of the pictures of the YOLO model
JOINTS = 17
OFFSETS = np.stack([np.arange(JOINTS) % 5 - 2.0, np.arange(JOINTS) // 5 - 1.5], 1)  # of joints from the middle, pixels
BOX = (14.0, 12.0)  # width and height


def _save(path: Path, nodes: list, inputs: list, outputs: list, constants: dict[str, np.ndarray], about: dict) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def value(name: str, shape: list) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    kept = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(
        nodes, "made", [value(*each) for each in inputs], [value(*each) for each in outputs], kept
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for key, text in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, text
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def yolo(path: Path, end_to_end: bool = False, about: dict | None = None) -> Path:
    """Finds both squares, each a second time with less confidence; ``[1, 56, 80]``, or ``[1, 80, 57]`` with corners."""
    from onnx import helper

    nodes, columns = [], 80
    constants: dict[str, np.ndarray] = {
        "x": np.arange(SIDE, dtype=np.float32).reshape(1, 1, 1, SIDE) + 0.5,
        "y": np.arange(SIDE, dtype=np.float32).reshape(1, 1, SIDE, 1) + 0.5,
        "tiny": np.float32(1e-6),
        "least": np.float32(0.3),
        "share": np.float32(0.02),
        "sure": np.float32(0.9),
        "red": np.array([0], np.int64),
        "green": np.array([1], np.int64),
        "places": np.array([1], np.int64),
    }
    nodes.append(helper.make_node("Gather", ["images", "red"], ["r"], axis=1))
    nodes.append(helper.make_node("Gather", ["images", "green"], ["g"], axis=1))
    rows, parts = 57 if end_to_end else 56, []
    for colour, (one, other) in enumerate((("r", "g"), ("g", "r"))):
        n = f"c{colour}"
        nodes += [
            helper.make_node("Sub", [one, other], [f"{n}d"]),
            helper.make_node("Sub", [f"{n}d", "least"], [f"{n}e"]),
            helper.make_node("Relu", [f"{n}e"], [f"{n}m"]),
            helper.make_node("ReduceSum", [f"{n}m"], [f"{n}s"], keepdims=0),
            helper.make_node("Add", [f"{n}s", "tiny"], [f"{n}t"]),
            helper.make_node("Mul", [f"{n}s", "share"], [f"{n}c0"]),
            helper.make_node("Min", [f"{n}c0", "sure"], [f"{n}c"]),
        ]
        maps = {"x": np.zeros((rows, columns)), "y": np.zeros((rows, columns)), "c": np.zeros((rows, columns))}
        base = np.zeros((rows, columns))
        for copy in (0, 1):
            at, (wide, high) = 2 * colour + copy, BOX
            if end_to_end:
                maps["x"][[0, 2], at] = maps["y"][[1, 3], at] = 1
                base[[0, 1, 2, 3], at] = -wide / 2, -high / 2, wide / 2, high / 2
            else:
                maps["x"][0, at] = maps["y"][1, at] = 1
                base[2:4, at] = BOX
            start = 6 if end_to_end else 5
            maps["x"][start::3, at] = maps["y"][start + 1 :: 3, at] = 1
            base[start::3, at], base[start + 1 :: 3, at] = OFFSETS.T
            base[start + 2 :: 3, at] = 0.8
            maps["c"][4, at] = 1 - 0.3 * copy
        for axis in ("x", "y"):
            nodes += [
                helper.make_node("Mul", [f"{n}m", axis], [f"{n}{axis}w"]),
                helper.make_node("ReduceSum", [f"{n}{axis}w"], [f"{n}{axis}s"], keepdims=0),
                helper.make_node("Div", [f"{n}{axis}s", f"{n}t"], [f"{n}{axis}"]),
            ]
        for axis, array in maps.items():
            constants[f"{n}{axis}map"] = array.astype(np.float32)[None]
            nodes.append(helper.make_node("Mul", [f"{n}{axis}map", f"{n}{axis}"], [f"{n}{axis}p"]))
            parts.append(f"{n}{axis}p")
        constants[f"{n}base"] = base.astype(np.float32)[None]
        parts.append(f"{n}base")
    nodes.append(helper.make_node("Sum", parts, ["found" if end_to_end else "output0"]))
    shape = [1, rows, columns]
    if end_to_end:
        nodes.append(helper.make_node("Transpose", ["found"], ["output0"], perm=[0, 2, 1]))
        shape = [1, columns, rows]
    del constants["places"]
    return _save(path, nodes, [("images", [1, 3, SIDE, SIDE])], [("output0", shape)], constants, about or {})


def rtmpose(path: Path, width: int = 48, height: int = 64) -> Path:
    """Finds the red square in a picture of one person, in half pixels; joint j is j half pixels below its middle."""
    from onnx import helper

    constants: dict[str, np.ndarray] = {
        "red": np.array([0], np.int64),
        "green": np.array([1], np.int64),
        "one": np.float32(1),
        "sure": np.float32(0.8),
        "tiny": np.float32(1e-6),
        "last": np.array([3], np.int64),
        "rows": np.array([2], np.int64),
        "columns": np.array([3], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["input", "red"], ["r"], axis=1),
        helper.make_node("Gather", ["input", "green"], ["g"], axis=1),
        helper.make_node("Sub", ["r", "g"], ["d"]),
        helper.make_node("Sub", ["d", "one"], ["e"]),
        helper.make_node("Relu", ["e"], ["m"]),
    ]
    outputs = []
    for axis, side, other in (("x", width, "rows"), ("y", height, "columns")):
        spread = np.zeros(
            (JOINTS, side, 2 * side), np.float32
        )  # a blurred profile of the square, so that it has a peak
        for joint in range(JOINTS):
            for i in range(side):
                at = 2 * i + 1 + (joint if axis == "y" else 0) + np.arange(-100, 101)
                good = (at >= 0) & (at < 2 * side)
                spread[joint, i, at[good]] = np.exp(-((np.arange(-100, 101) / 40.0) ** 2))[good]
        constants[f"{axis}map"] = spread[None]
        nodes += [
            helper.make_node("ReduceSum", ["m", other], [f"{axis}profile"], keepdims=0),
            helper.make_node("Unsqueeze", [f"{axis}profile", "rows"], [f"{axis}row"]),
            helper.make_node("MatMul", [f"{axis}row", f"{axis}map"], [f"{axis}all"]),
            helper.make_node("Squeeze", [f"{axis}all", "rows"], [f"{axis}flat"]),
            helper.make_node("ReduceMax", [f"{axis}flat"], [f"{axis}most"], axes=[2], keepdims=1),
            helper.make_node("Add", [f"{axis}most", "tiny"], [f"{axis}full"]),
            helper.make_node("Div", [f"{axis}flat", f"{axis}full"], [f"{axis}share"]),
            helper.make_node("Mul", [f"{axis}share", "sure"], [f"simcc_{axis}"]),
        ]
        outputs.append((f"simcc_{axis}", [1, JOINTS, 2 * side]))
    for name in ("last",):
        del constants[name]
    return _save(path, nodes, [("input", [1, 3, height, width])], outputs, constants, {})


def heat_maps(path: Path) -> Path:
    """Maps of the red square, the same for all joints, ``[1, 17, 24, 24]``."""
    from onnx import helper

    constants = {
        "red": np.array([0], np.int64),
        "green": np.array([1], np.int64),
        "times": np.array([1, JOINTS, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["images", "red"], ["r"], axis=1),
        helper.make_node("Gather", ["images", "green"], ["g"], axis=1),
        helper.make_node("Sub", ["r", "g"], ["d"]),
        helper.make_node("Relu", ["d"], ["m"]),
        helper.make_node("AveragePool", ["m"], ["blurred"], kernel_shape=[9, 9], pads=[4, 4, 4, 4]),
        helper.make_node("AveragePool", ["blurred"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Tile", ["small", "times"], ["maps"]),
    ]
    return _save(
        path, nodes, [("images", [1, 3, SIDE, SIDE])], [("maps", [1, JOINTS, SIDE // 4, SIDE // 4])], constants, {}
    )


def squares(number: int, size: tuple[int, int] = (120, 80), green: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A picture with both squares, and their middles ``[2, 2]``."""
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    middles = np.array([[20.0 + 2 * number, 30.0], [100.0 - 2 * number, 56.0]])
    for (x, y), colour in list(zip(middles.astype(int), ((250, 10, 10), (10, 250, 10))))[: 1 + green]:
        picture[y - 6 : y + 6, x - 7 : x + 7] = colour
    return picture, middles


def video(path: Path, frames: int = 12, green: bool = True, rate: int = 25) -> Path:
    """The squares pass each other."""
    from fractions import Fraction

    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 120, 80, "yuv444p"
        stream.time_base = Fraction(1, rate)
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(squares(k, green=green)[0], format="rgb24").reformat(format="yuv444p")
            frame.pts, frame.time_base = k, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
