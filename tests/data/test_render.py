"""Motion drawn as video: what is seen where, the same bytes again, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import kineme
from kineme import InputError
from kineme.data.synth import figure, shot
from kineme.data.synth.detector import detect
from kineme.data.synth.figure import INDEX
from kineme.data.synth.looks import DOMAINS
from kineme.data.synth.raster import Canvas
from kineme.data.synth.render import draw
from kineme.motion.layout import layouts

ACTIONS = ("wave", "kick", "sit_down")
SIZE = 64


def made(action: str = "wave", frames: int = 12, **options):
    options = {"cameras": 0, "seed": 5, "subjects": 2, **options}
    return next(iter(kineme.synth.generate(1, actions=[action], **options)))[20 : 20 + frames]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    motions = [m[20:28] for m in kineme.synth.generate(6, actions=ACTIONS, subjects=2, cameras=0, seed=2)]
    return kineme.store(motions, tmp_path_factory.mktemp("motions") / "store", normalise="none")


@pytest.fixture(scope="module")
def films():
    """The same motion in both domains: name -> (shot, film)."""
    drawn = {name: shot.draw_shot(made(), name, SIZE, 3) for name in DOMAINS}
    return {name: (each, shot.shoot(each)) for name, each in drawn.items()}


# --------------------------------------------------------------------------------------------------- what is seen


@pytest.mark.parametrize("domain", DOMAINS)
def test_joints_in_sight_lie_on_the_body(domain):
    """Pixels at joints that nothing covers are not those of the empty room."""
    on = off = 0
    for action in ("wave", "kick"):
        drawn = shot.draw_shot(made(action), domain, SIZE, 3)._replace(grain=0.0)
        film = shot.shoot(drawn)
        none = drawn.figure._replace(present=np.zeros_like(drawn.figure.present))
        empty = shot.shoot(drawn._replace(figure=none)).pictures.astype(int)
        frames, persons, joints = np.nonzero(film.covered == 0)
        x, y = film.places[frames, persons, joints, :2].astype(int).T
        inside = (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)
        frames, x, y = frames[inside], x[inside], y[inside]
        changed = np.abs(film.pictures[frames, y, x] - empty[frames, y, x]).max(-1) > 8
        on, off = on + changed.sum(), off + (~changed).sum()
        everywhere = (np.abs(film.pictures - empty).max(-1) > 8).mean()
        assert everywhere < 0.3  # so that this says something
    assert on / (on + off) > 0.95


def test_a_picture_is_as_the_body_stands():
    """Of one who waves a hand is above the head, and the camera's left is the body's right."""
    motion = made("wave", 60)
    drawn = shot.draw_shot(motion, "game", SIZE, 0)
    film = shot.shoot(drawn)
    of = {
        name: motion.layout.canonical_names.index(name)
        for name in ("head", "left_ankle", "right_ankle", "left_hip", "right_hip")
    }
    y = {name: film.places[:, 0, joint, 1] for name, joint in of.items()}
    assert (y["head"] < y["left_hip"]).all()
    assert (y["left_hip"] < y["left_ankle"]).all()
    assert (film.places[:, 0, of["left_hip"], 0] > film.places[:, 0, of["right_hip"], 0]).all()  # faces the camera


def test_what_stands_before_a_joint_covers_it():
    drawn = shot.draw_shot(made(), "game", SIZE, 0)
    clear = shot.shoot(drawn)
    near = drawn.scene._replace(depth=np.full_like(drawn.scene.depth, 0.5))
    hidden = shot.shoot(drawn._replace(scene=near))
    assert (hidden.covered == 2).all()
    assert (clear.covered == 2).mean() == 0
    rng = np.random.default_rng
    sure, unsure = (
        detect(film, drawn.figure, kineme.layout("ntu25"), DOMAINS["game"], rng(0))[1] for film in (clear, hidden)
    )
    assert unsure.max() <= 0.35 < 0.5 < np.median(sure)
    assert (unsure == 0).mean() > 0.4


def test_a_limb_behind_the_trunk_is_covered_by_the_body():
    canvas = Canvas(np.full((40, 40), 9.0, np.float32), (0, 0), 2)
    canvas.solid((20, 5, 3.0), (20, 35, 3.0), (10, 10), (0.1, 0.1), 0)
    canvas.solid((20, 20, 3.5), (39, 20, 3.5), (3, 3), (0.05, 0.05), 1)
    assert canvas.part[20, 20] == 0  # the trunk is nearer
    assert canvas.part[20, 36] == 1
    assert canvas.part[2, 36] == -1
    joints = np.array([[[20.0, 20.0, 3.5], [36.0, 20.0, 3.5]]])
    assert shot._covered(canvas, joints, np.ones(1)).tolist() == [[1, 0]]


def test_jitter_grows_with_distance_as_a_share_of_the_body():
    """The same film, once with joints twice as close to each other: the body is half as large in the picture."""
    drawn = shot.draw_shot(made(frames=30), "real", SIZE, 1)
    film = shot.shoot(drawn)._replace(covered=np.zeros((30, 1, 25), np.int8))
    ranges = DOMAINS["real"]._replace(swaps=0)

    def share(film) -> float:
        found, sure = detect(film, drawn.figure, kineme.layout("ntu25"), ranges, np.random.default_rng(0))
        return float((found - film.places[..., :2])[sure > 0].std() / film.focal)

    assert share(film._replace(focal=film.focal / 2)) > 1.1 * share(film)


def test_sides_are_exchanged_in_runs_of_domain_real_only():
    layout = kineme.layout("ntu25")
    mirror, pairs = list(layout.mirror), [i for i, other in enumerate(layout.mirror) if other != i]

    def exchanged(domain: str) -> int:
        """Frames that are nearer to the other side's joints."""
        drawn = shot.draw_shot(made(frames=24), domain, SIZE, 1)
        film, count = shot.shoot(drawn), 0
        for seed in range(20):
            found, sure = detect(film, drawn.figure, layout, drawn.ranges, np.random.default_rng(seed))
            own, other = (np.abs(found - film.places[..., order, :2])[:, 0, pairs] for order in (range(25), mirror))
            seen = sure[:, 0, pairs, None] > 0
            count += int(((own * seen).sum((1, 2)) > (other * seen).sum((1, 2))).sum())
        return count

    assert exchanged("game") == 0
    assert 0 < exchanged("real") < 20 * 24 / 4


def test_domains_differ(films):
    """One palette against another: colours that the one has the other has hardly, and only one has noise."""
    game, real = (films[name][1].pictures for name in ("game", "real"))
    cubes = [np.unique((pictures // 32).reshape(-1, 3), axis=0) for pictures in (game, real)]
    assert len(cubes[1]) > 2 * len(cubes[0])
    still = [np.abs(np.diff(pictures[:, :6, :6].astype(int), axis=0)).mean() for pictures in (game, real)]
    assert still[0] == 0  # nothing moves in the corner
    assert still[1] > 1


def test_bodies_of_domain_real_have_other_proportions(films):
    def limbs(name):
        points = films[name][0].figure.points[0, 0]
        pairs = (("left_shoulder", "left_elbow"), ("left_hip", "left_knee"), ("pelvis", "neck"))
        return np.array([np.linalg.norm(points[INDEX[a]] - points[INDEX[b]]) for a, b in pairs])

    ratio = limbs("real") / limbs("game")
    assert np.ptp(ratio) > 0.02


def test_two_people_are_drawn():
    motion = made("shake_hands", subjects=3)
    seen, _ = draw(motion, "game", SIZE, 0)
    assert seen.persons == 2
    assert (seen.confidence > 0).mean((0, 2)).min() > 0.7
    first, second = (seen.joints[:, person][seen.confidence[:, person] > 0.8].mean(0) for person in (0, 1))
    assert abs(first[0] - second[0]) > SIZE / 8  # beside each other
    alone = draw(motion.with_(confidence=motion.confidence * [[[1], [0]]]), "game", SIZE, 0)[0]
    assert not alone.confidence[:, 1].any()


@pytest.mark.parametrize("layout", layouts())
def test_any_layout_with_limbs_can_be_drawn(layout):
    seen, pictures = draw(made(layout=layout, coords=3, frames=2), "real", 32, 0)
    assert seen.layout.name == layout
    assert (seen.confidence > 0).mean() > 0.5
    assert pictures.shape == (2, 32, 32, 3)


def test_a_detector_may_find_other_joints():
    motion = made(frames=4)
    own, _ = draw(motion, "game", SIZE, 0)
    found, _ = draw(motion, "game", SIZE, 0, layout=kineme.layout("openpose18"))
    assert found.layout.name == "openpose18"
    here, there = (each.canonical_names.index("left_knee") for each in (own.layout, found.layout))
    assert np.abs(own.joints[:, 0, here] - found.joints[:, 0, there]).max() < 4
    assert not found.confidence[:, 0, found.layout.canonical_names.index("left_ear")].any()  # ntu25 has none


def test_who_runs_far_is_drawn_where_he_can_be_seen():
    """A long way, towards the camera and past it: nothing fails, and what is outside the picture is missing."""
    motion = made("walk", frames=20)
    far = motion.joints + np.linspace(0, 14, 20)[:, None, None, None] * np.array((0.0, 0.0, 1.0))
    for domain in DOMAINS:
        seen, pictures = draw(motion.with_(joints=far), domain, SIZE, 0)
        there = seen.confidence > 0
        assert 0.1 < there.any(2).mean() < 1
        assert pictures.shape == (20, SIZE, SIZE, 3)
        assert np.isfinite(seen.joints).all()


def test_gaps_are_filled_and_other_axes_turned():
    motion = made(frames=10)
    confidence = motion.confidence.copy()
    confidence[3:6, 0, 7] = 0
    gone = figure.figure(motion.with_(confidence=confidence))
    whole = figure.figure(motion)
    assert np.abs(gone.joints - whole.joints).max() < 0.1
    tall = motion.with_(joints=1000 * motion.joints[..., [2, 0, 1]], up="+z", unit="mm")
    assert np.allclose(figure.figure(tall).points, whole.points, atol=1e-3)
    assert whole.points[..., 1].min() == pytest.approx(figure.SOLE, abs=0.02)  # on the floor


# ------------------------------------------------------------------------------------------------------- the store


def test_a_store_holds_poses_pictures_and_what_was_known(store, tmp_path):
    out = kineme.render(store, tmp_path / "out", "real", size=32)
    assert len(out) == len(store)
    assert out.coords == 2
    assert out.layout == store.layout
    assert out.pictures([0])[0].shape == (32, 32, 3)
    for column in ("label", "subject", "performance", "length", "fps"):
        assert out.column(column).tolist() == store.column(column).tolist()
    assert set(out.column("domain")) == {"real"}
    assert set(out.column("width")) == set(out.column("height")) == {32}
    inside = out.frames[out.confidence > 0]
    assert -8 < inside.min() < inside.max() < 40
    out.verify()


@pytest.mark.parametrize("domain", DOMAINS)
def test_same_bytes_for_the_same_seed_and_any_number_of_jobs(store, tmp_path, domain):
    first = kineme.render(store, tmp_path / "a", domain, size=32, seed=7)
    many = kineme.render(store, tmp_path / "b", domain, size=32, seed=7, jobs=2)
    some = kineme.render(store, tmp_path / "c", domain, size=32, seed=7, rows=[3])
    other = kineme.render(store, tmp_path / "d", domain, size=32, seed=8)
    assert first.hash == many.hash != other.hash
    assert np.array_equal(some.frames, first.frames[first.offsets[3] : first.offsets[4]])
    assert np.array_equal(some.pictures([0])[0], first.pictures([first.offsets[3]])[0])


def test_more_frames_than_a_video_has_are_thinned_out(tmp_path):
    motion = made(frames=40, fps=60.0)
    assert draw(motion, "game", 32, 0)[0].fps == 30
    seen, pictures = draw(motion, "game", 32, 0, fps=15)
    assert len(seen) == len(pictures) == 10


def test_what_cannot_be_drawn_is_left_out_with_the_reason(tmp_path):
    good = made(frames=3)
    lame = good.with_(confidence=np.where(np.arange(25) == 6, 0, good.confidence), source="lame")
    out = kineme.render([good, lame], tmp_path / "out", "game", size=32)
    assert len(out) == 1
    assert out.card["skipped"] == 1
    assert "lame" in (tmp_path / "out" / "skipped.jsonl").read_text()
    with pytest.raises(InputError, match="none of 1 clips"):
        kineme.render([lame], tmp_path / "none", "game", size=32)


def test_bad_input_is_refused_in_one_sentence(store, tmp_path):
    out = tmp_path / "out"
    flat = kineme.store([made(frames=3, layout="coco17", cameras=1)], tmp_path / "flat", normalise="none")
    hand = kineme.Motion(
        np.random.default_rng(0).normal(size=(3, 3, 3)), kineme.motion.layout.free(["a", "b", "c"], [-1, 0, 1]), up="+y"
    )
    cases = [
        (lambda: kineme.render(flat, out, "game"), "2-D motion"),
        (lambda: kineme.render([hand], out, "game"), "no left_shoulder"),
        (lambda: kineme.render(store, out, "game", size=0), "size: 0"),
        (lambda: kineme.render(store, out, "gam"), "no such domain"),
        (lambda: kineme.render(store, out, "game", rows=[99]), "row 99"),
        (lambda: kineme.render([], out, "game"), "no clip"),
        (lambda: kineme.render(store, store.path, "game", size=32), "exists already"),
    ]
    for call, words in cases:
        with pytest.raises(InputError, match=words):
            call()
        assert not out.exists()


def test_interrupted_work_leaves_no_store(store, tmp_path):
    def stop(done: int, total: int, note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kineme.render(store, tmp_path / "out", "game", size=32, progress=stop)
    assert not list(tmp_path.iterdir())
