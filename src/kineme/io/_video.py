"""Videos and pictures told from noise: no motion is in them until a pose estimator has looked."""

from __future__ import annotations

import re

VIDEO, PICTURE = "a video", "a picture"
EXPECTED = "poses: joints over time"
HOW = (
    "Get poses first: a pose estimator (MediaPipe, OpenPose, AlphaPose, MMPose) finds the joints in every frame, and "
    "Kineme reads the keypoint files that it writes"
)
STILL = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")  # brands of pictures in the container of MP4
KINDS = (
    (VIDEO, re.compile(rb"[\x00-\x08]...(ftyp|moov|mdat|wide|free|skip|pnot)", re.DOTALL)),  # MP4, M4V, MOV, 3GP
    (VIDEO, re.compile(rb"RIFF....AVI ", re.DOTALL)),
    (VIDEO, re.compile(rb"\x1a\x45\xdf\xa3")),  # Matroska, WebM
    (VIDEO, re.compile(rb"\x00\x00\x01[\xb3\xba]")),  # MPEG 1 and 2
    (VIDEO, re.compile(rb"\x47.{187}\x47.{187}\x47", re.DOTALL)),  # MPEG transport stream
    (VIDEO, re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11")),  # WMV, ASF
    (VIDEO, re.compile(rb"FLV\x01")),
    (VIDEO, re.compile(rb"OggS.{24}.{0,20}(\x80theora|BBCD\x00|Speex|fishead)", re.DOTALL)),
    (PICTURE, re.compile(rb"GIF8[79]a|\x89PNG\r\n\x1a\n|\xff\xd8\xff|BM.{4}\x00{4}|II\*\x00|MM\x00\*", re.DOTALL)),
    (PICTURE, re.compile(rb"RIFF....WEBP", re.DOTALL)),
)


def kind(head: bytes) -> str | None:
    """``a video``, ``a picture`` or None, by the first bytes of a file, whatever its name is."""
    if head[4:8] == b"ftyp" and head[8:12] in STILL:
        return PICTURE
    return next((word for word, opening in KINDS if opening.match(head)), None)
