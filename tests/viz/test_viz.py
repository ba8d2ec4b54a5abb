"""Pictures: what is drawn where, from any motion that can be read."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from kineme.data import synth
from kineme.motion import layout as skeleton
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError
from kineme.viz import plots, stick_figure, strips
from kineme.viz.stick_figure import PALE, WHITE, Figures, ink


def one(action: str = "kick", **options) -> Motion:
    return next(iter(synth.generate(1, actions=[action], **options)))


@pytest.fixture(scope="module")
def kick() -> Motion:
    return one()


def inked(path) -> np.ndarray:
    """Pixels that are not white, bool [height, width]."""
    return (np.asarray(Image.open(path).convert("RGB")) < 250).any(2)


def coloured(path, colour) -> int:
    """How many pixels have a colour, or one near it."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return int((np.abs(pixels - 255 * np.array(colour)) < 24).all(2).sum())


def spread(picture: Figures) -> np.ndarray:
    """Height of every frame's figure."""
    return np.array([np.ptp(place[seen][:, 1]) for place, seen in zip(picture.place, picture.seen)])


# ------------------------------------------------------------------------------------------------ figures


def test_one_scale_and_the_floor_for_all_frames(kick):
    picture = Figures(kick)
    assert picture.place.shape == (len(kick), 1, 25, 2)
    assert 0.9 < np.quantile(spread(picture), 0.9) < 1.1
    shins = [kick.layout.find(word) for word in ("left_knee", "left_ankle")]
    bones = np.linalg.norm(picture.place[:, 0, shins[0]] - picture.place[:, 0, shins[1]], axis=1)
    assert bones.max() < 0.3
    assert np.abs(picture.place[..., 1].min((1, 2))).max() < 0.12  # of every frame; feet apart in depth are drawn apart


def test_left_is_on_the_right_of_somebody_who_looks_at_us(kick):
    """And farther to the viewer: the camera stands to the person's left."""
    picture = Figures(kick, 1)
    left, right = (kick.layout.find(f"{side}_shoulder") for side in ("left", "right"))
    assert picture.place[0, 0, left, 0] > picture.place[0, 0, right, 0] + 0.1
    assert picture.depth[0, 0, left] > picture.depth[0, 0, right]
    assert picture.place[0, 0, kick.layout.find("head"), 1] > picture.place[0, 0, kick.layout.find("pelvis"), 1] + 0.3


@settings(deadline=None, max_examples=25)
@given(st.floats(-np.pi, np.pi), st.floats(0.01, 1000), st.sampled_from(["+x", "-x", "+y", "-y", "+z", "-z"]))
def test_the_picture_does_not_depend_on_place_heading_unit_or_axes(angle, unit, up):
    clip = one("wave", fps=10)
    turned = clip.joints.astype(np.float64) @ np.array(
        [[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]]
    )
    axis, sign = "xyz".index(up[1]), 1 if up[0] == "+" else -1
    frame = np.zeros((3, 3))  # rows: where the old x, y, z point; right-handed
    frame[1, axis], frame[2, (axis + 1) % 3] = sign, 1
    frame[0] = np.cross(frame[1], frame[2])
    other = clip.with_(joints=unit * (turned @ frame + 3.0), up=up, unit="1")
    np.testing.assert_allclose(Figures(other).place, Figures(clip).place, atol=2e-3)


def test_up_is_found_where_nobody_says(kick):
    lying = kick.with_(joints=kick.joints[..., [0, 2, 1]] * [1, -1, 1], up=None)  # z points up
    np.testing.assert_allclose(Figures(lying).place, Figures(kick).place, atol=1e-3)
    flat = one(layout="coco17", coords=2)
    assert flat.up == "-y"
    np.testing.assert_allclose(Figures(flat.with_(up=None)).place, Figures(flat).place)


def test_2d_is_drawn_as_it_is():
    clip = one("squat", layout="openpose18")
    picture = Figures(clip)
    assert picture.below is None
    pixels, drawn = clip.joints[0, 0], picture.place[0, 0]
    scale = np.ptp(drawn[:, 0]) / np.ptp(pixels[:, 0])
    np.testing.assert_allclose(np.diff(drawn, axis=0), np.diff(pixels, axis=0) * scale * [1, -1], atol=1e-5)


def test_a_tilted_camera_does_not_let_walkers_sink():
    """The way of the body and its feet tell the floor, whichever way the camera looks down on it."""
    step = np.zeros((40, 1, 2, 3), np.float32)
    step[:, 0, :, 2] = np.linspace(0, 4, 40)[:, None]
    step[:, 0, 0, 1] = 1.7
    angle = np.radians(15)
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    walker = Motion(step @ tilt, skeleton.free(["Hips", "Foot"], [-1, 0]), up="+y")
    drawn = Figures(walker).place[..., 1].min((1, 2))
    assert np.ptp(drawn) < 0.15 < 4 * np.sin(angle) / 1.7


def test_jumps_leave_the_floor_and_pinned_bodies_stand_on_it():
    jump = one("jump")
    feet = Figures(jump).place[..., 1].min((1, 2))
    assert feet.max() > 0.06
    spine = jump.layout.find("spine")
    pinned = jump.with_(joints=jump.joints - jump.joints[:, :, [spine]])  # what `--normalise ntu` does
    lowest = (pinned.joints @ [0, 1, 0]).min((1, 2))
    assert np.ptp(lowest) > 0.1
    drawn = Figures(pinned)
    left = jump.layout.find("left_ankle")
    assert np.ptp(drawn.place[:, 0, left, 1]) < 0.25 * np.ptp(feet) + 0.1


def test_missing_joints_have_no_lines(kick):
    whole = list(Figures(kick, 1).lines(0, 0.0))
    wrist, head = kick.layout.find("left_wrist"), kick.layout.find("head")
    seen = np.ones(kick.joints.shape[:3], np.float32)
    seen[:, :, [wrist, head]] = 0
    fewer = list(Figures(kick.with_(confidence=seen), 1).lines(0, 0.0))
    blue = [sum(line.ink == ink("left") for line in lines) for lines in (whole, fewer)]
    assert blue[1] == blue[0] - 2  # forearm and hand
    assert max(line.width for line in whole) > 2 * max(line.width for line in fewer if line.ink not in (PALE, WHITE))


def test_frames_without_anybody_and_motions_without_anything(kick, tmp_path):
    seen = np.ones(kick.joints.shape[:3], np.float32)
    seen[10:30] = 0
    picture = Figures(kick.with_(confidence=seen))
    assert list(picture.lines(15, 0.0)) == []
    assert np.isfinite(picture.place).all()
    strips.strip(kick.with_(confidence=seen), tmp_path / "gap.png")
    with pytest.raises(InputError, match="no joint is seen"):
        strips.strip(kick.with_(confidence=np.zeros_like(seen)), tmp_path / "nobody.png")


def test_two_people_stand_beside_each_other_and_the_second_is_paler():
    clip = one("shake_hands")
    picture = Figures(clip, 5)
    first, second = (picture.place[:, person, :, 0].mean() for person in (0, 1))
    assert second - first > 0.3
    inks = {line.ink for line in picture.lines(2, 0.0)}
    assert {ink(side, person) for side in ("left", "right", "trunk") for person in (0, 1)} <= inks
    alone = clip.confidence.copy()
    alone[:, 1] = 0
    assert ink("left", 1) not in {line.ink for line in Figures(clip.with_(confidence=alone), 5).lines(2, 0.0)}


@pytest.mark.parametrize("name", skeleton.layouts())
def test_every_layout_is_a_body_in_one_piece(name):
    """Arms, legs and trunk hang together, each limb in the colour of its side, and there is a head."""
    layout = skeleton.layout(name)
    limbs = stick_figure.limbs(layout)
    group = {joint: joint for joint in range(len(layout))}
    for limb in limbs:
        joined = {group[joint] for joint in (*limb.end, *limb.start)}
        group = {joint: min(joined) if at in joined else at for joint, at in group.items()}
    words = [
        f"{side}_{word}"
        for side in ("left", "right")
        for word in ("wrist", "elbow", "shoulder", "hip", "knee", "ankle")
    ]
    head = layout.find("head", "nose")
    assert len({group[joint] for joint in (*map(layout.find, words), head)}) == 1
    for limb in limbs:
        sides = {layout.canonical_names[joint].split("_")[0] for joint in limb.end} & {"left", "right"}
        assert limb.side == ("trunk" if len(sides) != 1 else sides.pop())
    assert stick_figure._head(layout, np.ones(len(layout), bool))


def test_real_recordings(data_dir):
    from kineme import io

    for path in sorted(path for kind in ("*/*.bvh", "*/*.skeleton") for path in (data_dir / "formats").glob(kind)):
        picture = Figures(io.read(path), 8)
        assert np.isfinite(picture.place).all()
        assert picture.slot < 5


# ------------------------------------------------------------------------------------------------ pictures


def test_a_strip_shows_as_many_figures_as_asked(kick, tmp_path):
    strips.strip(kick, tmp_path / "strip.png", frames=6, title="a kick")
    picture = inked(tmp_path / "strip.png")
    assert 0.02 < picture.mean() < 0.4
    assert coloured(tmp_path / "strip.png", ink("left")) > 500 < coloured(tmp_path / "strip.png", ink("right"))
    figure = Figure()
    axes = figure.add_subplot()
    strips.strip(kick, axes, frames=6)
    times = [text.get_text() for text in axes.texts]
    assert (times[0], len(times)) == ("0.0 s", 6)
    strips.strip(kick.slice(0, 3).with_(fps=None), axes := Figure().add_subplot(), frames=6)
    assert [text.get_text() for text in axes.texts] == ["frame 0", "1", "2"]


def test_pictures_of_other_kinds_and_names_from_anywhere(kick, tmp_path):
    for kind in ("svg", "pdf"):
        strips.strip(kick, tmp_path / f"strip.{kind}", title="cost $5 to $6 & <b> 走る")
        assert (tmp_path / f"strip.{kind}").stat().st_size > 2000
    with pytest.raises(InputError, match=r"\.png, \.svg or \.pdf"):
        strips.strip(kick, tmp_path / "strip.bmp")
    with pytest.raises(InputError, match="frames: 0"):
        strips.strip(kick, tmp_path / "strip.png", frames=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["strip.pdf", "strip.svg"]


def test_a_sheet_is_as_tall_as_its_rows(kick, tmp_path):
    strips.grid([kick], tmp_path / "one.png")
    strips.grid([kick, one("jump"), one("squat")], tmp_path / "three.png", titles=["a" * 200, "b", "c"])
    sizes = [Image.open(tmp_path / f"{name}.png").size for name in ("one", "three")]
    assert 2.5 < sizes[1][1] / sizes[0][1] < 3.6
    assert sizes[1][0] < sizes[0][0] + 300  # long titles are cut


def test_neighbours_tell_right_from_wrong(kick, tmp_path):
    other = one("squat")
    strips.neighbours(kick, [(kick, 0.9), (other, 0.5)], tmp_path / "near.png")
    green, red = ([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in (strips.SAME, strips.OTHER))
    assert coloured(tmp_path / "near.png", green) > 20 < coloured(tmp_path / "near.png", red)
    strips.neighbours(dataclasses.replace(kick, label=None), [(other, 0.5)], tmp_path / "unknown.png")
    assert coloured(tmp_path / "unknown.png", red) == 0 == coloured(tmp_path / "unknown.png", green)


def test_a_film_runs_as_long_as_the_motion(kick, tmp_path):
    strips.gif(kick.slice(0, 30), tmp_path / "one.gif", fps=10)
    film = Image.open(tmp_path / "one.gif")
    assert film.n_frames == 10
    assert film.info["duration"] == 100
    assert film.info["loop"] == 0
    frames = []
    for number in range(film.n_frames):
        film.seek(number)
        frames.append(np.asarray(film.convert("RGB")))
    assert (frames[0][0, 0] == 255).all()
    assert (frames[0] != frames[-1]).any()
    strips.gif(
        [kick.slice(0, 12), one("jump").slice(0, 30), kick.slice(0, 9)], tmp_path / "three.gif", fps=10, columns=2
    )
    assert Image.open(tmp_path / "three.gif").n_frames == 10
    size = Image.open(tmp_path / "three.gif").size
    assert [round(after / before) for after, before in zip(size, film.size)] == [2, 2]
    for motions, name, fps in ((kick, "film.mp4", 10), (kick, "film.gif", 0), ([], "film.gif", 10)):
        with pytest.raises(InputError, match=f"{name}: an animation of"):
            strips.gif(motions, tmp_path / name, fps=fps)


def test_the_loss_of_one_run_and_of_several(tmp_path):
    lines = [{"epoch": epoch, "loss": 4 / (1 + epoch), "lr": 0.1} for epoch in range(5)]
    run = tmp_path / "run"
    run.mkdir()
    (run / "log.jsonl").write_text("".join(f'{{"epoch": {line["epoch"]}, "loss": {line["loss"]}}}\n' for line in lines))
    plots.training_curve(run, tmp_path / "one.png")
    plots.training_curve({f"seed {seed}": lines for seed in range(8)}, tmp_path / "eight.png", key="lr")
    assert inked(tmp_path / "one.png").any()
    assert inked(tmp_path / "eight.png").any()
    plots.training_curve({"begun": lines[:1], "not yet": []}, tmp_path / "begun.png")
    with pytest.raises(InputError, match="'accuracy'"):
        plots.training_curve({"seed 0": lines}, tmp_path / "none.png", key="accuracy")


def test_nothing_global_is_touched(kick, tmp_path):
    before = dict(matplotlib.rcParams)
    strips.strip(kick, tmp_path / "strip.png")
    assert dict(matplotlib.rcParams) == before
    code = (
        "import sys; from kineme import draw, synth; draw.strip(next(synth.generate(1)), sys.argv[1]); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "strip.svg")], check=True)


def test_a_map_keeps_neighbours_and_shows_every_class(tmp_path):
    rng = np.random.default_rng(0)
    centres = np.eye(12, 40) * 8
    owner = np.arange(120) % 12
    points = plots.tsne(centres[owner] + rng.normal(size=(120, 40)))
    assert points.shape == (120, 2)
    apart = np.linalg.norm(points[:, None] - points[None], axis=2) + 1e9 * np.eye(120)
    assert (owner[apart.argmin(1)] == owner).mean() > 0.95
    np.testing.assert_array_equal(points, plots.tsne(centres[owner] + np.random.default_rng(0).normal(size=(120, 40))))
    labels = [f"class {i}" for i in owner[:-2]] + [None, None]
    plots.embedding_map(points, labels, tmp_path / "map.svg", "twelve", pale=owner < 3)
    text = (tmp_path / "map.svg").read_text()
    assert text.count('id="PathCollection_') >= 12 * 2 + 1
    plots.embedding_map(points, labels, tmp_path / "map.png")
    pixels = np.asarray(Image.open(tmp_path / "map.png").convert("RGB"), float).reshape(-1, 1, 3)
    wanted = 255 * (0.9 * np.array(matplotlib.colormaps["tab10"].colors) + 0.1)  # a tenth of the paper shows
    assert (np.abs(pixels - wanted).max(2).min(0) < 3).all()
    with pytest.raises(InputError, match="3 labels"):
        plots.embedding_map(points, labels[:3], tmp_path / "no.png")
    with pytest.raises(InputError, match="at least 4"):
        plots.tsne(points[:3])
