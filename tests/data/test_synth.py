"""Made motions: what a body can do, what a camera sees, what files hold, and how hard the set is."""

import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import io
from kineme.data import synth
from kineme.data.synth import sensor
from kineme.data.synth.body import PADS, body
from kineme.data.synth.performance import DRAWS, Performance
from kineme.motion import layout
from kineme.utils.errors import InputError

ASKED = {
    "walk",
    "run",
    "jump",
    "sit_down",
    "stand_up",
    "wave",
    "clap",
    "punch",
    "kick",
    "throw",
    "pick_up",
    "squat",
    "turn",
    "point",
    "drink",
    "put_on",
    "shake_hands",
    "push",
}
SIDES = ("left", "right")


@cache
def room(action):
    """Twelve performances by twelve people as they are in the room: [n, T, M, V, 3] padded with NaN."""
    clips = list(synth.generate(12, actions=[action], subjects=12, cameras=0, layout=body(), seed=3))
    padded = np.full((len(clips), max(map(len, clips)), *clips[0].joints.shape[1:]), np.nan, np.float32)
    for row, clip in zip(padded, clips):
        row[: len(clip)] = clip.joints
    return padded


def at(points, name, person=0):
    """[n, T, 3]"""
    return points[:, :, person, body().joints.index(name)]


def apart(one, other):
    return np.linalg.norm(one - other, axis=-1)


def lengths(joints):
    """Bone lengths [T, M, bones]."""
    child, parent = np.array(body().bones).T
    return np.linalg.norm(joints[..., child, :] - joints[..., parent, :], axis=-1)


def test_actions_are_there():
    assert set(synth.action_names()) >= ASKED
    assert len(synth.action_names(1)) >= 16
    assert len(synth.action_names(2)) >= 2
    assert synth.action_names(1) + synth.action_names(2) == synth.action_names()


@given(
    st.integers(0, 2**32), st.sampled_from(synth.action_names()), st.integers(0, 500), st.sampled_from([12.5, 30, 60])
)
@settings(max_examples=15, deadline=None)
def test_bones_keep_their_length_and_feet_stay_above_the_floor(seed, action, start, fps):
    (clip,) = synth.generate(1, actions=[action], cameras=0, layout=body(), seed=seed, start=start, fps=fps)
    assert 2 * fps - 1 <= len(clip) <= 3 * fps + 1
    assert clip.persons == (2 if action in synth.action_names(2) else 1)
    long = lengths(clip.joints)
    assert np.ptp(long, axis=0).max() < 1e-5
    assert clip.joints[..., 1].min() > -0.01
    assert (clip.confidence == 1).all()


@pytest.mark.parametrize("action", synth.action_names())
def test_bodies_move_as_bodies_do(action):
    """Standing feet stay, nobody floats unless they leap, knees bend forward, nothing jumps from frame to frame."""
    points = room(action)
    pads = points[..., [body().joints.index(f"{side}_{pad}") for side in SIDES for pad in PADS], :]
    height, speed = pads[..., 1], np.linalg.norm(np.diff(pads[..., [0, 2]], axis=1), axis=-1) * 30
    standing = (height[:, 1:] < 0.01) & (height[:, :-1] < 0.01)
    assert speed[standing].mean() < 0.12
    lowest = height.min(-1)
    assert np.nanmax(lowest) < (0.5 if action in ("run", "jump") else 0.01)
    for side, person in itertools.product(SIDES, range(points.shape[2])):
        names = "hip", "knee", "ankle", "foot_index"
        hip, knee, ankle, toe = (at(points, f"{side}_{name}", person) for name in names)
        share = ((knee - hip) * (ankle - hip)).sum(-1, keepdims=True) / ((ankle - hip) ** 2).sum(-1, keepdims=True)
        out = knee - hip - share * (ankle - hip)
        bent = np.linalg.norm(out, axis=-1) > 0.05
        assert not bent.any() or ((out * (toe - ankle)).sum(-1)[bent] > 0).mean() > 0.98
    turn = np.diff(points, n=2, axis=1) * 900
    assert np.nanmax(np.linalg.norm(turn, axis=-1)) < 900  # m/s^2: no flips
    assert np.nanmax(np.linalg.norm(np.diff(points, axis=1) * 30, axis=-1)) < 25


def hand(points, what):
    """The better of both hands per clip: lowest over sides of the least, highest of the most."""
    values = np.stack([what(side) for side in SIDES])
    return np.nanmax(values, axis=(0, 2))


def signs():
    """What a person would name each action by: share of the clips in which it shows."""

    def pelvis(p):
        return at(p, "pelvis")

    def travel(p):
        ground = pelvis(p)[..., [0, 2]]
        return np.linalg.norm(np.diff(ground, axis=1), axis=-1)

    def heading(p):
        across = at(p, "left_shoulder") - at(p, "right_shoulder")
        return np.unwrap(np.arctan2(across[..., 0], across[..., 2]), axis=1)

    def first(values):
        return np.nanmean(values[:, :4], axis=1)

    def last(values):
        return np.stack([row[~np.isnan(row)][-4:].mean() for row in values])

    def above(p, name):
        return hand(p, lambda side: at(p, f"{side}_{name}")[..., 1] - at(p, f"{side}_shoulder")[..., 1])

    def stretch(p):
        return hand(
            p,
            lambda side: (
                apart(at(p, f"{side}_wrist"), at(p, f"{side}_shoulder"))
                / (
                    apart(at(p, f"{side}_elbow"), at(p, f"{side}_shoulder"))
                    + apart(at(p, f"{side}_elbow"), at(p, f"{side}_wrist"))
                )
            ),
        )

    def forward(p):
        """How far a wrist comes before the chest."""
        across = at(p, "left_shoulder") - at(p, "right_shoulder")
        ahead = np.stack([-across[..., 2], 0 * across[..., 0], across[..., 0]], -1)
        ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
        return hand(p, lambda side: ((at(p, f"{side}_wrist") - at(p, "chest")) * ahead).sum(-1))

    def crossings(p):
        gap = apart(at(p, "left_wrist"), at(p, "right_wrist"))
        return np.nansum((np.diff(np.sign(np.diff(gap, axis=1)), axis=1) > 0) & (gap[:, 1:-1] < 0.25), axis=1)

    height = {name: (lambda p, name=name: at(p, name)[..., 1]) for name in ("pelvis", "left_heel", "right_heel")}
    legs = (lambda p: first(height["pelvis"](p)), lambda p: last(height["pelvis"](p)))
    return {
        "walk": lambda p: np.nansum(travel(p), 1) > 1.2,
        "run": lambda p: np.nanmax(np.minimum(height["left_heel"](p), height["right_heel"](p)), 1) > 0.02,
        "jump": lambda p: np.nanmax(p[:, :, 0, :, 1].min(-1), 1) > 0.08,
        "sit_down": lambda p: legs[1](p) < 0.75 * legs[0](p),
        "stand_up": lambda p: legs[0](p) < 0.75 * legs[1](p),
        "wave": lambda p: above(p, "hand_tip") > 0.1,
        "clap": lambda p: crossings(p) >= 2,
        "punch": lambda p: (stretch(p) > 0.9) & (forward(p) > 0.35),
        "kick": lambda p: np.nanmax(np.maximum(height["left_heel"](p), height["right_heel"](p)), 1) > 0.35,
        "throw": lambda p: forward(p) > 0.3,
        "pick_up": lambda p: -hand(p, lambda side: -at(p, f"{side}_hand_tip")[..., 1]) < 0.5,
        "squat": lambda p: np.nanmin(height["pelvis"](p), 1) < 0.85 * first(height["pelvis"](p)),
        "turn": lambda p: np.abs(last(heading(p)) - first(heading(p))) > 1.2,
        "point": lambda p: stretch(p) > 0.9,
        "drink": lambda p: -hand(p, lambda side: -apart(at(p, f"{side}_hand"), at(p, f"{side}_mouth"))) < 0.25,
        "put_on": lambda p: above(p, "wrist") > -0.15,
        "shake_hands": lambda p: np.nanmin(apart(at(p, "right_hand"), at(p, "right_hand", 1)), 1) < 0.12,
        "high_five": lambda p: np.nanmin(apart(at(p, "right_hand"), at(p, "right_hand", 1)), 1) < 0.15,
        "push": lambda p: np.nanmin(apart(at(p, "left_hand"), at(p, "right_shoulder", 1)), 1) < 0.2,
    }


@pytest.mark.parametrize("action", synth.action_names())
def test_every_action_shows_what_it_is_named_by(action):
    shown = signs()[action](room(action))
    assert shown.shape == (12,)
    assert shown.mean() > 0.9


def test_the_same_seed_gives_the_same_bits_whatever_is_made_with_it():
    options = {"actions": synth.action_names(), "noise": 1.0, "dropout": 0.1, "occlusion": 0.5, "seed": 11}
    clips = list(synth.generate(57, **options))
    for k in (0, 1, 28, 46, 56):
        (alone,) = synth.generate(1, start=k, **options)
        assert alone.source == clips[k].source
        assert alone.joints.tobytes() == clips[k].joints.tobytes()
        assert alone.confidence.tobytes() == clips[k].confidence.tobytes()
    other = next(synth.generate(1, **{**options, "seed": 12}))
    assert other.joints.shape != clips[0].joints.shape or np.abs(other.joints - clips[0].joints).max() > 0.01


def test_the_last_block_does_not_differ_from_the_first():
    number = 3 * synth.BLOCK + 7
    *_, last = synth.generate(12, start=number - 11, layout="kinect20")
    (alone,) = synth.generate(1, start=number, layout="kinect20")
    assert last.joints.tobytes() == alone.joints.tobytes()


def test_cameras_see_one_performance():
    clips = list(synth.generate(48, cameras=4, subjects=3))
    for group in zip(*[iter(clips)] * 4):
        assert len({clip.extra["performance"] for clip in group}) == 1
        assert [clip.camera for clip in group] == [1, 2, 3, 4]
        shape = [np.linalg.norm(clip.joints[:, 0, :, None] - clip.joints[:, 0, None], axis=-1) for clip in group]
        for clip, other in zip(group[1:], shape[1:]):
            np.testing.assert_allclose(other, shape[0], atol=1e-5)
            assert np.abs(clip.joints - group[0].joints).max() > 0.3
            assert (clip.joints[..., 2] > 0.5).all()  # before the camera
    rooms = list(synth.generate(12, cameras=0, subjects=3))
    assert [clip.extra["performance"] for clip in rooms] == [clip.extra["performance"] for clip in clips[::4]]
    assert rooms[0].camera is None
    assert len({clip.source for clip in clips}) == 48


def test_subjects_have_bodies_and_ways_of_their_own():
    clips = list(synth.generate(2 * 5 * 4, actions=["walk", "wave"], subjects=5, cameras=0, layout=body()))
    size = {}
    for clip in clips:
        size.setdefault(clip.subject, []).append(lengths(clip.joints)[0, 0])
    assert len(size) == 5
    means = np.stack([np.mean(bones, 0) for bones in size.values()])
    assert max(np.ptp(bones, axis=0).max() for bones in size.values()) < 1e-5
    assert np.ptp(means.sum(1)) > 0.2
    waves = {}
    for clip in clips:
        if clip.label == "wave":
            wrists = clip.joints[:, 0, [body().joints.index(f"{side}_wrist") for side in SIDES], 1]
            waves.setdefault(clip.subject, []).append(wrists.max())
    within = np.mean([np.var(values) for values in waves.values()])
    assert np.var([np.mean(values) for values in waves.values()]) > 0.5 * within


@pytest.mark.parametrize("name", layout.layouts())
def test_any_layout_comes_out(name):
    clip = next(synth.generate(1, layout=name))
    assert clip.layout == layout.layout(name)
    assert (clip.confidence == 1).all()
    if name in synth.PICTURES:
        assert (clip.coords, clip.unit, clip.up, clip.image_size) == (2, "px", "-y", (1920, 1080))
        assert (clip.joints >= 0).all()
        assert (clip.joints <= (1920, 1080)).all()
    else:
        assert (clip.coords, clip.unit, clip.up, clip.image_size) == (3, "m", "+y", None)


def test_joints_that_the_body_has_not_are_missing():
    strange = layout.free(["Hips", "LeftHand", "Tail"], [-1, 0, 0])
    clip = next(synth.generate(1, layout=strange))
    assert (clip.confidence[..., 2] == 0).all()
    assert (clip.joints[:, :, 2] == 0).all()
    assert (clip.confidence[..., :1] == 1).all()


def test_pictures_are_the_projection_of_the_bodies():
    flat, solid = (next(synth.generate(1, layout="pose13", coords=coords, image_size=(800, 600))) for coords in (2, 3))
    x, y, z = np.moveaxis(solid.joints, -1, 0)
    focal = sensor.FOCAL * 800
    np.testing.assert_allclose(flat.joints, np.stack([400 - focal * x / z, 300 - focal * y / z], -1), atol=0.01)


def test_noise_grows_with_depth():
    plain, noisy = (list(synth.generate(60, noise=noise)) for noise in (0.0, 1.0))
    error = np.concatenate([(b.joints - a.joints).reshape(-1, 3) for a, b in zip(plain, noisy)])
    depth = np.concatenate([a.joints[..., 2].ravel() for a in plain])
    near, far = (error[(depth > low) & (depth < low + 0.3)] for low in (2.6, 4.0))
    np.testing.assert_allclose(near.std(0), [0.0084, 0.0084, 0.0126], rtol=0.12)
    np.testing.assert_allclose(far.std(0) / near.std(0), (4.15 / 2.75) ** 2, rtol=0.12)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.85])
def test_dropout_takes_its_share_in_runs(share):
    clips = list(synth.generate(60, dropout=share))
    seen = np.concatenate([clip.confidence for clip in clips])
    assert set(np.unique(seen)) == {0, 1}
    assert abs((seen == 0).mean() - share) < 0.1 * share + 0.01
    assert all(clip.confidence.any() for clip in clips)
    assert all((clip.joints[clip.confidence == 0] == 0).all() for clip in clips)
    broken = np.concatenate([clip.confidence[1:][clip.confidence[:-1] == 1] == 0 for clip in clips])
    assert broken.mean() < 0.4 * share  # runs: missing frames follow one another


def test_occlusion_takes_what_is_hidden():
    seen = {}
    for chance in (0.0, 0.5, 1.0):
        clips = list(synth.generate(144, occlusion=chance, subjects=4))
        seen[chance] = {view: np.concatenate([c.confidence for c in clips if c.camera == view]) for view in (1, 2, 3)}
    assert all((one == 1).all() for one in seen[0.0].values())
    lost = {chance: np.mean([(one == 0).mean() for one in views.values()]) for chance, views in seen.items()}
    assert 0.01 < lost[0.5] < lost[1.0] < 0.3
    assert {*np.unique(seen[0.5][2])} == {0, 0.5, 1}
    left, right = (layout.layout("ntu25").joints.index(f"{side}_shoulder") for side in SIDES)
    far = {view: [(one[..., joint] == 0).mean() for joint in (left, right)] for view, one in seen[1.0].items()}
    assert far[2][1] > far[2][0] + 0.1  # camera 2 stands to the left: the right shoulder is behind the trunk
    assert far[3][0] > far[3][1] + 0.1


def test_arrays_come_back_through_the_reader(tmp_path):
    made = list(synth.generate(54, actions=["walk", "push", "wave"], subjects=3, noise=0.5, dropout=0.1, occlusion=0.5))
    synth.write(tmp_path, made)
    back = list(io.read_all(tmp_path / "synth.npz"))
    assert len(back) == 54
    for a, b in zip(made, back):
        assert np.array_equal(a.joints, b.joints[:, : a.persons])
        assert np.array_equal(a.confidence, b.confidence[:, : a.persons])
        assert not b.confidence[:, a.persons :].any()
        assert (a.label, a.subject, a.camera, a.source, a.fps) == (b.label, b.subject, b.camera, b.source, b.fps)
        assert (a.layout, a.up, a.unit) == (b.layout, b.up, b.unit)
        assert a.extra.items() <= b.extra.items()
    rules = io.arrays.splits(tmp_path / "synth.npz")
    assert rules["xsub"] == {"train": {"column": "subject", "in": [1, 3]}, "test": {"column": "subject", "in": [2]}}
    assert rules["xview"] == {"train": {"column": "camera", "in": [1, 2]}, "test": {"column": "camera", "in": [3]}}


def test_pictures_come_back_through_the_reader(tmp_path):
    synth.write(tmp_path, 6, name="flat", layout="coco17", image_size=(640, 480))
    made = next(synth.generate(1, layout="coco17", image_size=(640, 480)))
    back = next(io.read_all(tmp_path / "flat.npz"))
    assert np.array_equal(made.joints, back.joints)
    assert (back.image_size, back.up, back.unit) == ((640, 480), "-y", "px")


def test_ntu_text_comes_back_through_the_reader(tmp_path):
    made = list(synth.generate(6, actions=["walk", "push"], subjects=2))
    synth.write(tmp_path, made, format="ntu")
    back = {clip.source: clip for path in sorted(tmp_path.iterdir()) for clip in io.read_all(path)}
    assert len(back) == 6
    for clip in made:
        number = synth.action_names().index(clip.label) + 1
        twin = back[f"S001C{clip.camera:03d}P{clip.subject:03d}R001A{number:03d}.skeleton"]
        np.testing.assert_allclose(twin.joints, clip.joints, rtol=1e-7)
        assert (twin.subject, twin.camera) == (clip.subject, clip.camera)


def test_bvh_gives_the_bodies_back(tmp_path):
    made = list(synth.generate(4, actions=["kick", "high_five"], subjects=2, cameras=0, layout=body()))
    synth.write(tmp_path, made, format="bvh")
    pairs = {
        "LeftWrist": "left_wrist",
        "RightAnkle": "right_ankle",
        "Neck": "neck",
        "LeftWrist_end": "left_hand_tip",
        "RightAnkle_end": "right_foot_index",
        "Hips": "pelvis",
    }
    for clip in made:
        for person in range(clip.persons):
            twin = io.read(tmp_path / f"{clip.source}{'_2' * person}.bvh")
            for theirs, ours in pairs.items():
                place = clip.joints[:, person, body().joints.index(ours)]
                np.testing.assert_allclose(twin.joints[:, 0, twin.layout.joints.index(theirs)], 100 * place, atol=0.02)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"actions": ["wlak"]}, "did you mean 'walk'"),
        ({"actions": []}, "one of walk"),
        ({"cameras": 9}, "from 0 to 8"),
        ({"noise": -1}, "from 0 to 100"),
        ({"dropout": 1.0}, "0.9"),
        ({"fps": 0}, "from 5"),
        ({"coords": 4}, "from 2 to 3"),
        ({"cameras": 0, "noise": 1.0}, "a camera"),
        ({"layout": "ntu52"}, "ntu25"),
        ({"clips": -1}, "from 0"),
    ],
)
def test_bad_arguments_are_named(options, words):
    with pytest.raises(InputError) as raised:
        list(synth.generate(**{"clips": 1, **options}))
    assert words.lower() in str(raised.value).lower()


def test_bad_formats_are_named(tmp_path):
    with pytest.raises(InputError, match="one of arrays, ntu, bvh"):
        synth.write(tmp_path, 1, format="fbx")
    with pytest.raises(InputError, match="ntu25"):
        synth.write(tmp_path, 1, format="ntu", layout="coco17")
    with pytest.raises(InputError, match="no motions"):
        synth.write(tmp_path, 0)


def test_there_are_draws_enough(monkeypatch):
    acts = []
    start = Performance.__init__
    monkeypatch.setattr(Performance, "__init__", lambda self, *a, **k: (start(self, *a, **k), acts.append(self))[0])
    list(synth.generate(len(synth.action_names()), actions=synth.action_names(), cameras=1))
    assert 0.5 * DRAWS < max(act.used for act in acts) <= DRAWS


def test_raw_joints_are_neither_hopeless_nor_enough():
    """Other subjects and another camera, 16 classes: raw root-centred joints, 1-NN and linear probe."""
    scores = synth.difficulty()
    assert set(scores) == {"1-NN", "linear"}
    assert all(0.35 < score < 0.85 for score in scores.values()), scores
