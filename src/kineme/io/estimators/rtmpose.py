"""RTMPose (.onnx): one person at a time, in boxes that a YOLO model finds first; 17, 26, 133 joints.

Models as MMPose and MMDeploy export them (Jiang et al., arXiv:2303.07399): a picture of one person ``[1, 3, H, W]``,
normalised by the mean and spread of ImageNet; out come two tables of scores, along x and along y, in half pixels
(SimCC, Li et al., ECCV 2022): ``[1, V, 2 W]`` and ``[1, V, 2 H]``. A joint is where both are highest, and as sure as
the lower of these scores. Boxes are widened by a quarter. Without a model for boxes the whole picture is one person.
"""

from __future__ import annotations

import numpy as np

from ...utils.errors import InputError
from . import Estimator, Models, _onnx, layout_of

MEAN = np.array((123.675, 116.28, 103.53), np.float32)
SPREAD = np.array((58.395, 57.12, 57.375), np.float32)
WIDER = 1.25


def fits(signature: _onnx.Signature) -> bool:
    """One picture in, scores along x and y out."""
    shapes = signature.outputs
    return (
        signature.takes_pictures
        and len(shapes) >= 2
        and all(len(shape) == 3 for shape in shapes[:2])
        and shapes[0][1] == shapes[1][1]
        and shapes[0][1] is not None
    )


def load(models: Models) -> RTMPose:
    """Open the model, and that of boxes."""
    return RTMPose(models)


class RTMPose(Estimator):
    """Boxes of people, then the joints in each; see the head of this file."""

    def __init__(self, models: Models):
        self.session = _onnx.Session(models.file)
        self.layout = layout_of(self.session.signature.outputs[0][1] or 0, models)
        self.least = models.min_confidence
        self.boxes = None if models.boxes is None else _onnx.Session(models.boxes)
        if self.boxes is not None and not self.boxes.signature.takes_pictures:
            raise InputError(models.boxes, f"a model with {self.boxes.signature}", "a YOLO model that finds people")

    def people(self, picture: np.ndarray) -> np.ndarray:
        """See :meth:`kineme.io.estimators.Estimator.people`."""
        if self.boxes is None:
            boxes = np.array([[0, 0, picture.shape[1], picture.shape[0]]], np.float32)
        else:
            boxes, *_ = _onnx.yolo_people(self.boxes, picture, self.least)
        found = [self._person(picture, box) for box in boxes]
        return np.stack(found) if found else np.zeros((0, len(self.layout), 3), np.float32)

    def _person(self, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
        """x, y and confidence ``[V, 3]`` of the person in a box."""
        from PIL import Image

        width, height = self.session.size
        middle = (box[:2] + box[2:]) / 2
        wide, high = np.maximum(box[2:] - box[:2], 1) * WIDER
        scale = max(wide / width, high / height)  # pixels of the picture for one of the model's
        corner = middle - scale * np.array([width, height]) / 2
        there = (scale, 0, float(corner[0]), 0, scale, float(corner[1]))
        person = Image.fromarray(picture).transform(
            (width, height), Image.Transform.AFFINE, there, Image.Resampling.BILINEAR
        )
        values = (np.asarray(person, np.float32) - MEAN) / SPREAD
        scores = self.session.run(np.ascontiguousarray(values.transpose(2, 0, 1), np.float32))[:2]
        places, sure = [], []
        for score, side in zip(scores, (width, height)):
            score = np.asarray(score, np.float32)
            if score.ndim != 3 or score.shape[:2] != (1, len(self.layout)) or not score.shape[2]:
                raise InputError(self.session.path, f"an output of shape {list(score.shape)}", "[1, V, places]")
            places.append(score[0].argmax(1) * (side / score.shape[2]) * scale)
            sure.append(score[0].max(1))
        confidence = np.clip(np.minimum(*sure), 0, 1)
        return np.stack([places[0] + corner[0], places[1] + corner[1], confidence], axis=1).astype(np.float32)
