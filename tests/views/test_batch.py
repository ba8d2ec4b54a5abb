"""Batches and the source that gathers them."""

import gc
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.training import make_store
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme.data import store, store_writer
from kineme.motion.layout import Layout, layout
from kineme.motion.motion import Motion
from kineme.utils.buffers import BufferPool
from kineme.utils.errors import InputError
from kineme.views import source
from kineme.views.augment import ViewSettings, centre_crop, view
from kineme.views.batch import Batch
from kineme.views.source import ClipLoader, _free_memory, resize, resize_plan
from kineme.views.streams import stream


def chain(joints: int) -> Layout:
    return Layout("free", tuple(f"joint {i}" for i in range(joints)), tuple(range(-1, joints - 1)))


def made(lengths, persons=2, joints=5, coords=3, seed=0):
    """A store in memory: noise, with confidences; the last person is absent from every other clip."""
    rng = np.random.default_rng(seed)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    frames = rng.normal(size=(offsets[-1], persons, joints, coords)).astype(np.float32)
    seen = rng.uniform(0.1, 1, frames.shape[:3]).astype(np.float32)
    for clip in range(0, len(lengths) if persons > 1 else 0, 2):
        part = slice(offsets[clip], offsets[clip + 1])
        frames[part, -1], seen[part, -1] = 0, 0
    return SimpleNamespace(
        frames=frames, confidence=seen, lengths=np.array(lengths), offsets=offsets, layout=chain(joints)
    )


def whole(source: ClipLoader, index: torch.Tensor, frames: int) -> Batch:
    return source.gather(index, torch.zeros_like(index), source.lengths[index], frames)


def resized(array: np.ndarray, frames: int) -> torch.Tensor:
    """torch's own resize of one stretch ``[L, ...]`` in float64."""
    rows = torch.from_numpy(array).double().flatten(1).T[None]
    out = torch.nn.functional.interpolate(rows, size=frames, mode="linear", align_corners=False)
    return out[0].T.reshape(frames, *array.shape[1:])


# ---- Batch


def test_a_batch_is_cut_and_moved():
    frames = torch.zeros(4, 3, 3, 8, 8, dtype=torch.uint8)
    batch = Batch(torch.rand(4, 3, 2, 5, 3), torch.rand(4, 3, 2, 5), torch.arange(4), frames)
    mask = torch.tensor([True, False, False, True])
    for which, rows in ((slice(1, 3), [1, 2]), (mask, [0, 3]), (torch.tensor([2, 0]), [2, 0]), ([3], [3])):
        part = batch[which]
        assert len(part) == len(rows)
        assert part.index.tolist() == rows
        for name in ("joints", "confidence", "frames"):
            assert torch.equal(getattr(part, name), getattr(batch, name)[rows])
    moved = batch.to("meta")
    assert all(getattr(moved, name).device.type == "meta" for name in ("joints", "confidence", "index", "frames"))
    assert Batch(batch.joints, batch.confidence, batch.index)[1:].frames is None
    with pytest.raises(TypeError, match="slice"):
        batch[1]


# ---- resizing in time


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_gather_is_the_linear_resize_of_each_stretch(data):
    lengths = data.draw(st.lists(st.integers(1, 90), min_size=1, max_size=6))
    persons, joints, coords, frames = (data.draw(st.integers(*limits)) for limits in ((1, 3), (1, 7), (2, 3), (1, 70)))
    clips = made(lengths, persons, joints, coords)
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=6))
    many = [data.draw(st.integers(1, lengths[i])) for i in rows]
    first = [data.draw(st.integers(0, lengths[i] - n)) for i, n in zip(rows, many)]
    index = torch.tensor(rows)
    batch = ClipLoader(clips).gather(index, torch.tensor(first), torch.tensor(many), frames)
    assert batch.joints.shape == (len(index), frames, persons, joints, coords)
    assert batch.joints.dtype == torch.float32
    assert batch.confidence.shape == batch.joints.shape[:-1]
    assert torch.equal(batch.index, index)
    for row, (i, begin, length) in enumerate(zip(rows, first, many)):
        part = slice(clips.offsets[i] + begin, clips.offsets[i] + begin + length)
        torch.testing.assert_close(batch.joints[row].double(), resized(clips.frames[part], frames), atol=2e-6, rtol=0)
        torch.testing.assert_close(
            batch.confidence[row].double(), resized(clips.confidence[part], frames), atol=2e-6, rtol=0
        )


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 500))
def test_the_plan_stays_inside_the_stretch_and_holds_the_ends(length, frames):
    first, second, share = (part[0] for part in resize_plan(torch.tensor([length]), frames))
    assert first.min() >= 0
    assert second.max() < length
    assert torch.equal(second, (first + 1).clamp(max=length - 1))
    assert share.dtype == torch.float32
    assert share.min() >= 0
    assert share.max() < 1
    place = first + share.double()
    wanted = ((torch.arange(frames, dtype=torch.float64) + 0.5) * length / frames - 0.5).clamp(0, length - 1)
    torch.testing.assert_close(place, wanted, atol=1e-6, rtol=0)


def test_as_many_frames_as_the_stretch_has_are_the_stretch_itself():
    clips = made([64, 20, 64])
    source = ClipLoader(clips)
    batch = whole(source, torch.tensor([0, 2]), 64)
    assert np.array_equal(batch.joints[1].numpy(), clips.frames[84:])
    assert np.array_equal(batch.confidence[0].numpy(), clips.confidence[:64])


def test_constants_stay_and_lines_stay_lines():
    clips = made([30, 200, 7])
    clip = np.repeat(np.arange(3), clips.lengths)
    clips.frames[:] = (clip + 1)[:, None, None, None]
    batch = whole(ClipLoader(clips), torch.arange(3), 64)
    wanted = torch.tensor([1.0, 2, 3])[:, None, None, None, None].expand_as(batch.joints)
    torch.testing.assert_close(batch.joints, wanted, atol=1e-6, rtol=0)  # nothing leaks from clip to clip
    clips.frames[:] = (np.arange(len(clip)) - clips.offsets[clip])[:, None, None, None]
    line = whole(ClipLoader(clips), torch.arange(3), 64).joints[:, :, 0, 0, 0].double()
    for row, length in enumerate(clips.lengths):
        place = (np.arange(64) + 0.5) * length / 64 - 0.5
        inside = (place >= 0) & (place <= length - 1)
        np.testing.assert_allclose(line[row][inside], place[inside], atol=1e-4)


def gappy(seed: int, coords: int = 3) -> SimpleNamespace:
    """A store with gaps of every kind: single joints, whole frames, whole persons; 0 where something is missing."""
    clips, rng = made([31, 64, 9, 120], persons=2, coords=coords, seed=seed), np.random.default_rng(seed)
    gone = rng.random(clips.confidence.shape) < 0.3
    gone |= rng.random(len(gone))[:, None, None] < 0.1
    clips.confidence[gone], clips.frames[gone] = 0, 0
    return clips


def shown(clips: SimpleNamespace, clip: int, start: int, length: int) -> Motion:
    part = slice(clips.offsets[clip] + start, clips.offsets[clip] + start + length)
    return Motion(clips.frames[part], clips.layout, clips.confidence[part])


def test_a_joint_at_rest_stays_there_through_a_gap():
    # REVIEW A1: resting at 1.0, one frame of 31 missing, resized to 64: the blend with 0 gave .73 .24 .24 .73
    clips = made([31], persons=1)
    clips.frames[:], clips.confidence[:] = 1, 1
    clips.frames[15], clips.confidence[15] = 0, 0
    batch = whole(ClipLoader(clips), torch.tensor([0]), 64)
    there = batch.confidence > 0
    torch.testing.assert_close(batch.joints, there.float()[..., None].expand_as(batch.joints), atol=1e-6, rtol=0)
    assert 0 < batch.confidence.min() < 0.5  # between a seen and a missing frame it fades
    assert stream(batch, "motion", clips.layout).joints.abs().max() < 1e-6


@pytest.mark.parametrize("resident", [True, False])
@settings(deadline=None, max_examples=25)
@given(st.data())
def test_gaps_are_taken_as_motion_takes_them(resident, data):
    clips = gappy(data.draw(st.integers(0, 99)), data.draw(st.integers(2, 3)))
    loader, frames = ClipLoader(clips, resident=resident), data.draw(st.integers(1, 90))
    lengths = [data.draw(st.integers(1, int(n))) for n in clips.lengths]
    starts = [data.draw(st.integers(0, int(n) - length)) for n, length in zip(clips.lengths, lengths)]
    batch = loader.gather(torch.arange(4), torch.tensor(starts), torch.tensor(lengths), frames)
    for clip, (start, length) in enumerate(zip(starts, lengths)):
        wanted = shown(clips, clip, start, length).resize(frames)
        np.testing.assert_allclose(batch.joints[clip], wanted.joints, atol=1e-5)
        np.testing.assert_allclose(batch.confidence[clip], wanted.confidence, atol=1e-6)


def test_a_batch_is_resized_as_clips_are_gathered():
    clips, index = gappy(5), torch.tensor([1])
    loader = ClipLoader(clips)
    for frames in (20, 64, 100):
        made, wanted = resize(whole(loader, index, 64), frames), whole(loader, index, frames)
        torch.testing.assert_close(made.joints, wanted.joints, atol=1e-5, rtol=0)
        torch.testing.assert_close(made.confidence, wanted.confidence, atol=1e-5, rtol=0)


def test_bones_and_motions_of_gaps_are_those_of_motion():
    clips = gappy(3)
    lengths, loader = torch.from_numpy(clips.lengths), ClipLoader(clips)
    for clip, length in enumerate(lengths):
        batch = loader.gather(torch.tensor([clip]), torch.tensor([0]), length[None], int(length))
        motion = shown(clips, clip, 0, int(length))
        np.testing.assert_allclose(stream(batch, "bone", clips.layout).joints[0], motion.bones(), atol=1e-6)
        seen = (motion.confidence[1:] > 0) & (motion.confidence[:-1] > 0)
        moved = np.zeros_like(motion.joints)  # next frame minus this one; nothing into the unseen and in the last frame
        moved[:-1] = np.diff(motion.joints, axis=0) * seen[..., None]
        np.testing.assert_allclose(stream(batch, "motion", clips.layout).joints[0], moved, atol=1e-6)


def test_under_faithful_a_missing_joint_is_a_joint_at_zero():
    clips = gappy(1)
    index, length = torch.tensor([1]), torch.tensor([64])
    batch = ClipLoader(clips, faithful=True).gather(index, torch.tensor([0]), length, 40)
    part = slice(clips.offsets[1], clips.offsets[2])
    torch.testing.assert_close(batch.joints[0].double(), resized(clips.frames[part], 40), atol=2e-6, rtol=0)
    assert bool((batch.confidence == 1).all())
    moved = stream(batch, "motion", clips.layout).joints
    torch.testing.assert_close(moved[:, :-1], batch.joints[:, 1:] - batch.joints[:, :-1], atol=0, rtol=0)


def test_absent_persons_stay_absent():
    batch = whole(ClipLoader(made([90, 50, 10])), torch.arange(3), 40)
    absent, present = batch[::2], batch[1:2]
    assert not absent.joints[:, :, -1].any()
    assert not absent.confidence[:, :, -1].any()
    assert present.joints[:, :, -1].all()
    assert present.confidence.min() > 0
    assert batch.confidence.max() <= 1


@pytest.mark.parametrize(("start", "length"), [(-1, 5), (0, 0), (0, 21), (18, 3)])
def test_a_stretch_that_leaves_its_clip_is_refused(start, length):
    source = ClipLoader(made([30, 20, 30]))
    with pytest.raises(InputError, match=rf"clip 1: a segment of {length} frames from frame {start}.*20 frames"):
        source.gather(torch.tensor([0, 1]), torch.tensor([0, start]), torch.tensor([30, length]), 8)


# ---- where the store lies


@pytest.fixture
def mapped(tmp_path):
    """A store whose arrays are read-only memory maps."""
    clips = made([90, 130, 64, 200, 75, 300])
    for name in ("frames", "confidence"):
        np.save(tmp_path / f"{name}.npy", getattr(clips, name))
        setattr(clips, name, np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    return clips


def test_a_store_on_the_device_and_one_in_its_memory_map_give_the_same_batches(mapped):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a read-only map is no reason to complain
        there, on_disk = (ClipLoader(mapped, resident=resident) for resident in (True, False))
    everything = ViewSettings(mirror=0.5, rotate=0.5, noise=0.1)
    for round, size in enumerate((1, 4, 32)):
        index = torch.randint(6, (size,), generator=torch.Generator().manual_seed(round))
        one = view(there, index, everything, torch.Generator().manual_seed(round))
        other = view(on_disk, index, everything, torch.Generator().manual_seed(round))
        assert torch.equal(one.joints, other.joints)
        assert torch.equal(one.confidence, other.confidence)
        crop = centre_crop(there.lengths[index])
        assert torch.equal(there.gather(index, *crop, 50).joints, on_disk.gather(index, *crop, 50).joints)


def test_a_resident_store_is_a_copy_and_the_other_is_not():
    clips = made([64])
    there, outside = ClipLoader(clips, resident=True), ClipLoader(clips, resident=False)
    before = clips.frames.copy()
    clips.frames += 1
    assert np.array_equal(whole(there, torch.arange(1), 64).joints[0].numpy(), before)
    assert np.array_equal(whole(outside, torch.arange(1), 64).joints[0].numpy(), clips.frames)


def test_a_quarter_of_the_free_memory_is_the_limit(mapped, monkeypatch):
    size = mapped.frames.nbytes + mapped.confidence.nbytes
    monkeypatch.setattr(source, "_free_memory", lambda device: 4 * size)
    assert ClipLoader(mapped).resident
    monkeypatch.setattr(source, "_free_memory", lambda device: 4 * size - 1)
    assert not ClipLoader(mapped).resident
    assert ClipLoader(mapped, resident=True).resident
    monkeypatch.undo()
    assert 1 << 20 < _free_memory(torch.device("cpu")) < 1 << 60


def test_rows_are_the_clips_that_the_source_stands_for():
    clips = made([10, 20, 30])
    assert ClipLoader(clips).rows.tolist() == [0, 1, 2]
    assert len(ClipLoader(clips)) == 3
    for rows in ([2, 0], np.array([2, 0]), torch.tensor([2, 0])):
        source = ClipLoader(clips, rows=rows)
        assert source.rows.tolist() == [2, 0]
        assert len(source) == 2
        assert source.lengths.tolist() == [10, 20, 30]
    for rows in ([3], [-1], [[0]]):
        with pytest.raises(InputError, match="rows"):
            ClipLoader(clips, rows=rows)
    clips.layout = chain(4)
    with pytest.raises(InputError, match="4 joints"):
        ClipLoader(clips)


@pytest.mark.parametrize("resident", [True, False])
def test_single_frames_by_their_number(resident):
    data = made([3, 1, 5, 2])
    source = ClipLoader(data, resident=resident)
    numbers = source.frame_numbers(torch.tensor([2, 0]))
    assert numbers.tolist() == [4, 5, 6, 7, 8, 0, 1, 2]
    joints, seen = source.poses(numbers.flip(0))
    np.testing.assert_array_equal(joints.flip(0), data.frames[numbers])
    np.testing.assert_array_equal(seen.flip(0), data.confidence[numbers])


@pytest.mark.parametrize(("up", "axis", "way"), [("+y", 1, 1), ("-y", 1, -1), ("+z", 2, 1), (None, 1, 1)])
def test_which_way_is_up(up, axis, way):
    data = made([2])
    data.card = {"up": up}
    source = ClipLoader(data)
    assert (source.up, source.upward) == (axis, way)


def test_a_store_on_disk_is_a_source(tmp_path):
    ntu = layout("ntu25")
    rng = np.random.default_rng(0)
    with store_writer.Writer(tmp_path / "store", ntu) as writer:
        motions = [Motion(rng.normal(size=(n, m, 25, 3)), ntu, up="+z", source=f"{n}") for n, m in ((70, 1), (90, 2))]
        for motion in motions:
            writer.add(motion)
    source = ClipLoader(store.open(tmp_path / "store"))
    assert (source.persons, source.coords, source.up, source.layout) == (2, 3, 2, ntu)
    batch = source.gather(torch.tensor([1, 0]), torch.tensor([0, 10]), torch.tensor([90, 60]), 60)
    assert np.array_equal(batch.joints[1, :, :1].numpy(), motions[0].joints[10:])
    assert not batch.joints[1, :, 1].any()
    assert not batch.confidence[1, :, 1].any()
    assert (batch.confidence[0] == 1).all()


# ---- memory that is used again


def test_memory_comes_back_only_when_nothing_refers_to_it():
    memory = BufferPool()
    first = memory.empty(4, 5)
    place = first.data_ptr()
    assert first.shape == (4, 5)
    assert first.dtype == torch.float32
    assert place % 64 == 0
    part = first[2:]
    del first
    assert memory.empty(20).data_ptr() != place  # a slice still lives in it
    del part
    gc.collect()
    assert memory.empty(7).data_ptr() != place  # another size
    assert memory.empty(2, 10).data_ptr() == place
    held = [memory.empty(20) for _ in range(3 * BufferPool.KEPT)]
    assert len({tensor.data_ptr() for tensor in held}) == len(held)


def test_batches_that_are_held_are_not_written_over():
    source, gen = ClipLoader(made([90, 130, 64, 200])), torch.Generator().manual_seed(0)
    index = torch.tensor([0, 1, 2, 3])
    held = [view(source, index, ViewSettings(), gen) for _ in range(20)]
    copies = [(batch.joints.clone(), batch.confidence.clone()) for batch in held]
    for _ in range(20):
        view(source, index, ViewSettings(), gen)
    assert all(
        torch.equal(b.joints, joints) and torch.equal(b.confidence, seen) for b, (joints, seen) in zip(held, copies)
    )


def test_what_autograd_keeps_is_not_written_over():
    source, gen = ClipLoader(made([90, 130, 64, 200])), torch.Generator().manual_seed(0)
    index = torch.tensor([0, 1, 2, 3])
    linear = torch.nn.Linear(3, 2)
    batch = view(source, index, ViewSettings(), gen)
    wanted = torch.autograd.grad(linear(batch.joints.clone()).square().sum(), linear.weight)[0]
    loss = linear(batch.joints).square().sum()
    del batch
    for _ in range(10):
        view(source, index, ViewSettings(), gen)
    assert torch.equal(torch.autograd.grad(loss, linear.weight)[0], wanted)


def test_memory_is_used_again_from_batch_to_batch():
    source, gen = ClipLoader(made([90, 130, 64, 200])), torch.Generator().manual_seed(0)
    index = torch.tensor([0, 1, 2, 3])
    places = {view(source, index, ViewSettings(), gen).joints.data_ptr() for _ in range(20)}
    assert len(places) == 1


def test_several_threads_may_gather():
    source = ClipLoader(made([90, 130, 64, 200]))

    def work(seed):
        batch = view(source, torch.arange(4), ViewSettings(), torch.Generator().manual_seed(seed))
        return batch, batch.joints.clone()

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(work, range(64)))
    assert all(torch.equal(batch.joints, joints) for batch, joints in done)


def test_no_gradient_is_recorded():
    everything = ViewSettings(mirror=0.5, rotate=1, noise=1)
    batch = view(ClipLoader(made([90, 70])), torch.arange(2), everything, torch.Generator())
    assert not any(stream(batch, name, chain(5)).joints.requires_grad for name in ("joint", "bone", "motion"))
    with torch.inference_mode():
        kept = view(ClipLoader(made([90, 70])), torch.arange(2), ViewSettings(), torch.Generator())
    assert kept.joints.isfinite().all()


def test_groups_are_of_the_columns_that_a_store_has(tmp_path):
    source = ClipLoader(make_store(tmp_path / "store", clips=12))
    labels = source.store.column("label")
    found = source.groups(("label", "nothing"))
    assert [labels[found == g].tolist() for g in found.unique()] == [[name] * 3 for name in dict.fromkeys(labels)]
    assert source.groups(("nothing",)) is None
    assert source.groups(("dataset",)) is None  # one value, one group
