"""Depthwise convolution over tokens."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def depthwise(x: Tensor, kernel: Tensor) -> Tensor:
    """Convolve every channel of ``x [B, N, d]`` over the tokens with its own ``kernel [d, k]``, k odd, zeros beyond.

    Examples:
        >>> depthwise(torch.ones(1, 3, 1), torch.ones(1, 3))[0, :, 0]
        tensor([2., 3., 2.])
    """
    # in two dimensions, of which one is 1, the channels may stay last: on a CPU twice as fast
    size = kernel.shape[1]
    wide = F.conv2d(x.mT.unsqueeze(2), kernel[:, None, None], padding=(0, size // 2), groups=len(kernel))
    return wide.squeeze(2).mT
