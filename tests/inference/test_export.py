"""A run as ONNX: the same vectors under onnxruntime, for any number of clips and frames; the model card beside it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.training import TINY, kineme, make_store, one_paragraph

import kineme as package
from kineme.inference import export
from kineme.utils.errors import InputError

pytest.importorskip("onnx", reason="the extra `onnx` is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
SMALL = {"encoder.hidden": 8, "loop.batch": 8, "loop.epochs": 1}


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def padded(motion, persons):
    extra = [(0, 0), (0, persons - motion.persons), (0, 0)]
    return np.pad(motion.joints, [*extra, (0, 0)])[None], np.pad(motion.confidence, extra)[None]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("onnx")
    done = kineme("export", "base", "--onnx", folder / "base.onnx")
    return folder / "base.onnx", done.stdout


def test_base_under_onnxruntime_gives_the_vectors_of_the_model(exported):
    path, said = exported
    assert "axes: batch free, frames free" in said
    assert "largest difference to torch" in said
    model, run = package.load("base", "cpu"), session(path)
    for motion in package.synth.generate(4, subjects=2, cameras=2, dropout=0.05, seed=8):
        joints, confidence = padded(model.fitted(motion), 1)
        (vector,) = run.run(None, {"joints": joints, "confidence": confidence})
        np.testing.assert_allclose(vector, model.embed(motion), atol=2e-4)


def test_the_file_says_what_it_takes(exported):
    model = package.load("base", "cpu")
    said = json.loads(session(exported[0]).get_modelmeta().custom_metadata_map["kineme"])
    assert said["joints"] == list(model.layout.joints)
    assert said["weights"] == model.hash
    assert said["crop"] == {"ratio": 0.95, "frames": 32}
    card = exported[0].with_suffix(".md").read_text()
    for word in ("simclr", model.hash, model.card["data"], "batch free, frames free", "left_shoulder"):
        assert word in card


@pytest.mark.parametrize(
    ("method", "settings", "persons"),
    [
        ("moco", {"encoder.layers": 1, "method.queue": 8, "method.views.frames": 16}, 1),
        ("simclr", {"encoder.blocks": 2, "encoder.frames": 16}, 2),
        ("hico", {"encoder.frames": 16, "method.queue": 8}, 1),
        ("hico", {"encoder.frames": 16, "method.queue": 8, "encoder.cell": "transformer"}, 1),
    ],
    ids=["recurrent", "fused of two persons", "hierarchical", "transformer"],
)
def test_other_encoders_have_the_free_axes_that_hold(tmp_path, method, settings, persons):
    store = make_store(tmp_path / "store", clips=16, persons=persons)
    run = package.pretrain(method, store, tmp_path / "run", settings=SMALL | settings, device="cpu")
    made = export.onnx(run, tmp_path / "run.onnx")
    assert made.difference < 1e-3 * made.scale
    assert method == "hico" or (made.batch, made.frames) == (None, None)
    model, network = package.load(run, "cpu"), session(made.path)
    for motion in (store[0], store[7]):
        fitted = model.fitted(motion)
        if made.frames is None:
            (vector,) = network.run(None, dict(zip(export.INPUTS, padded(fitted, persons))))
            np.testing.assert_allclose(vector, model.embed(motion), atol=1e-4)


def test_a_graph_that_holds_for_one_size_only_has_fixed_axes(tmp_path, monkeypatch):
    """A network that keeps its first batch in mind cannot have a free axis of batch, and the file says so."""
    store = make_store(tmp_path / "store", clips=8)
    settings = SMALL | {"encoder.layers": 1, "method.queue": 8, "method.views.frames": 16}
    model = package.load(package.pretrain("moco", store, tmp_path / "run", settings=settings, device="cpu"), "cpu")
    clip = type(model.encoder).forward

    def narrow(self, batch):
        found = clip(self, batch)
        return found._replace(clip=found.clip.reshape(int(batch.joints.shape[0]), -1))

    monkeypatch.setattr(type(model.encoder), "forward", narrow)
    made = export.onnx(model, tmp_path / "run.onnx")
    assert (made.batch, made.frames) == (1, None)
    assert session(made.path).get_inputs()[0].shape[0] == 1


def test_base_as_a_graph_does_without_joints_as_in_torch(tmp_path):
    """A head and an elbow that others tell, a wrist that nothing tells, and one that is lost for a while."""
    made, model = export.onnx("base", tmp_path / "base.onnx"), package.load("base", "cpu")
    clip = model.fitted(next(package.synth.generate(1, actions=["wave"], cameras=0, layout="pose13", coords=3)))
    seen = clip.confidence.copy()
    seen[:, :, [clip.layout.find("nose"), clip.layout.find("left_elbow"), clip.layout.find("right_wrist")]] = 0
    seen[5:20, :, clip.layout.find("left_ankle")] = 0
    fewer = clip.with_(joints=clip.joints * (seen > 0)[..., None], confidence=seen)
    (vector,) = session(made.path).run(None, dict(zip(export.INPUTS, padded(fewer, 1))))
    np.testing.assert_allclose(vector, model.embed(fewer), atol=1e-4)


def test_scores_stand_in_the_card(tmp_path):
    rows = [{"protocol": "knn", "metric": "1-NN", "features": "trained", "split": "x|sub", "score": 0.875}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    package.inference.export.onnx("base", tmp_path / "b.onnx", tmp_path / "rows.json")
    assert "| knn | 1-NN | trained | x\\|sub | 0.875 |" in (tmp_path / "b.md").read_text()
    (tmp_path / "rows.json").write_text("[3]")
    with pytest.raises(InputError, match="no rows of scores"):
        export.onnx("base", tmp_path / "c.onnx", tmp_path / "rows.json")
    assert not (tmp_path / "c.onnx").exists()


def test_what_cannot_be_exported_is_one_sentence(tmp_path):
    one_paragraph(kineme("export", "base", "--onnx", tmp_path / "b.pb", check=False), "b.pb", ".onnx")
    one_paragraph(kineme("export", "nowhere", "--onnx", tmp_path / "b.onnx", check=False), "nowhere")
    store = make_store(tmp_path / "store", layout="coco17", coords=2)
    out = tmp_path / "run"
    kineme("pretrain", "moco", store.path, "--out", out, "--epochs", 1, *TINY)
    kineme("export", out, "--onnx", tmp_path / "flat.onnx")
    assert session(tmp_path / "flat.onnx").get_inputs()[0].shape[2:] == [1, 17, 2]


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"kineme\[onnx\]"):
        export.onnx("base", tmp_path / "b.onnx")
