"""The weights that come with Kineme: opened by name, for motion of any layout, and nothing is written beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import kineme
from kineme.apps.cli import main
from kineme.data import splits
from kineme.inference.nearest import neighbours
from kineme.motion import layout as skeleton
from kineme.training import bundled
from kineme.utils.errors import InputError

MOST = 4 << 20  # bytes of one encoder, trained and untrained


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """The same clips in three layouts."""
    folder = tmp_path_factory.mktemp("bundled")
    raw = kineme.synth.write(folder / "raw", 96, subjects=4, actions=["walk", "kick", "wave", "sit_down"], seed=77)
    return {name: kineme.prepare(raw, folder / name, layout=name) for name in ("ntu25", "kinect20", "pose13")}


@pytest.fixture(scope="module")
def base():
    return kineme.load("base", device="cpu")


@pytest.mark.parametrize("name", bundled.names())
def test_the_folder_of_weights_is_small_and_names_no_place(name):
    path = bundled.FOLDER / name
    files = sorted(file.name for file in path.iterdir())
    assert files == ["card.json", "initial.safetensors", "model.safetensors", "trained_on.npy"]
    assert sum((path / file).stat().st_size for file in files) <= MOST * 1.03
    card = json.loads((path / "card.json").read_text())
    assert card["status"] == "done"
    assert "/" not in json.dumps(card)


def test_what_weights_there_are_and_what_base_learned_from(base):
    assert bundled.names() == ("base", "base_2d")
    assert {store["name"].removeprefix("b_") for store in base.card["stores"]} == {"synth", "cmu_free", "cmu_mocap"}


def flat(motion, camera, angle):
    """A clip in space as a camera far away sees it, that stands ``angle`` radians beside."""
    turned = motion.joints[..., [0]] * np.cos(angle) + motion.joints[..., [2]] * np.sin(angle)
    image = 500 + 300 * np.concatenate([turned, -motion.joints[..., [1]]], -1).astype(np.float32)
    about = {"fps": motion.fps, "up": "-y", "unit": "px", "image_size": (1000, 1000), "label": motion.label}
    about |= {"subject": motion.subject, "camera": camera, "source": f"{motion.source}-{camera}"}
    return kineme.Motion(image, motion.layout, motion.confidence, **about)


def test_a_movement_in_an_image_is_found_before_another_camera(stores):
    """The same movement among 96 of four actions; cameras 70 degrees apart. Untrained it is found more rarely."""
    clips, model = list(stores["pose13"]), kineme.load("base_2d", device="cpu")
    front, side = ([flat(clip, camera, angle) for clip in clips] for camera, angle in ((1, 0.0), (2, 1.2)))

    def share(one):
        near = neighbours(one.embed(front), one.embed(side), 1)[:, 0]
        return np.mean(near // 3 == np.arange(len(clips)) // 3)

    assert share(model) >= share(model.untrained()) + 0.03


@pytest.mark.filterwarnings("ignore:.*mapped to the run's")
def test_one_space_for_several_layouts(base, stores):
    """A clip with other joints finds its own performance, of three cameras, among all clips with these joints."""
    vectors = {name: base.embed(store) for name, store in stores.items()}
    vectors = {name: x / np.linalg.norm(x, axis=1, keepdims=True) for name, x in vectors.items()}
    for name in ("ntu25", "kinect20"):
        found = (vectors[name] @ vectors["pose13"].T).argmax(1)
        assert (found // 3 == np.arange(len(found)) // 3).mean() > 0.95


LEFT_OUT = {
    "head": ("head", "neck"),
    "elbows": ("left_elbow", "right_elbow"),
    "left leg": ("left_knee", "left_ankle", "left_foot"),
}


@pytest.mark.parametrize("name", [*LEFT_OUT, "pose13", "coco17", "h36m17"])
def test_queries_with_fewer_joints_are_met_nearly_as_well(base, stores, name):
    """1-NN of other people's clips, the gallery with all joints: without this a missing head took a third away."""
    store = stores["ntu25"]
    sides, labels = splits.split(store, "xsub"), store.column("label")
    gallery = base.embed(store[sides.train])
    clips = store[sides.test]
    rows = [i for i, word in enumerate(store.layout.canonical_names) if word not in LEFT_OUT.get(name, ())]
    names = [store.layout.joints[row] for row in rows]
    less = skeleton.free(names, [-1] * len(names))
    fewer = [
        clip.with_(joints=clip.joints[:, :, rows], confidence=clip.confidence[:, :, rows], layout=less)
        if name in LEFT_OUT
        else clip.to_layout(name)
        for clip in clips
    ]
    whole, reduced = (
        np.mean(labels[sides.train][neighbours(gallery, base.embed(each), 1)[:, 0]] == labels[sides.test])
        for each in (clips, fewer)
    )
    assert reduced >= whole - 0.05


@pytest.mark.filterwarnings("ignore:.*mapped to the run's")
def test_it_tells_actions_of_other_people_without_any_training(stores):
    rows = kineme.evaluate("base", stores["ntu25"], "knn", split="xsub")
    scores = {row["features"]: row["score"] for row in rows if row["metric"] == "1-NN" and row["protocol"] == "knn"}
    assert scores["trained"] >= max(scores["untrained"], 0.9)


def test_nothing_is_written_beside_it(base, stores):
    base.embed(stores["pose13"])
    assert not (base.path / "cache").exists()


def test_a_folder_of_this_name_goes_before_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    with pytest.raises(InputError, match="base"):
        kineme.load("base")


@pytest.mark.filterwarnings("ignore:.*mapped to the run's")
def test_the_command_line_takes_it_at_once(stores, tmp_path, capsys):
    kineme.synth.write(tmp_path / "motion", 2, format="bvh", actions=["walk"], cameras=0)
    assert main(["embed", "base", str(tmp_path / "motion"), "--out", str(tmp_path / "vectors")]) == 0
    assert np.load(tmp_path / "vectors" / "Z.npy").shape == (2, 2048)
    assert main(["evaluate", "base", str(stores["kinect20"].path), "--split", "xsub", "--protocols", "knn"]) == 0
    assert "1-NN" in capsys.readouterr().out
    assert main(["methods"]) == 0
    assert "base" in capsys.readouterr().out.partition("weights")[2]
