"""Bodies of one store, and of several that are joined, are of one size and have one axis up."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.samples import write_arrays
from helpers.training import make_store

from kineme import io, synth
from kineme.data import conform, store, store_writer
from kineme.data.prepare import prepare, report
from kineme.data.store_writer import Writer
from kineme.motion import normalise, size
from kineme.motion.fit import Target
from kineme.motion.motion import Motion
from kineme.training import bundled
from kineme.training import card as cards
from kineme.utils.errors import InputError

FACTORS = {"metres": 1.0, "centimetres": 0.01, "inches": 0.0254, "millimetres": 0.001, "tenths": 0.00254}


@pytest.fixture(scope="module")
def people():
    """Synthetic motions in metres, +y up, of two people."""
    return [clip.slice(0, 12) for clip in synth.generate(4, cameras=0, subjects=2)]


def save(folder, name, motions, factor=1.0, **about):
    """A labelled set of arrays in another unit."""
    folder.mkdir(exist_ok=True)
    layout = motions[0].layout
    count = len(motions)
    arrays = {
        "joints": np.concatenate([clip.joints[:, 0] for clip in motions]) / factor,
        "offsets": np.cumsum([0, *map(len, motions)]),
        "labels": np.zeros(count, np.int16),
        "subjects": np.ones(count, np.int16),
        "views": np.ones(count, np.int16),
        "reps": np.zeros(count, np.int16),
        "names": np.array([f"{name}{i}" for i in range(count)]),
    }
    described = {"joint_names": layout.joints, "parents": layout.parents, "class_names": ["a"], "fps": 30, "up": "+y"}
    write_arrays(folder / f"{name}.npz", arrays, {**described, "splits": {}, **about})
    return folder


def notes(made):
    return str(report(made))


@pytest.mark.parametrize("how", ["general", "none", "ntu"])
def test_one_motion_in_several_units_is_one_motion(people, tmp_path, how):
    for name, factor in FACTORS.items():
        save(tmp_path / "raw", name, people[:1], factor)
    made = prepare(tmp_path / "raw", tmp_path / "made", normalise=how)
    clips = [made.motion(i) for i in range(len(made))]
    for clip in clips[1:]:
        np.testing.assert_allclose(clip.joints, clips[0].joints, atol=1e-5)
    assert (made.card["unit"], made.card["size"]["how"], made.card["size"]["unit"]) == ("m", "metres", None)
    assert made.card["size"]["clips"] == dict.fromkeys(["cm", "in", "m", "mm", "tenths of an inch"], 1)
    np.testing.assert_allclose(made.column("size_factor"), [FACTORS[name.rstrip("0")] for name in made.ids])
    assert "1 in centimetres (centimetres0)" in notes(made)
    made.verify()


def test_a_stated_unit_in_any_wording_is_kept(people, tmp_path):
    wanted = normalise.apply(people[0], "general").joints[:, 0]
    for number, said in enumerate(["Millimeters", "MM", "millimetre"]):
        save(tmp_path / "raw", f"set{number}", people[:1], 0.001, units=said)
    made = prepare(tmp_path / "raw", tmp_path / "made")
    for i in range(3):
        np.testing.assert_allclose(made.motion(i).joints[:, 0], wanted, atol=1e-5)
    assert "3-D, unit m, up" in notes(made)
    assert made.card["size"]["clips"] == {"stated": 3}
    assert "size_factor" in made.clips.column_names
    save(tmp_path / "plain", "set", people, units="m")
    plain = prepare(tmp_path / "plain", tmp_path / "made_plain")
    assert "size_factor" not in plain.clips.column_names  # nothing was changed
    save(tmp_path / "wrong", "set", people, units="furlongs")
    with pytest.raises(InputError, match="units = furlongs"):
        prepare(tmp_path / "wrong", tmp_path / "made_wrong")


def test_bodies_of_no_known_unit_are_scaled_by_their_torso(people, tmp_path):
    save(tmp_path / "raw", "odd", people, 1 / 17.0)
    save(tmp_path / "raw", "odder", people, 1 / 5000.0)
    made = prepare(tmp_path / "raw", tmp_path / "made")
    assert (made.card["unit"], made.card["size"]["how"], made.card["size"]["torso"]) == ("1", "torso", size.BODY)
    np.testing.assert_allclose(made.motion(0).joints, made.motion(4).joints, atol=1e-4)
    assert "8 clips scaled to a torso of 0.4" in notes(made)


@pytest.mark.parametrize("said", ["cm", "Centimetres", "0.01", 0.01])
def test_the_user_says_the_unit(people, tmp_path, said):
    save(tmp_path / "raw", "set", people, 0.01, units="m")  # it is not
    doubtful = prepare(tmp_path / "raw", tmp_path / "doubtful")
    assert "by the unit that the files state" in notes(doubtful)
    made = prepare(tmp_path / "raw", tmp_path / "made", unit=said)
    wanted = [normalise.apply(clip, "general").joints for clip in people]
    np.testing.assert_allclose(np.concatenate(wanted), made.frames, atol=1e-5)
    assert f"unit m (--unit {said})" in notes(made)
    assert "torsos" not in notes(made)
    assert not report(made).notes
    read = next(io.read_all(tmp_path / "raw" / "set.npz", options=io.Options(unit=said)))
    np.testing.assert_allclose(size.metric(read).joints[:, 0], people[0].joints[:, 0], atol=1e-5)


def test_a_unit_means_nothing_to_motion_in_the_image(people, tmp_path):
    flat = [Motion(clip.joints[..., :2] * 100, clip.layout, up="-y", unit="px") for clip in people]
    folder = save(tmp_path / "raw", "flat", flat, up="-y", units="pixels", dims=["x", "y"])
    plain, said = prepare(folder, tmp_path / "plain"), prepare(folder, tmp_path / "said", unit="cm")
    assert plain.hash == said.hash
    assert "--unit cm says what lengths in space are in: to motion in the image it does nothing" in notes(said)
    assert "size" not in plain.card


def test_every_body_by_its_torso(people, tmp_path):
    save(tmp_path / "raw", "one", people[:2], units="m")
    save(tmp_path / "raw", "two", people[2:], 0.3)
    made = prepare(tmp_path / "raw", tmp_path / "made", unit="torso")
    assert made.card["size"]["clips"] == {"scaled": 4}
    for i in range(4):
        assert size.measure(made.motion(i)).torso == pytest.approx(size.BODY, rel=1e-5)


def test_a_column_of_the_labels_says_the_unit_of_each(people, tmp_path):
    save(tmp_path / "raw", "one", people[:2], 0.01, units="m")
    save(tmp_path / "raw", "two", people[2:], units="m")
    (tmp_path / "labels.csv").write_text("file,label,unit\none,walk,Centimetres\ntwo,walk,\n")
    made = prepare(tmp_path / "raw", tmp_path / "made", labels=tmp_path / "labels.csv")
    wanted = [normalise.apply(clip, "general").joints for clip in people]
    np.testing.assert_allclose(np.concatenate(wanted), made.frames, atol=1e-5)
    assert "unit" not in made.clips.column_names
    (tmp_path / "wrong.csv").write_text("file,label,unit\none,walk,furlong\ntwo,walk,m\n")
    made = prepare(tmp_path / "raw", tmp_path / "wrong", labels=tmp_path / "wrong.csv")
    assert len(made) == 2  # one bad line costs itself
    assert "unit 'furlong' of one" in report(made).skipped[0][1]


def test_bodies_that_differ_by_more_than_people_are_named(people, tmp_path):
    save(tmp_path / "raw", "dwarf", people[:1], 100.0, units="m")
    save(tmp_path / "raw", "people", people[1:], units="m")
    said = notes(prepare(tmp_path / "raw", tmp_path / "made"))
    assert "1 clip with bodies of another size" in said
    assert "(dwarf0) to " in said
    assert "(people" in said


def test_hands_alone_go_with_the_bodies(people, tmp_path):
    layout = people[0].layout
    hands = [layout.find(f"left_{word}") for word in ("wrist", "hand", "hand_tip", "thumb")]
    kept = np.zeros(len(layout), bool)
    kept[hands] = True
    joints = np.where(kept[:, None], people[0].joints[:, :1], np.nan)
    save(tmp_path / "raw", "hand", [people[0].with_(joints=joints)], 0.01)
    save(tmp_path / "raw", "people", people[1:], 0.01)
    made = prepare(tmp_path / "raw", tmp_path / "made", normalise="none")
    assert made.card["size"]["clips"] == {"cm": 4}
    np.testing.assert_allclose(made.motion(0).joints[:, 0, hands], people[0].joints[:, 0, hands], atol=1e-5)


def test_processes_change_nothing(people, tmp_path, monkeypatch):
    for name, factor in FACTORS.items():
        save(tmp_path / "raw", name, people, factor)
    monkeypatch.setattr("kineme.data.plan.SHARD_FILES", 2)
    assert prepare(tmp_path / "raw", tmp_path / "one").hash == prepare(tmp_path / "raw", tmp_path / "two", jobs=2).hash


# ---- which way is up


def test_turned_recordings_with_their_axis_stated_are_the_same(people, tmp_path):
    save(tmp_path / "raw", "y", people)
    turned = [size.turned(clip, "+z") for clip in people]
    save(tmp_path / "raw", "z", turned, up="+z")
    made = prepare(tmp_path / "raw", tmp_path / "made", normalise="none")
    assert made.card["up"] == "+y"
    np.testing.assert_allclose(made.frames[: len(made.frames) // 2], made.frames[len(made.frames) // 2 :], atol=1e-6)
    assert "clips of several up axes (+y, +z) were turned to +y" in notes(made)
    save(tmp_path / "said", "z", turned, up="+y")
    doubtful = prepare(tmp_path / "said", tmp_path / "doubtful", normalise="none")
    assert "4 of 4 clips in which bodies stand across the axis that is called up: z0 along +z, not +y" in notes(
        doubtful
    )
    said = prepare(tmp_path / "said", tmp_path / "up", normalise="none", up="+z")
    assert said.card["up"] == "+z"
    assert "across" not in notes(said)


def test_where_nobody_says_the_bodies_tell_which_way_is_up(people, tmp_path):
    save(tmp_path / "raw", "z", [size.turned(clip, "+z") for clip in people], up=None)
    made = prepare(tmp_path / "raw", tmp_path / "made", normalise="none")
    assert made.card["up"] == "+z"
    assert "up is +z, for so the bodies stand" in notes(made)
    assert prepare(tmp_path / "raw", tmp_path / "general").card["up"] == "+y"


def test_heads_below_hips_are_reported(people, tmp_path):
    save(tmp_path / "raw", "fallen", [size.turned(clip, "-y") for clip in people[:1]], up="+y")
    save(tmp_path / "raw", "people", people[1:])
    said = notes(prepare(tmp_path / "raw", tmp_path / "made"))
    assert "1 of 4 clips with the head below the hips in most frames (the first is fallen0)" in said


# ---- stores of other units


def stored(path, motions, unit="m", factor=1.0, up="+y", how="none"):
    """A store in a unit of its own, as `prepare` would not write it."""
    layout = motions[0].layout
    with Writer(path, layout, normalise=normalise.describe(how, layout)) as writer:
        for clip in motions:
            writer.add(size.turned(clip, up).with_(joints=size.turned(clip, up).joints / np.float32(factor), unit=unit))
    return store.open(path)


def test_joined_stores_are_of_one_size_and_axis(people, tmp_path):
    metres = stored(tmp_path / "m", people)
    others = [
        stored(tmp_path / "mm", people, "mm", 0.001),
        stored(tmp_path / "old", people, "1", 0.01),  # as BVH was stored by version 0.1
        stored(tmp_path / "z", people, up="+z"),
    ]
    joined = store_writer.join([metres, *others], tmp_path / "joined")
    count = len(metres.frames)
    for k in range(1, 4):
        np.testing.assert_allclose(joined.frames[k * count :][:count], metres.frames, atol=1e-5)
    assert (joined.card["unit"], joined.card["up"], joined.card["size"]["how"]) == ("m", "+y", "metres")
    joined.verify()
    same = store_writer.join([metres, metres], tmp_path / "same")
    np.testing.assert_array_equal(same.frames[:count], metres.frames)


def test_a_store_says_its_size_or_its_unit_does(people, tmp_path):
    assert conform.size_of(stored(tmp_path / "mm", people, "mm", 0.001)) == {"how": "metres"}
    assert conform.size_of(stored(tmp_path / "old", people, "1", 0.01)) == {"how": "unknown"}
    layout = people[0].layout
    flat = [Motion(clip.joints[..., :2], layout, up="-y", unit="px") for clip in people]
    with Writer(tmp_path / "flat", layout, normalise=normalise.describe("none", layout, 2)) as writer:
        for clip in flat:
            writer.add(clip)
    assert conform.size_of(store.open(tmp_path / "flat")) is None


def test_changes_of_a_store(people, tmp_path):
    metres = stored(tmp_path / "m", people)
    assert conform.changes(metres, {"how": "metres"}, "+y") is None
    assert conform.changes(metres, None, None) is None
    scaled = conform.changes(metres, {"how": "torso"}, "+y")
    torsos = [size.measure(clip).torso for clip in people]
    np.testing.assert_allclose(scaled[:, 0, 0] * torsos, size.BODY, rtol=1e-5)
    turned = conform.changes(metres, {"how": "metres"}, "+z")
    np.testing.assert_array_equal(turned, np.broadcast_to(size.turn("+y", "+z", 3), turned.shape))
    missing = np.zeros((2, 1, 3, 3), np.float32)
    assert not np.signbit(conform.apply(missing, turned[:2])).any()


def test_the_card_is_plain(people, tmp_path):
    save(tmp_path / "raw", "set", people, 0.01)
    made = prepare(tmp_path / "raw", tmp_path / "made")
    entry = made.card["size"]
    assert "unit m (files in centimetres, by the length of the torso" in notes(made)
    assert json.loads(json.dumps(entry)) == entry
    assert (entry["how"], entry["unit"], entry["clips"]) == ("metres", "cm", {"cm": 4})
    assert entry["torso"] == pytest.approx(np.median([size.measure(clip).torso for clip in people]), abs=1e-3)


def test_some_clips_of_a_store_are_fitted_as_all_of_them_are(tmp_path):
    made = make_store(tmp_path / "s", clips=6, layout="smpl24")
    target = Target.of(cards.read(bundled.folder(Path("base"))))
    joints, seen = conform.fitted(made, target)
    part = slice(made.offsets[2], made.offsets[5])
    some, some_seen = conform.fitted(made, target, 2, 5)
    np.testing.assert_array_equal(some, joints[part])
    np.testing.assert_array_equal(some_seen, seen[part])
