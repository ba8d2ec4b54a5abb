"""Fine-tuning and linear probes: they learn, draw from their own generator, and leave the run's encoder alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.training import make_store

import kineme
from kineme.data.store import Store
from kineme.data.store_writer import Writer
from kineme.encoders import Encoder, Features
from kineme.motion import layout as skeleton
from kineme.motion.motion import Motion
from kineme.training.finetune import Classifier, Labelled, Settings, Trainer, finetune, joined, quality
from kineme.utils.errors import InputError
from kineme.views.augment import ViewSettings
from kineme.views.batch import Batch
from kineme.views.source import ClipLoader
from kineme.views.video_clips import VideoViewSettings

SMALL = ["encoder.hidden=8", "encoder.layers=1", "method.views.frames=8", "method.queue=20", "loop.batch=8"]
QUICK = Settings(lr=0.02, epochs=12, batch=8, milestones=(), views=ViewSettings(crop_low=0.8, shear=0, joint_jitter=0))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("data") / "swing")


@pytest.fixture(scope="module")
def model(store):
    run = store.path.parent / "run"
    return kineme.load(kineme.pretrain("moco", store, run, epochs=1, settings=SMALL, device="cpu"), device="cpu")


@pytest.fixture(scope="module")
def streams(store):
    run = store.path.parent / "streams"
    return kineme.load(kineme.pretrain("cmd", store, run, epochs=1, settings=SMALL, device="cpu"), device="cpu")


def gen(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sides(store) -> tuple[Labelled, Labelled]:
    labels = np.unique(store.column("label"), return_inverse=True)[1]
    rows = np.arange(len(store))
    held = store.column("subject") == 5
    return Labelled(store, rows[~held], labels[~held]), Labelled(store, rows[held], labels[held])


@pytest.mark.parametrize("rate", [1.0, 0.0])
def test_it_learns(model, store, rate):
    """Four kinds of swinging limbs are told apart in people whom it has not seen, four times as well as by chance."""
    train, test = sides(store)
    before = copy.deepcopy(model.encoder.state_dict())
    settings = replace(QUICK, backbone_rate=rate, epochs=12 if rate else 40)
    trained = finetune(model, *train, settings, gen())
    assert quality(trained, test)[0] > 0.7
    for name, value in model.encoder.state_dict().items():  # the run's own encoder is as it was
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    same = [torch.equal(a, b) for a, b in zip(trained.encoder.state_dict().values(), before.values())]
    assert all(same) == (rate == 0)


def test_probabilities(model, store):
    found = finetune(model, *sides(store)[0], replace(QUICK, epochs=1), gen()).log_probabilities(store, np.arange(5))
    assert found.shape == (5, 4)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-9)


def test_the_generator_decides(model, store):
    """Neither what torch's own stream stands at, nor what it is left at, depends on the training."""
    train, test = sides(store)

    def run(seed):
        torch.manual_seed(int(np.random.default_rng().integers(1000)))
        before = torch.random.get_rng_state()
        found = finetune(model, *train, replace(QUICK, epochs=2), gen(seed)).log_probabilities(store, test.rows)
        assert torch.equal(before, torch.random.get_rng_state())
        return found

    np.testing.assert_array_equal(run(3), run(3))
    assert not np.array_equal(run(3), run(4))


def test_the_best_epoch_of_the_validation(model, store, monkeypatch):
    """The weights are those of the epoch that was best, and training ends when none is better for long enough."""
    train, test = sides(store)
    reached = iter([0.1, 0.5, 0.3, 0.2, 0.1, 0.9])
    seen, notes = [], []

    def quality(classifier, clips):
        seen.append(copy.deepcopy(classifier.head.state_dict()))
        return next(reached), 0.0

    monkeypatch.setattr("kineme.training.finetune.quality", quality)
    chosen = finetune(model, *train, replace(QUICK, patience=3), gen(), validation=test, tell=notes.append)
    assert len(seen) == len(notes) == 5  # the second was best, three more were not
    for name, value in chosen.head.state_dict().items():
        assert torch.equal(value, seen[1][name])
        assert not torch.equal(value, seen[4][name]) or "bias" in name


def test_a_linear_probe_is_a_linear_layer(model, store):
    """Frozen, its outputs are those of its one layer on the run's own vectors."""
    trained = finetune(model, *sides(store)[0], replace(QUICK, backbone_rate=0, epochs=2), gen())
    vectors = torch.from_numpy(model.embed(store)).relu()
    layer = trained.head.layers[0]
    by_hand = (vectors @ layer.weight.T + layer.bias).double().log_softmax(1).detach()
    found = trained.log_probabilities(store, np.arange(len(store)))
    np.testing.assert_allclose(found, by_hand, atol=1e-5)


def test_parts(streams, store):
    """One part, two side by side, and the mean of two classifiers; a part that is not there is named."""
    train = sides(store)[0]
    for parts, join, widths in (
        (("bone",), "concatenate", [16]),
        (("joint", "bone"), "concatenate", [32]),
        (("joint", "bone"), "average", [16, 16]),
    ):
        trained = finetune(streams, *train, replace(QUICK, parts=parts, join=join, epochs=1), gen())
        assert [layer.in_features for layer in trained.head.layers] == widths
    with pytest.raises(InputError, match=r"finetune.parts.*'smell'.*joint, motion, bone"):
        finetune(streams, *train, replace(QUICK, parts=("smell",)), gen())


def test_averaged_outputs(store, streams):
    trained = Classifier(streams, store, 4, replace(QUICK, parts=("joint", "bone"), join="average"), gen())
    x = torch.randn(3, 32, generator=gen())
    one, other = (layer(x[:, 16 * i : 16 * i + 16].relu()) for i, layer in enumerate(trained.head.layers))
    torch.testing.assert_close(trained.head(x), (one + other) / 2)


def test_balanced_weights(model, store):
    trainer = Trainer(Classifier(model, store, 3, replace(QUICK, balanced=True), gen()), gen())
    weights = trainer._weights(Labelled(store, np.arange(4), np.array([0, 0, 0, 2])))
    np.testing.assert_allclose(weights, [4 / 6, 0, 2])
    assert weights[[0, 0, 0, 2]].mean() == 1


def test_sets_are_mixed_one_to_one(model, store):
    """Each step takes as many clips of either set, and the small one comes again."""
    trainer = Trainer(Classifier(model, store, 4, QUICK, gen()), gen())
    train, test = sides(store)
    met = []
    encode = trainer.classifier.encode
    trainer.classifier.encode = lambda batch: met.append(batch.index) or encode(batch)
    steps = []
    trainer.epoch([train, test], after=lambda: steps.append(1))
    assert len(steps) == 8  # 32 clips of the larger set, four at a time
    assert all(np.isin(index[: len(index) // 2], train.rows).all() for index in met)
    assert all(np.isin(index[len(index) // 2 :], test.rows).all() for index in met)
    rows, counts = np.unique(torch.cat(met), return_counts=True)
    assert (counts[np.isin(rows, train.rows)] == 1).all()
    assert (counts[np.isin(rows, test.rows)] == 4).all()


def test_joined_batches():
    one, two = (Batch(torch.ones(2, 3, m, 4, 3), torch.ones(2, 3, m, 4), torch.arange(2)) for m in (1, 2))
    both = joined([one, two])
    assert both.joints.shape == (4, 3, 2, 4, 3)
    assert (both.confidence[:2, :, 1] == 0).all()
    assert both.confidence[2:].all()


class Seeing(Encoder):
    """Reads pictures: their mean colour; one part for the pictures, one for the poses."""

    pictures = True
    dim = 3

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(3))
        self.met = []

    def forward(self, batch):
        self.met.append(batch)
        colour = batch.frames.mean((1, 3, 4)) * self.scale
        return Features(colour, parts={"video": colour, "pose": batch.joints.mean((1, 2, 3))})


@pytest.fixture
def filmed(tmp_path):
    """Grey rooms, of which one kind of clip is red and one blue; the poses tell nothing."""
    layout = skeleton.layout("kinect20")
    rng = np.random.default_rng(0)
    with Writer(tmp_path / "filmed", layout, picture_side=16) as writer:
        for i in range(16):
            frames = int(rng.integers(5, 12))
            pictures = rng.integers(80, 120, (frames, 16, 20, 3), np.uint8)
            pictures[..., 2 * (i % 2)] += 100
            motion = Motion(np.ones((frames, 1, 20, 2), np.float32), layout, label="rb"[i % 2], source=f"clip{i}")
            writer.add(motion, pictures=pictures)
    store = Store(writer.path)
    views = {"frames": 4, "step": 2, "size": 8}
    card = {"crop": {"frames": 4, "ratio": 0.95}, "recipe": {"method": {"views": views}}}
    return store, SimpleNamespace(encoder=Seeing(), card=card, device=torch.device("cpu"), loader=ClipLoader)


@pytest.mark.parametrize(("parts", "rate", "right"), [((), 1.0, 1), (("video",), 0.0, 1), (("pose",), 1.0, 0.5)])
def test_pictures(filmed, parts, rate, right):
    """Encoders that read pictures get windows of the run's frames and size, up to ten in testing."""
    store, model = filmed
    labels = np.arange(16) % 2
    video = VideoViewSettings(saturation=0, hue=0, grey=0)
    settings = replace(QUICK, parts=parts, backbone_rate=rate, lr=0.1, epochs=15, dropout=0, video=video)
    trained = finetune(model, store, np.arange(12), labels[:12], settings, gen())
    met = trained.encoder.met
    assert {tuple(batch.frames.shape[1:]) for batch in met} == {(4, 3, 8, 8)}
    assert {batch.joints.shape[1] for batch in met} == {8}  # poses of all frames of the window
    met.clear()
    found = trained.log_probabilities(store, np.arange(12, 16))
    assert (found.argmax(1) == labels[12:]).mean() == right
    longest = int(store.lengths[12:16].max())
    assert len(met) == longest - 8 + 1 < 10  # windows of 8 frames: as many as differ
    met.clear()
    trained.log_probabilities(store, np.arange(12, 16), 1)
    assert len(met) == 1
    np.testing.assert_array_equal(found, trained.log_probabilities(store, np.arange(12, 16)))
    met.clear()
    two = [Labelled(store, rows, labels[rows]) for rows in (np.arange(8), np.arange(8, 12))]
    assert np.isfinite(Trainer(trained, gen()).epoch(two))  # pictures of two sets in one step
    assert rate == 0 or {tuple(batch.frames.shape) for batch in met} == {(8, 4, 3, 8, 8)}


def test_bad_input(model, store):
    rows = np.arange(4)
    with pytest.raises(InputError, match="two classes or more"):
        finetune(model, store, rows, np.zeros(4, int), QUICK, gen())
    with pytest.raises(InputError, match="4 clips, 3 labels"):
        finetune(model, store, rows, np.arange(3), QUICK, gen())
    with pytest.raises(InputError, match=r"finetune.dropout.*from 0"):
        Settings(dropout=1.0)
    with pytest.raises(InputError, match="loss that is not finite"):
        broken = SimpleNamespace(
            encoder=copy.deepcopy(model.encoder), card=model.card, device=model.device, loader=model.loader
        )
        with torch.no_grad():
            next(broken.encoder.parameters()).fill_(float("nan"))
        finetune(broken, store, rows, np.array([0, 1, 0, 1]), QUICK, gen())
