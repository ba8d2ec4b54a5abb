"""Views of video clips: where pixels go, what becomes of colours, and that poses go along."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from kineme.data import store, store_writer
from kineme.motion import layout
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError
from kineme.views import video_clips
from kineme.views.source import ClipLoader
from kineme.views.video_clips import VideoViewSettings, apply, centre_view, draw_video_views, video_views, windows

LAYOUT = layout.free(["hips", "left_hand", "right_hand"], [-1, 0, 0])
PLAIN = VideoViewSettings(rotate=0, brightness=0, contrast=0, saturation=0, hue=0, grey=0, crop_low=1, views=1)


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clip(height: int, width: int, frames: int = 1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    pictures = torch.randint(0, 256, (1, frames, 3, height, width), generator=gen(seed), dtype=torch.uint8)
    return pictures, torch.tensor([[height, width]])


def shown(view: torch.Tensor) -> torch.Tensor:
    """Pixels 0 .. 255 of a view."""
    average, deviation = (torch.tensor(x)[:, None, None] for x in (video_clips.MEAN, video_clips.DEVIATION))
    return (view * deviation + average) * 255


def changed(**values) -> video_clips.VideoDraw:
    """The middle of one clip, but for these parameters."""
    return video_clips.VideoDraw(**{**vars(centre_view(1)), **{k: torch.tensor([v]) for k, v in values.items()}})


def with_size(size: int, **changes) -> VideoViewSettings:
    return VideoViewSettings(**{**vars(PLAIN), "size": size, **changes})


# ---- where pixels go


@pytest.mark.parametrize("faithful", [False, True])
def test_the_middle_of_a_square_image_is_the_image(faithful):
    pictures, sizes = clip(24, 24, frames=3)
    view = apply(pictures, sizes, centre_view(1), with_size(24, faithful=faithful))
    assert view.dtype == torch.float32
    torch.testing.assert_close(shown(view), pictures.float(), atol=1e-3, rtol=0)
    average, deviation = (np.array(x)[:, None, None] for x in (video_clips.MEAN, video_clips.DEVIATION))
    np.testing.assert_allclose(view[0, 1], (pictures[0, 1].numpy() / 255 - average) / deviation, atol=1e-5)


def test_of_a_wide_image_the_middle_is_taken_and_time_is_contiguous_for_convolutions():
    pictures, sizes = clip(20, 50, frames=2)
    view = apply(pictures, sizes, centre_view(1), with_size(20))
    torch.testing.assert_close(shown(view), pictures[..., 15:35].float(), atol=2e-3, rtol=0)
    assert view.transpose(1, 2).is_contiguous()


@pytest.mark.parametrize("faithful", [False, True])
def test_quarter_turns_and_flips(faithful):
    pictures, sizes = clip(16, 16)
    for turns in (1, 2, 3):
        view = apply(pictures, sizes, changed(angle=turns * math.pi / 2), with_size(16, faithful=faithful))
        wanted = torch.rot90(pictures.float(), turns, (-2, -1))
        torch.testing.assert_close(shown(view), wanted, atol=1e-2, rtol=0)
    view = apply(pictures, sizes, changed(flipped=True), with_size(16, faithful=faithful))
    torch.testing.assert_close(shown(view), pictures.flip(-1).float(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [4, 10, 25])
def test_a_crop_off_the_middle(size):
    across, down = torch.meshgrid(torch.arange(80), torch.arange(40), indexing="xy")
    pictures = torch.stack([3 * across, 6 * down, across + 2 * down]).to(torch.uint8)[None, None]  # linear everywhere
    draw = changed(side=0.0, centre=[0.25, 0.75])
    chosen = with_size(size, crop_low=1 / 32)  # a side of 10 pixels
    view = shown(apply(pictures, torch.tensor([[40, 80]]), draw, chosen))
    line = (torch.arange(size) + 0.5) * 10 / size - 0.5
    x, y = torch.meshgrid(line + 15, line + 25, indexing="xy")
    torch.testing.assert_close(view[0, 0], torch.stack([3 * x, 6 * y, x + 2 * y]), atol=1e-2, rtol=0)


@settings(max_examples=40)
@given(data=st.data())
def test_every_pixel_comes_from_the_image(data):
    """However it is rotated and cropped, and however far the pictures of others make it padded."""
    height, width = data.draw(st.integers(4, 40)), data.draw(st.integers(4, 40))
    pictures = torch.zeros(1, 2, 3, 48, 48, dtype=torch.uint8)
    pictures[..., :height, :width] = torch.tensor([200, 90, 30], dtype=torch.uint8)[:, None, None]
    chosen = VideoViewSettings(**{**vars(PLAIN), "crop_low": 0.1, "size": 12, "rotate": 180})
    draw = draw_video_views(gen(data.draw(st.integers(0, 999))), 1, chosen)[0]
    view = shown(apply(pictures, torch.tensor([[height, width]]), draw, chosen))
    wanted = torch.tensor([200.0, 90, 30])[:, None, None].expand(2, 3, 12, 12)
    torch.testing.assert_close(view[0], wanted, atol=1e-2, rtol=0)


def test_faithful_crops_reach_into_the_black_corners():
    pictures = torch.full((64, 1, 3, 30, 50), 255, dtype=torch.uint8)
    chosen = VideoViewSettings.released(size=16, brightness=0, saturation=0, hue=0, views=1)
    draw = draw_video_views(gen(), 64, chosen)[0]
    view = shown(apply(pictures, torch.tensor([[30, 50]]).repeat(64, 1), draw, chosen))
    black = (view < 1).flatten(1).any(1)
    assert 8 < black.sum() < 60
    assert (view[..., 8, 8] > 254).all()  # the crop's centre is inside the canvas, and mostly inside the image


@pytest.mark.parametrize(("side", "size"), [(96, 32), (144, 32), (100, 12)])
def test_what_shrinks_is_averaged(side, size):
    stripes = torch.zeros(1, 1, 3, side, side, dtype=torch.uint8)
    stripes[..., ::2] = 255
    view = shown(apply(stripes, torch.tensor([[side, side]]), centre_view(1), with_size(size)))
    assert (view - 127.5).abs().max() < 64  # with one sample for each pixel it would be up to 127.5
    pictures, sizes = clip(side, side)
    small = apply(pictures, sizes, centre_view(1), with_size(size))
    exact = Image.fromarray(pictures[0, 0].permute(1, 2, 0).numpy()).resize((size, size), Image.Resampling.BOX)
    error = shown(small)[0, 0] - torch.from_numpy(np.array(exact)).permute(2, 0, 1)
    assert error.abs().mean() < 12  # noise whose mean over 9 pixels has a deviation of 25


def test_all_frames_of_a_clip_are_treated_alike_and_clips_do_not_see_each_other():
    picture, _ = clip(30, 40)
    chosen = VideoViewSettings(size=16, views=2)
    draw = draw_video_views(gen(), 40, chosen)
    pictures = picture.repeat(40, 3, 1, 1, 1)
    sizes = torch.tensor([[30, 40]]).repeat(40, 1)
    view = apply(pictures, sizes, draw[1], chosen)
    assert torch.equal(view[:, 0], view[:, 2])
    assert len(torch.unique(view[:, 0].flatten(1), dim=0)) == 40
    for part in (slice(3, 4), slice(17, 39)):
        own = apply(pictures[part], sizes[part], draw[1].clips(part), chosen)
        torch.testing.assert_close(own, view[part], atol=1e-5, rtol=1e-5)


# ---- colours


def recoloured(picture: Image.Image, **values) -> np.ndarray:
    pictures = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None, None]
    view = apply(pictures, torch.tensor([[16, 16]]), changed(**values), with_size(16))
    return shown(view)[0, 0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    ("name", "enhancer"),
    [("brightness", ImageEnhance.Brightness), ("contrast", ImageEnhance.Contrast), ("saturation", ImageEnhance.Color)],
)
@pytest.mark.parametrize("factor", [0.3, 1.0, 1.5])
def test_colours_are_those_of_pillow(name, enhancer, factor):
    picture = Image.fromarray(clip(16, 16)[0][0, 0].permute(1, 2, 0).numpy())
    wanted = np.array(enhancer(picture).enhance(factor)).astype(float)
    assert np.abs(recoloured(picture, **{name: factor}) - wanted).max() < 2


def test_grey_and_hue():
    picture = Image.fromarray(np.random.default_rng(0).integers(90, 160, (16, 16, 3), dtype=np.uint8))
    luma = np.array(picture) @ np.array(video_clips.LUMA)
    grey = recoloured(picture, grey=True)
    np.testing.assert_allclose(grey, np.repeat(luma[..., None], 3, 2), atol=1e-2)
    for turn in (0.0, 1.0, math.pi):
        hue = recoloured(picture, hue=turn)
        np.testing.assert_allclose(hue @ np.array(video_clips.LUMA), luma, atol=1e-2)
    np.testing.assert_allclose(recoloured(picture, hue=2 * math.pi), np.array(picture), atol=1e-2)
    assert np.abs(recoloured(picture, hue=math.pi) - np.array(picture)).max() > 20


# ---- drawing


def test_draws_lie_in_their_ranges_and_repeat():
    chosen = VideoViewSettings(flip=0.5)
    draw = draw_video_views(gen(3), 4000, chosen)
    assert draw.angle.shape == (4000, 2)
    bounds = {"brightness": (0.2, 1.8), "saturation": (0, 2), "contrast": (0.6, 1.4), "side": (0, 1)}
    bounds |= {"angle": (-math.radians(20), math.radians(20)), "hue": (-0.4 * math.pi, 0.4 * math.pi)}
    for name, (low, high) in bounds.items():
        values = getattr(draw, name)
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
    assert abs(float(draw.centre.mean()) - 0.5) < 0.01
    assert abs(float(draw.centre.std()) - 1 / 6) < 0.01
    assert abs(float(draw.grey.float().mean()) - 0.2) < 0.02
    assert abs(float(draw.flipped.float().mean()) - 0.5) < 0.03
    assert torch.equal(draw.flipped[:, 0], draw.flipped[:, 1])
    again = draw_video_views(gen(3), 4000, VideoViewSettings(hue=0.0))
    assert torch.equal(draw.angle, again.angle)
    assert not again.hue.any()
    assert not again.flipped.any()


def test_released_values():
    released = VideoViewSettings.released(frames=16)
    assert released == VideoViewSettings(frames=16, crop_low=0.05, hue=0.5, contrast=0, grey=0, faithful=True)


@pytest.mark.parametrize("values", [{"frames": 0}, {"crop_low": 0.5, "crop_high": 0.4}, {"hue": 0.6}, {"flip": -0.1}])
def test_settings_outside_their_range(values):
    with pytest.raises(InputError, match=r"views\."):
        VideoViewSettings(**values)


# ---- time


@given(lengths=st.lists(st.integers(1, 200), min_size=1, max_size=20), span=st.integers(1, 60), seed=st.integers(0, 99))
def test_windows_lie_inside_their_clips(lengths, span, seed):
    lengths = torch.tensor(lengths)
    room = (lengths - span).clamp(min=0)
    start = windows(lengths, span, gen(seed))
    assert ((start >= 0) & (start <= room)).all()
    tests = video_clips.test_clips(lengths, span)
    assert tests.shape == (len(lengths), 10)
    assert torch.equal(tests[:, 0], torch.zeros_like(room))
    assert torch.equal(tests[:, -1], room)
    assert (tests.diff(dim=1) >= 0).all()
    assert (tests.diff(dim=1).amax(1) - tests.diff(dim=1).amin(1) <= 1).all()
    starts = video_clips.shifted_windows(lengths, start, span, 3, gen(seed))
    assert ((starts >= 0) & (starts <= room[:, None])).all()
    assert torch.equal(starts[:, 0], start)
    apart = (starts[:, 1] - start).abs().clamp(max=span)
    assert torch.equal(apart, torch.maximum(start, room - start).clamp(max=span))


def test_windows_reach_every_place():
    start = windows(torch.full((4000,), 40), 32, gen())
    assert start.unique().tolist() == list(range(9))
    assert video_clips.test_clips(torch.tensor([41]), 32, 1).tolist() == [[4]]


# ---- poses and pictures together

SIDES = (48, 64)  # height, width


def filmed(path, lengths, sides=SIDES) -> store.Store:
    """A white dot on the left hand, a grey one on the right hand, wherever they are."""
    rng = np.random.default_rng(0)
    with store_writer.Writer(path, LAYOUT, normalise={"how": "none"}) as writer:
        for i, length in enumerate(lengths):
            places = rng.integers([8, 8], [sides[1] - 8, sides[0] - 8], (length, 1, 3, 2))
            pictures = np.zeros((length, *sides, 3), np.uint8)
            for frame, hands in zip(pictures, places[:, 0, 1:]):
                for (x, y), grey in zip(hands, (255, 120)):
                    frame[y - 2 : y + 2, x - 2 : x + 2] = grey  # its middle is at (x, y), pixels' edges counted
            joints = places * 10.0
            writer.add(
                Motion(joints, LAYOUT, fps=25, source=f"c{i}", image_size=(10 * sides[1], 10 * sides[0])),
                pictures=pictures,
            )
    return store.open(path)


@pytest.fixture(scope="module")
def dots(tmp_path_factory) -> store.Store:
    return filmed(tmp_path_factory.mktemp("dots") / "store", [9, 12, 3])


def place(view: torch.Tensor, low: float, high: float) -> tuple[float, float]:
    """Middle of what is as bright as this, in pixels."""
    mask = ((shown(view).mean(0) > low) & (shown(view).mean(0) < high)).double()
    rows, columns = torch.arange(view.shape[-2]) + 0.5, torch.arange(view.shape[-1]) + 0.5
    return float((mask.sum(0) * columns).sum() / mask.sum()), float((mask.sum(1) * rows).sum() / mask.sum())


def test_a_flip_takes_the_pose_along(tmp_path):
    side = 48
    dots = filmed(tmp_path / "square", [9, 12], (side, side))
    batch = video_views(ClipLoader(dots), torch.arange(2).repeat(8), with_size(side, frames=4, flip=0.5), gen(1))[0]
    assert batch.joints.shape == (16, 4, 1, 3, 2)
    assert batch.frames.shape == (16, 4, 3, side, side)
    flips = seen = 0
    for clip, poses, frames in zip(batch.index, batch.joints[:, :, 0], batch.frames):
        flipped = not any(np.array_equal(poses[0], pose) for pose in dots[int(clip)].joints[:, 0])
        flips += flipped
        for pose, frame in zip(poses, frames):
            white, grey = pose[[2, 1] if flipped else [1, 2]] / 10  # what was the left hand is called the right one
            if (white - grey).abs().amax() > 5:
                seen += 1
                np.testing.assert_allclose(place(frame, 200, 300), white, atol=1)
                np.testing.assert_allclose(place(frame, 80, 160), grey, atol=1)
    assert 3 < flips < 13
    assert seen > 40


def test_missing_joints_stay_missing_when_flipped():
    from kineme.views.batch import Batch

    joints, confidence = torch.full((2, 1, 1, 3, 2), 7.0), torch.ones(2, 1, 1, 3)
    joints[:, :, :, 1], confidence[:, :, :, 1] = 0, 0
    flipped = video_clips.flip_poses(
        Batch(joints, confidence, torch.arange(2)), torch.tensor([True, False]), LAYOUT, torch.tensor([100.0, 100.0])
    )
    assert flipped.joints[0, 0, 0].tolist() == [[93, 7], [93, 7], [0, 0]]
    assert flipped.confidence[0, 0, 0].tolist() == [1, 1, 0]
    assert torch.equal(flipped.joints[1], joints[1])


def test_views_of_one_window_share_its_poses_shifted_ones_have_their_own(dots):
    loader, index = ClipLoader(dots), torch.tensor([0, 1, 2])
    first, second = video_views(loader, index, VideoViewSettings(frames=4, size=16), gen())
    assert torch.equal(first.joints, second.joints)
    assert not torch.equal(first.frames, second.frames)
    first, second = video_views(loader, index, VideoViewSettings(frames=4, size=16, shifted=True), gen())
    assert not torch.equal(first.joints[:2], second.joints[:2])
    assert torch.equal(first.joints[2], second.joints[2])  # three frames: there is one window only


def test_one_in_two_pictures_and_all_poses(dots):
    chosen = with_size(SIDES[0], frames=3, step=2)
    assert chosen.span == 6
    batch = video_clips.middle_view(ClipLoader(dots), torch.tensor([1, 2]), torch.tensor([4, 0]), chosen)
    assert batch.joints.shape[1] == 6
    assert torch.equal(batch.joints[0], torch.from_numpy(dots[1].joints[4:10]))
    offset = (SIDES[1] - SIDES[0]) // 2
    for row, numbers in enumerate([(4, 6, 8), (0, 1, 2)]):  # the short clip is stretched
        for t, number in enumerate(numbers):
            picture = dots.pictures([dots.offsets[row + 1] + number])[0][:, offset : offset + SIDES[0]]
            assert (shown(batch.frames[row, t]) - torch.tensor(picture).permute(2, 0, 1)).abs().max() < 1e-2
