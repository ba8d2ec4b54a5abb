"""MAMP against the authors' code: masking, target and loss, a whole step of a small model, views."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kineme.encoders.skeleton_transformer import People, SkeletonTransformer
from kineme.methods import StepContext
from kineme.methods.mamp import MAMP, VIEWS, Predicted, from_released
from kineme.motion.layout import Layout
from kineme.views.augment import (
    Crop,
    ViewDraw,
    apply_view,
    centre_crop,
    crop_length,
    rotations_xyz,
)
from kineme.views.batch import Batch
from kineme.views.masks import (
    TokenMask,
    apply_mask,
    draw_mask,
    intensity,
    joined,
    motion_probabilities,
    patches,
)
from kineme.views.source import ClipLoader

CLOSE = {"atol": 2e-5, "rtol": 1e-5}


def chain(joints: int) -> Layout:
    return Layout("free", tuple(f"joint {i}" for i in range(joints)), tuple(range(-1, joints - 1)))


def close(found, wanted, **how):
    torch.testing.assert_close(found, torch.from_numpy(np.asarray(wanted)), **{**CLOSE, **how})


@pytest.fixture
def masking(golden):
    return {name: torch.from_numpy(value) for name, value in golden("mamp_masking").items()}


def test_tokens_are_cut_as_released(masking):
    segment, joints = int(masking["segment"]), masking["joints"]
    tokens = patches(joints, segment)
    assert torch.equal(tokens, masking["patches"])
    assert torch.equal(joined(tokens, joints.shape[2], segment), joints)


def check_mask(mask: TokenMask, arrays, name: str) -> None:
    assert torch.equal(mask.keep, arrays[f"ids_keep_{name}"])
    assert torch.equal(mask.restore, arrays[f"ids_restore_{name}"])
    assert torch.equal(mask.hidden, arrays[f"mask_{name}"] == 1)
    assert mask.valid.all()


def test_motion_aware_masking(masking):
    """mamp_masking: the last sample is all zero; both 1e-10 matter in the first."""
    moved = intensity(masking["patches"], masking["joints"].shape[2])
    close(moved, masking["intensity"])
    ratio, names = float(masking["mask_ratio"]), [name for name in masking if re.fullmatch(r"prob_tau\d+p\d+", name)]
    assert len(names) == len(masking["taus"])
    for name in (name.removeprefix("prob_") for name in names):
        tau = float(name.removeprefix("tau").replace("p", "."))
        chances = motion_probabilities(moved, tau)
        close(chances, masking[f"prob_{name}"])
        mask = draw_mask(masking["uniforms"], ratio, chances, faithful=True)
        check_mask(mask, masking, name)
        assert torch.equal(apply_mask(masking["tokens"], mask), masking[f"tokens_kept_{name}"])


def test_plain_masking(masking):
    check_mask(draw_mask(masking["uniforms"], float(masking["mask_ratio"]), faithful=True), masking, "plain")


def method_for(joints, segment, settings=None, encoder=None):
    """A method on clips of the shape of ``joints [P, T, V, C]``."""
    made = SkeletonTransformer.Settings(frames=joints.shape[1], segment=segment, **(encoder or {"layers": 1}))
    new = lambda: SkeletonTransformer(made, chain(joints.shape[2]), joints.shape[3])  # noqa: E731
    return MAMP(MAMP.Settings(faithful=True, **(settings or {})), new)


def people_of(joints) -> People:
    seen = torch.ones(joints.shape[:3], dtype=torch.bool)
    return People(joints, seen, torch.arange(len(joints)), torch.ones(len(joints), 1, dtype=torch.bool))


@pytest.mark.parametrize(
    ("settings", "ending"),
    [({}, ""), ({"normaliser": "none"}, "_not_normalised"), ({"target": "joint"}, "_joint_target")],
    ids=["motion", "not normalised", "joint"],
)
def test_target_and_loss(golden, settings, ending):
    """mamp_target_loss."""
    arrays = {name: torch.from_numpy(value) for name, value in golden("mamp_target_loss").items()}
    joints, segment, stride = arrays["joints"], int(arrays["segment"]), int(arrays["stride"])
    method = method_for(joints, segment, {"stride": stride, **settings})
    target, weight = method.target(people_of(joints))
    if not settings:
        close(target, arrays["target_normalised"])
    if settings.get("normaliser") == "none":
        close(target, arrays["target"])
        close(joined(target, joints.shape[2], segment), arrays["motion"])
    assert weight.all()
    hidden = arrays["mask"] == 1
    prediction = arrays["prediction"].clone().requires_grad_()
    keep = torch.zeros(len(hidden), 1, dtype=torch.int64)  # what is visible plays no part in the loss
    mask = TokenMask(keep, keep == 0, keep, hidden)
    made = Predicted(prediction, prediction, target, weight, mask, torch.rand(hidden.shape))
    losses, log = method.objective(made, StepContext())
    close(losses["loss"].detach(), arrays[f"loss{ending}"])
    close(log["hidden"], hidden.float().mean())
    if ending != "_joint_target":
        losses["loss"].backward()
        close(prediction.grad, arrays[f"grad_prediction{ending}"], atol=1e-4)
        assert not prediction.grad[~hidden].any()


def test_a_whole_step(golden):
    """mamp_model: masks, latent tokens, predictions, loss, gradients; then the encoder on all tokens."""
    arrays = {name: torch.from_numpy(value) for name, value in golden("mamp_model").items()}
    names = "dim_decdim_depth_decdepth_heads_mlpratio_segment_stride"
    width, narrow, depth, shallow, heads, ratio, segment, stride = arrays[f"hyper_{names}"].tolist()
    joints = arrays["joints"].transpose(1, 2).contiguous()  # [B, T, M, V, C]
    method = method_for(
        joints[:, :, 0],
        segment,
        {"ratio": float(arrays["mask_ratio"]), "tau": round(float(arrays["tau"]), 6), "stride": stride}
        | {"decoder_layers": shallow, "decoder_width": narrow},
        {"hidden": width, "layers": depth, "heads": heads, "mlp": ratio},
    )
    weights = from_released({name[2:]: value for name, value in arrays.items() if name.startswith("w/")})
    method.load_state_dict(weights)
    clips, _, persons, _, _ = joints.shape
    uniforms = arrays["uniforms"].view(clips, persons, -1)
    view = Batch(joints, torch.ones(joints.shape[:-1]), torch.arange(clips), uniforms=uniforms)

    made = method.predict(view)
    assert torch.equal(made.mask.hidden, arrays["mask"] == 1)
    close(made.latent.detach(), arrays["latent_visible"])
    close(made.prediction.detach(), arrays["prediction"])
    losses, _ = method.losses((view,), StepContext())
    close(losses["loss"].detach(), arrays["loss"])
    losses["loss"].backward()
    found = {name: parameter.grad for name, parameter in method.named_parameters()}
    wanted = from_released({name[2:]: value for name, value in arrays.items() if name.startswith("g/")})
    assert wanted
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-5, msg=lambda m, n=name: f"{n}: {m}")

    with torch.no_grad():
        features = method.encoder()(view)
    close(features.parts["tokens"], arrays["tokens_full"])
    close(features.clip, arrays["feature_clip"])


def released(array: np.ndarray) -> torch.Tensor:
    """``[C, T, V, M]`` -> ``[1, T, M, V, C]``."""
    return torch.from_numpy(np.ascontiguousarray(array.transpose(1, 3, 2, 0)))[None]


def test_views(golden):
    """mamp_views: the test view, training crops, and the rotation about three axes."""
    arrays = golden("mamp_views")
    count, window = int(arrays["num_frames"]), int(arrays["window"])
    frames = released(arrays["sequence"])[0, :count].numpy()
    source = ClipLoader(
        SimpleNamespace(
            frames=frames,
            confidence=np.ones(frames.shape[:3], np.float32),
            layout=chain(frames.shape[2]),
            lengths=np.array([count]),
            offsets=np.array([0, count]),
        )
    )
    index, lengths = torch.zeros(1, dtype=torch.int64), torch.tensor([count])
    middle = source.gather(index, *centre_crop(lengths), window).joints
    close(middle, released(arrays["centre95"]))
    crops = [name for name in arrays if re.fullmatch(r"crop\d+", name)]
    assert crops
    for name in crops:
        share = VIEWS.crop_low + (VIEWS.crop_high - VIEWS.crop_low) * torch.tensor([float(arrays[f"{name}_draw"])])
        crop = Crop(torch.tensor([int(arrays[f"{name}_start"])]), crop_length(lengths, share, VIEWS.min_frames))
        close(apply_view(source, index, ViewDraw(crop, window)).joints, released(arrays[name]))
    angles = torch.from_numpy(arrays["angles_xyz"])[None]
    close(rotations_xyz(angles)[0].mT, arrays["rotation"])
    turned = ViewDraw(centre_crop(lengths), window, angles=angles)
    close(apply_view(source, index, turned).joints, released(arrays["rotated"]))
