"""What is learned from some of the labels, from a few examples, or from none: semi, finetune, few_shot, clustering."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.training import TINY, kineme, make_store
from sklearn.linear_model import LogisticRegression

import kineme as package
from kineme.evaluation.protocols import clustering, few_shot, finetune, semi
from kineme.evaluation.task import make_task
from kineme.training import finetune as training
from kineme.utils.errors import InputError

FEW = training.Settings(epochs=2, batch=8)


def split(train, test):
    return SimpleNamespace(name="mine", train=np.asarray(train), test=np.asarray(test))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A store of 40 clips of four kinds, and a model that was trained on it for a moment."""
    folder = tmp_path_factory.mktemp("labels")
    store = make_store(folder / "swing")
    kineme("pretrain", "moco", store.path, "--out", folder / "run", "--epochs", 1, *TINY)
    return SimpleNamespace(store=store, model=package.load(folder / "run"))


@pytest.fixture
def task(run):
    return make_task(run.model, run.store, split(np.arange(24), np.arange(24, 40)))


# ---------------------------------------------------------------------------------------------------- few labels


def test_frozen_from_some_labels_by_hand(write_store, fake_model):
    """As scikit-learn does it on the same draw of labels."""
    gen = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = np.eye(3)[labels] + 0.8 * gen.normal(size=(60, 3))
    given = make_task(
        fake_model(features), write_store([f"{k}" for k in labels]), split(np.arange(40), np.arange(40, 60))
    )
    how = semi.Settings(fractions=(0.25,), kinds=("frozen",), draws=2, stratified=True)
    found = semi.score(given, how)
    assert list(found) == ["25 % frozen"]
    expected = []
    for draw in range(2):
        rows = semi._drawn(given, how, 0.25, draw)
        assert np.bincount(given.labels[rows]).tolist() == [4, 3, 3]  # rounded quarters of 14, 13 and 13: 3.5, 3.25
        mean, scale = features[rows].mean(0), features[rows].std(0)
        fitted = LogisticRegression(C=0.05, max_iter=1000).fit((features[rows] - mean) / scale, given.labels[rows])
        expected.append(np.mean(fitted.predict((features[40:] - mean) / scale) == given.labels[40:]))
    assert found.more["25 % frozen"]["draws"] == pytest.approx(expected)
    assert found["25 % frozen"] == pytest.approx(np.mean(expected))
    assert found.more["25 % frozen"]["labels"] == 10


def test_draws_are_those_of_the_seed_and_of_no_model(write_store, fake_model):
    store, how = write_store(["a", "b"] * 20), semi.Settings(fractions=(0.2,))
    one, other = (make_task(fake_model(np.ones((40, 2)) * k), store, split(range(30), range(30, 40))) for k in (1, 2))
    assert (semi._drawn(one, how, 0.2, 3) == semi._drawn(other, how, 0.2, 3)).all()
    assert not np.array_equal(semi._drawn(one, how, 0.2, 3), semi._drawn(one, how, 0.2, 4))


def test_fine_tuned_from_some_labels(task):
    how = semi.Settings(fractions=(0.5, 1.0), draws=2, training=FEW)
    found = semi.score(task, how)
    assert list(found) == ["50 % frozen", "100 % frozen", "50 % fine-tuned", "100 % fine-tuned"]
    assert found.more["50 % fine-tuned"]["labels"] == 12
    assert found.more["100 % frozen"]["draws"][0] == found.more["100 % frozen"]["draws"][1]  # nothing is drawn
    assert semi.score(task, how) == found


def test_a_share_that_leaves_one_class_says_what_to_do(write_store, fake_model):
    given = make_task(fake_model(np.ones((40, 2))), write_store(["a", "b"] * 20), split(range(30), range(30, 40)))
    with pytest.raises(InputError, match=r"1 % of 30 labels: 1 clips of 1 class.*semi\.stratified=true"):
        semi.score(given, semi.Settings(kinds=("frozen",)))


@pytest.mark.parametrize(
    ("change", "message"), [({"fractions": (0,)}, "fractions"), ({"kinds": ("x",)}, "kinds"), ({"draws": 0}, "draws")]
)
def test_semi_settings_that_cannot_be(change, message):
    with pytest.raises(InputError, match=f"semi.{message}"):
        semi.Settings(**change)


# ---------------------------------------------------------------------------------------------------- fine-tuning


def test_fine_tuning_is_that_of_the_training(task):
    """The same classifier as by hand, with the same generator; the last epoch counts."""
    from kineme.methods import generator

    found = finetune.score(task, finetune.Settings(FEW))
    made = training.finetune(
        task.model,
        task.store,
        task.train,
        task.labels[task.train],
        dataclasses.replace(FEW, patience=0),
        generator("finetune", 0),
    )
    said = made.log_probabilities(task.store, task.test)
    truth = task.labels[task.test]
    right = said.argmax(1) == truth
    assert found["top-1"] == right.mean()
    assert found["balanced"] == pytest.approx(np.mean([right[truth == k].mean() for k in range(4)]))
    np.testing.assert_allclose(found.outcomes["top-1"].scores, np.exp(said).max(1), rtol=1e-6)


def test_fine_tuning_learns(task):
    how = training.Settings(epochs=25, batch=8, lr=0.02, backbone_rate=1.0, dropout=0.0, weight_decay=0.0)
    assert finetune.score(task, finetune.Settings(how))["top-1"] > 0.7  # one of four by chance


def test_an_ensemble_cannot_be_fine_tuned(run, task):
    from kineme.inference.ensemble import Ensemble

    task.model = Ensemble([run.model, run.model])
    with pytest.raises(InputError, match="an ensemble"):
        finetune.score(task, finetune.Settings(FEW))
    assert semi.resolve(semi.Settings(), task).kinds == ("frozen",)


# ------------------------------------------------------------------------------------------------------- few shots


def test_episodes_are_what_they_are_called(write_store, fake_model):
    labels = ["a", "b", "c", "d"] * 10
    given = make_task(fake_model(np.ones((40, 2))), write_store(labels), split(range(20), range(20, 40)))
    how = few_shot.Settings(ways=3, queries=4, episodes=5)
    drawn = list(few_shot.episodes(given, how, 2))
    assert len(drawn) == 5
    for episode in drawn:
        assert episode.examples.shape == (3, 2)
        assert np.isin(episode.examples, given.train).all()
        assert np.isin(episode.queries, given.test).all()
        assert len(set(episode.queries.tolist())) == len(episode.queries) == 12
        of_class = given.labels[episode.examples]
        assert (of_class == of_class[:, :1]).all()
        assert (given.labels[episode.queries] == of_class[:, 0][episode.classes]).all()
    again = list(few_shot.episodes(given, how, 2))
    assert all((a.queries == b.queries).all() for a, b in zip(drawn, again))


def test_few_shots_by_hand(write_store, fake_model):
    """Vectors at 0, 90 and 180 degrees; class c is shown wrongly on the test side, where a stands."""
    angles = np.deg2rad([0, 90, 180, 1, 91, 2])
    store = write_store(["a", "b", "c", "a", "b", "c"])
    features = np.stack([np.cos(angles), np.sin(angles)], 1)
    given = make_task(fake_model(features), store, split([0, 1, 2], [3, 4, 5]))
    found = few_shot.score(given, few_shot.Settings(ways=3, shots=(1,), episodes=7))
    assert found == {"3-way 1-shot": pytest.approx(2 / 3)}
    assert found.more["3-way 1-shot"]["interval"] == pytest.approx([2 / 3, 2 / 3])


def test_means_of_directions(write_store, fake_model):
    """A long vector counts no more than a short one: a is at 40 degrees, so that 100 is nearer to b at 150. Where its
    long example stands, at 80, it would not be.
    """
    angles, lengths = np.deg2rad([0, 80, 150, 150, 70, 100]), np.array([1, 100, 1, 1, 1, 1])
    features = np.stack([np.cos(angles), np.sin(angles)], 1) * lengths[:, None]
    given = make_task(fake_model(features), write_store(["a", "a", "b", "b", "a", "b"]), split(range(4), [4, 5]))
    assert few_shot.score(given, few_shot.Settings(ways=2, shots=(2,), episodes=2)) == {"2-way 2-shot": 1.0}


def test_too_few_classes(write_store, fake_model):
    given = make_task(fake_model(np.ones((8, 2))), write_store(["a", "b"] * 4), split(range(4), range(4, 8)))
    with pytest.raises(InputError, match=r"2 classes with 1 training clips.*few_shot\.ways=2"):
        few_shot.score(given, few_shot.Settings())


# ------------------------------------------------------------------------------------------------------- clustering


def test_matching_by_hand():
    """Clusters 0, 1, 2 hold (2 a, 1 b), (3 a), (3 b): best are 1 = a, 2 = b, and 0 is left without a class."""
    truth = np.array([0, 0, 1, 0, 0, 0, 1, 1, 1])
    named = clustering.matched(truth, np.repeat([0, 1, 2], 3))
    assert named.tolist() == [-1, -1, -1, 0, 0, 0, 1, 1, 1]
    swapped = clustering.matched(np.array([0, 0, 0, 1, 1, 2]), np.array([2, 2, 1, 1, 1, 0]))
    assert swapped.tolist() == [0, 0, 1, 1, 1, 2]


def test_clusters_by_hand(write_store, fake_model):
    """Three tight groups; one clip of b stands with a. NMI and ARI of the contingency (4 0 0), (1 3 0), (0 0 4)."""
    shown = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
    labels = ["a"] * 4 + ["b"] * 4 + ["c"] * 4
    gen = np.random.default_rng(0)
    features = np.eye(3)[shown] + 0.01 * gen.normal(size=(12, 3))
    store = write_store([*labels, "a", "b"])
    given = make_task(fake_model(np.concatenate([features, np.ones((2, 3))])), store, split([12, 13], range(12)))
    found = clustering.score(given, clustering.Settings())
    counts = np.array([[4, 0, 0], [1, 3, 0], [0, 0, 4]])
    joint = counts / 12
    rows, columns = joint.sum(1), joint.sum(0)
    kept = joint > 0
    mutual = (joint[kept] * np.log(joint[kept] / np.outer(rows, columns)[kept])).sum()
    entropy = [-(p * np.log(p)).sum() for p in (rows, columns)]
    pairs = [(n * (n - 1) / 2).sum() for n in (counts, counts.sum(1), counts.sum(0))]
    chance = pairs[1] * pairs[2] / 66
    for method in ("k-means", "FINCH"):
        assert found[f"{method} NMI"] == pytest.approx(mutual / np.mean(entropy))
        assert found[f"{method} ARI"] == pytest.approx((pairs[0] - chance) / ((pairs[1] + pairs[2]) / 2 - chance))
        assert found[f"{method} accuracy"] == pytest.approx(11 / 12)
        for figure in ("NMI", "ARI"):
            low, high = found.more[f"{method} {figure}"]["interval"]
            assert low < found[f"{method} {figure}"] < high <= 1
    assert clustering.higher_is_better("FINCH found") is None


def test_how_many_clusters_finch_finds(write_store, fake_model):
    """Pairs that are each other's nearest."""
    features = np.repeat(np.eye(4), 2, 0) + 0.01 * np.arange(8)[:, None]
    given = make_task(fake_model(features), write_store(list("aabbccdd")), split([0], range(8)))
    assert clustering.score(given, clustering.Settings(methods=("FINCH",)))["FINCH found"] == 4


def test_clustering_that_cannot_be(write_store, fake_model):
    given = make_task(fake_model(np.ones((8, 2))), write_store(["a", "b"] * 4), split(range(4), range(4, 8)))
    with pytest.raises(InputError, match="4 test clips of 2 classes, 5 clusters"):
        clustering.score(given, clustering.Settings(clusters=5))
    with pytest.raises(InputError, match=r"clustering\.methods"):
        clustering.Settings(methods=("DBSCAN",))
