"""What encoders of pictures share: their input, and what is known of weights that others published."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from ..utils.errors import InputError
from ..views.batch import Batch


class Public(NamedTuple):
    """Weights that others published for an encoder; the names of its own weights are theirs.

    Attributes:
        what: what the file is called.
        aside: pattern of names in the file that the encoder does not have, such as a classifier's.
        own: pattern of the encoder's names that the file does not have; they keep their initial values.
    """

    what: str
    aside: str
    own: str = ""


def pictures_of(batch: Batch, frames: int, pixels: int) -> Tensor:
    """The pictures ``[B, 3, T, H, W]`` of a batch.

    Raises:
        InputError: it has none, or fewer or smaller ones than the network can shrink.
    """
    if batch.frames is None:
        raise InputError(
            "the clips",
            "no pictures",
            "a store with pictures",
            "Make one with: kineme prepare VIDEOS STORE --poses DIR",
        )
    _, time, _, height, width = batch.frames.shape
    if time < frames or min(height, width) < pixels:
        raise InputError(
            "the clips", f"{time} pictures of {width} x {height}", f"at least {frames} of {pixels} x {pixels}"
        )
    return batch.frames.transpose(1, 2)
