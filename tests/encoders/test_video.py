"""Encoders of pictures and of motion images: their sizes, published names, and what does not change a clip."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kineme import encoders
from kineme.encoders.motion_image import MotionImage, chosen, shrunk
from kineme.encoders.r2plus1d import R2Plus1D
from kineme.encoders.s3d import S3D
from kineme.motion.layout import layout
from kineme.nn.batch_norm import BatchNormNd
from kineme.nn.conv3d import Conv3d, MaxPool3d
from kineme.utils.errors import InputError
from kineme.views.batch import Batch

NTU, FLAT = layout("ntu25"), layout("openpose18")


def batch(rows=3, frames=32, persons=2, body=NTU, coords=3, pictures=(8, 32), seed=0):
    gen = torch.Generator().manual_seed(seed)
    joints = torch.randn(rows, frames, persons, len(body), coords, generator=gen).mul(0.1).cumsum(1)
    shown = torch.randn(rows, pictures[0], 3, pictures[1], pictures[1], generator=gen)
    return Batch(joints, torch.ones(joints.shape[:-1]), torch.arange(rows), shown)


# ---- layers


@pytest.mark.parametrize(
    ("kernel", "stride"),
    [
        ((1, 5, 5), (1, 2, 2)),
        ((3, 1, 1), (2, 1, 1)),
        ((1, 1, 1), (1, 1, 1)),
        ((1, 1, 1), (2, 2, 2)),
        ((1, 3, 3), (2, 1, 1)),
    ],
)
def test_convolution_is_that_of_torch(kernel, stride):
    ours, x = (
        Conv3d(6, 8, kernel, stride).double(),
        torch.randn(2, 6, 7, 9, 10, dtype=torch.float64, requires_grad=True),
    )
    theirs = F.conv3d(x, ours.weight, None, stride, [k // 2 for k in kernel])
    torch.testing.assert_close(ours(x), theirs)
    grads = [torch.autograd.grad(y.square().sum(), (x, ours.weight)) for y in (ours(x), theirs)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize(
    "args", [((3, 3, 3), (2, 2, 2), (1, 1, 1)), ((1, 3, 3), (1, 2, 2), (0, 1, 1)), ((2, 2, 2), (2, 2, 2))]
)
def test_pooling_is_that_of_torch(args):
    x = torch.randn(2, 4, 7, 9, 10)
    torch.testing.assert_close(MaxPool3d(*args)(x), F.max_pool3d(x, *args))


def test_batch_norm_of_video_is_that_of_torch():
    ours, theirs = BatchNormNd(5, momentum=0.3), nn.BatchNorm3d(5, momentum=0.3)
    for number in range(3):
        x = torch.randn(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(number)) * 3 + 1
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


# ---- sizes and names


def test_published_sizes():
    """Without the classifiers of torchvision's files: 8,320,048 and 31,505,325 parameters with them."""
    with torch.device("meta"):
        s3d, r2plus1d = S3D(S3D.Settings(), NTU, 3), R2Plus1D(R2Plus1D.Settings(), NTU, 3)
    assert sum(p.numel() for p in s3d.features.parameters()) == 8_320_048 - (1024 * 400 + 400)
    assert sum(p.numel() for p in r2plus1d.parameters()) == 31_505_325 - (512 * 400 + 400)
    names = s3d.state_dict().keys() | r2plus1d.state_dict().keys()
    assert {
        "features.0.0.0.weight",
        "features.0.1.1.running_var",
        "features.5.branch1.1.0.0.weight",
        "features.15.branch3.1.1.bias",
        "stem.3.weight",
        "layer2.0.conv1.0.3.weight",
        "layer2.0.downsample.1.running_mean",
        "layer4.1.conv2.1.weight",
    } <= names
    assert s3d.features[5].branch1[1][0][0].weight.shape == (128, 96, 1, 3, 3)
    assert r2plus1d.layer2[0].conv2[0][0].weight.shape == (230, 128, 1, 3, 3)


@pytest.mark.parametrize(("frames", "pixels", "left"), [(32, 128, (4, 4, 4)), (16, 64, (2, 2, 2)), (8, 32, (1, 1, 1))])
def test_s3d_shrinks_time_by_eight_and_space_by_thirty_two(frames, pixels, left):
    encoder = S3D(S3D.Settings(multiplier=0.05), NTU, 3).eval()
    with torch.no_grad():
        assert encoder.features(torch.zeros(1, 3, frames, pixels, pixels)).shape[2:] == left


def test_s3d_averages_windows_of_two_frames():
    encoder = S3D(S3D.Settings(multiplier=0.05, dim=4), NTU, 3).eval()
    x = batch(pictures=(32, 32)).frames
    with torch.no_grad():
        found = encoder.features(x.transpose(1, 2))
        windows = F.avg_pool3d(found, (2, found.shape[3], found.shape[4]), 1)
        expected = encoder.head(windows[..., 0, 0].transpose(1, 2)).mean(1)
        torch.testing.assert_close(encoder(Batch(*[torch.zeros(3)] * 3, x)).clip, expected)


@pytest.mark.parametrize("cls", [S3D, R2Plus1D])
def test_clips_without_pictures_are_refused(cls):
    encoder, clips = cls(cls.Settings(multiplier=0.05), NTU, 3), batch()
    clips.frames = None
    with pytest.raises(InputError, match="--poses"):
        encoder(clips)


def test_too_few_or_small_pictures_are_refused():
    encoder = S3D(S3D.Settings(multiplier=0.05), NTU, 3)
    with pytest.raises(InputError, match="at least 8 of 32 x 32"):
        encoder(batch(pictures=(6, 32)))


# ---- motion images


@pytest.mark.parametrize(("frames", "flat"), [(32, 2048), (30, 1536)])
def test_flattened_size(frames, flat):
    encoder = MotionImage(MotionImage.Settings(frames=frames, faithful=True), NTU, 3)
    assert encoder.flat == flat
    found = encoder.convolutions(encoder.image(batch(frames=frames)).values[:, 0])
    assert found.shape == (3, flat)
    assert encoder.convolutions[0].weight.shape == (16, 6, 3, 3)


def test_weights_are_orthogonal_and_biases_zero():
    encoder = MotionImage(MotionImage.Settings(), NTU, 3)
    weight = encoder.linear[2].weight
    torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), atol=1e-4, rtol=0)
    assert all((value == 0).all() for name, value in encoder.named_parameters() if "bias" in name)
    assert not any(isinstance(module, BatchNormNd) for module in encoder.modules())


@pytest.mark.parametrize("batch_norm", [False, True])
def test_padding_and_order_of_bodies_change_nothing(batch_norm):
    torch.manual_seed(0)
    encoder = MotionImage(MotionImage.Settings(batch_norm=batch_norm), NTU, 3)  # training: batch norm sees them too
    clips = batch(persons=3)
    clips.joints[0, :, 1], clips.confidence[0, :, 1] = 0, 0
    clips.joints[1, :, 2] = clips.joints[1, :1, 2]  # stands still
    whole = encoder(clips)
    assert whole.parts["present"].tolist() == [[True, False, True], [True, True, False], [True] * 3]
    order = [2, 0, 1]
    other = encoder(Batch(clips.joints[:, :, order], clips.confidence[:, :, order], clips.index))
    torch.testing.assert_close(other.clip, whole.clip, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(other.parts["bodies"], whole.parts["bodies"][:, order], atol=1e-5, rtol=1e-5)
    padded = F.pad(clips.joints, (0, 0, 0, 0, 0, 2)), F.pad(clips.confidence, (0, 0, 0, 2)), clips.index
    torch.testing.assert_close(encoder(Batch(*padded)).clip, whole.clip, atol=1e-5, rtol=1e-5)


def test_where_nobody_moves_one_body_stays_and_where_nobody_is_zeros():
    seen = torch.tensor([[False, True, True], [True, True, False], [False] * 3])
    magnitude = torch.tensor([[0, 0, 0], [0, 2.0, 0], [0, 0, 0]])
    assert chosen(magnitude, seen).tolist() == [[False, True, False], [False, True, False], [False] * 3]
    encoder, clips = MotionImage(MotionImage.Settings(), NTU, 3), batch()
    clips.confidence.zero_()
    features = encoder(clips)
    assert (features.clip == 0).all()
    features.clip.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


def test_the_last_frames_know_how_they_go_on():
    clips = batch(frames=33)
    encoder = MotionImage(MotionImage.Settings(scale_by_torso=False), NTU, 3)
    image = encoder.image(clips).values
    assert image.shape[-2:] == (32, 49)
    assert (image[:, :, 3, -1] > 0).any()
    cut = encoder.image(Batch(clips.joints[:, :32], clips.confidence[:, :32], clips.index)).values
    torch.testing.assert_close(image[..., :31, :], cut[..., :31, :])
    assert (cut[:, :, 3, -1] == 0).all()


def test_other_lengths_are_resized():
    clips = batch(frames=50)
    encoder = MotionImage(MotionImage.Settings(), NTU, 3)
    assert encoder.image(clips).values.shape[-2] == 32


def test_pixels_are_shares_of_their_image_and_else_torsos():
    encoder = MotionImage(MotionImage.Settings(), FLAT, 2)
    clips = batch(body=FLAT, coords=2)
    clips.joints = clips.joints * 50 + 200
    clips.sizes = torch.tensor([[640.0, 360.0], [640.0, 360.0], [float("nan"), float("nan")]])
    image = encoder.image(clips).values
    larger = Batch(clips.joints * 2, clips.confidence, clips.index, None, clips.sizes * 2)
    torch.testing.assert_close(encoder.image(larger).values, image, atol=1e-4, rtol=1e-3)
    unscaled = MotionImage(MotionImage.Settings(scale_by_torso=False), FLAT, 2).image(clips).values
    torch.testing.assert_close(unscaled[:2], image[:2])
    assert not torch.allclose(unscaled[2], image[2])


def test_metres_do_not_matter_but_under_faithful():
    clips = batch()
    larger = Batch(clips.joints * 10, clips.confidence, clips.index)
    for faithful in (False, True):
        encoder = MotionImage(MotionImage.Settings(faithful=faithful), NTU, 3)
        same = torch.allclose(encoder.image(clips).values, encoder.image(larger).values, atol=1e-4)
        assert same != faithful


@pytest.mark.parametrize("table", [{"frames": 18}, {"distances": ()}, {"distances": (0,)}, {"hidden": 0}])
def test_settings_outside_their_range(table):
    with pytest.raises(InputError, match="encoder"):
        MotionImage.Settings(**table)
    assert shrunk(19, 49)[0] == 1


def test_built_by_name():
    made = encoders.build("motion_image", MotionImage.Settings(), NTU, 3, 2)
    assert made.layout == NTU
    assert not made.pictures
