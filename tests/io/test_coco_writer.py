"""COCO files written by Kineme read back: any layout, several people, gaps, names of clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import io as readers
from kineme import synth
from kineme.io import coco
from kineme.motion.layout import free, layouts
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError


@pytest.mark.parametrize("name", layouts())
def test_every_layout_comes_back(name, tmp_path):
    clip = next(synth.generate(1, layout=name, coords=2, dropout=0.2, actions=["shake_hands"]))[:10]
    folder = coco.write(tmp_path, [clip.with_(source="a")])
    back = readers.read(folder / "a.json")
    assert (back.layout.joints, back.fps, back.image_size, back.unit) == (clip.layout.joints, 30.0, (1920, 1080), "px")
    assert back.persons == clip.persons
    found = [m for m in range(2) if np.array_equal(back.confidence[:, m], clip.confidence[:, 0])]
    assert len(found) >= 1
    np.testing.assert_allclose(back.joints[:, found[0]], clip.joints[:, 0], atol=6e-4)


@settings(max_examples=30, deadline=None)
@given(
    frames=st.integers(1, 8),
    persons=st.integers(1, 3),
    seed=st.integers(0, 999),
    first=st.integers(0, 50),
    fps=st.sampled_from([None, 12.5, 29.97]),
)
def test_round_trip(tmp_path_factory, frames, persons, seed, first, fps):
    rng = np.random.default_rng(seed)
    body = free(["top", "left end", "tail"], [-1, 0, 1])
    joints = (rng.uniform(1, 900, (1, persons, 3, 2)) + rng.normal(0, 1, (frames, persons, 3, 2))).round(3)
    seen = rng.uniform(0.1, 1, (frames, persons, 3)).round(5)
    seen[:, :, 2] *= rng.random((frames, persons)) < 0.5
    motion = Motion(joints, body, seen, fps=fps, up="-y", unit="px", source="x", extra={"first_frame": first})
    back = readers.read(coco.write_file(tmp_path_factory.mktemp("coco") / "x.json", motion))
    assert (back.layout.joints, back.layout.parents) == (body.joints, body.parents)
    assert (len(back), back.fps, back.extra["first_frame"], back.image_size) == (frames, fps, first, None)
    order = [int(np.abs(back.joints[0, :, 0] - joints[0, m, 0]).sum(-1).argmin()) for m in range(persons)]
    np.testing.assert_allclose(back.confidence[:, order], seen, atol=6e-6)
    there = seen > 0
    np.testing.assert_allclose(back.joints[:, order][there], joints[there], atol=6e-4)


def test_names_stay_in_the_folder(tmp_path):
    clip = next(synth.generate(1, layout="coco17"))
    coco.write(
        tmp_path / "out", [clip.with_(source="../../evil"), clip.with_(source="/abs.json"), clip.with_(source="")]
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_.._evil.json", "_abs.json", "clip.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(InputError, match="a second clip of this name"):
        coco.write(tmp_path / "out", [clip, clip])
    with pytest.raises(InputError, match="a motion in space"):
        coco.write(tmp_path / "out", [next(synth.generate(1))])
