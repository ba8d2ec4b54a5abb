"""YOLO-pose (.onnx): everybody in a picture at once, 17 joints of COCO or others.

Models as Ultralytics exports them (``yolo export model=yolo11n-pose.pt format=onnx``): a picture ``[1, 3, H, W]`` from
0 to 1 with grey around it; out come rows of box, confidence and x, y, confidence of every joint, ``[1, 5 + 3 V, N]``,
of which those of one person are thinned out; or, exported with ``end2end`` or ``nms``, ``[1, N, 6 + 3 V]`` with corners
and a class.
"""

from __future__ import annotations

import numpy as np

from ...utils.errors import InputError
from . import Estimator, Models, _onnx, layout_of


def fits(signature: _onnx.Signature) -> bool:
    """One picture in, one table of people out."""
    return signature.takes_pictures and signature.joints is not None


def load(models: Models) -> YoloPose:
    """Open the model."""
    return YoloPose(models)


class YoloPose(Estimator):
    """People and their joints in one go; see the head of this file."""

    def __init__(self, models: Models):
        self.session = _onnx.Session(models.file)
        self.layout = layout_of(self.session.signature.joints or 0, models)
        self.least = models.min_confidence

    def people(self, picture: np.ndarray) -> np.ndarray:
        """See :meth:`kineme.io.estimators.Estimator.people`."""
        _, _, joints = _onnx.yolo_people(self.session, picture, self.least)
        if joints.shape[1] != 3 * len(self.layout):
            found = f"rows with {joints.shape[1]} values for joints"
            raise InputError(self.session.path, found, f"{len(self.layout)} joints of 3")
        return joints.reshape(len(joints), len(self.layout), 3)
