"""From one domain to another: what may be read when, classes by name, adaptation, and the rows that come of it."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.training import kineme as cli
from helpers.training import make_store, one_paragraph

import kineme
from kineme.apps.cli import evaluate as evaluate_command
from kineme.data import clip_table
from kineme.data.store import Store
from kineme.data.store_writer import Writer
from kineme.evaluation import run, scores
from kineme.evaluation.protocols import cross_domain
from kineme.evaluation.protocols.cross_domain import Settings, normalised
from kineme.evaluation.sealed import LabelsRead, SealedStore, sealed
from kineme.evaluation.task import make_task
from kineme.training import finetune
from kineme.utils.errors import InputError
from kineme.views.augment import ViewSettings

SMALL = ["encoder.hidden=8", "encoder.layers=1", "method.views.frames=8", "method.queue=20", "loop.batch=8"]
VIEWS = ViewSettings(crop_low=0.8, shear=0, joint_jitter=0)
QUICK = finetune.Settings(lr=0.02, epochs=10, batch=8, milestones=(), backbone_rate=1.0, views=VIEWS)
NAMES = {"kind 0": "Kind_0", "kind 1": "KIND 1", "kind 2": "kind2", "kind 3": "other"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("data") / "source")


@pytest.fixture(scope="module")
def target(source):
    """The same movements by tilted people, three of four classes known under other spellings, one class rare."""
    turn = np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1]], np.float32)
    made, rng = make_store(source.path.parent / "raw", clips=64, seed=0), np.random.default_rng(0)
    with Writer(source.path.parent / "target", made.layout, made.persons, 3, normalise={"how": "none"}) as writer:
        for i, motion in enumerate(made):
            if motion.label == "kind 0" and i % 3:
                continue
            label = NAMES[motion.label]
            joints = (motion.joints + rng.normal(scale=0.3, size=(1, 1, 20, 3)).astype(np.float32)) @ turn
            writer.add(motion.with_(joints=joints, label=label, source=f"t{i}"))
    return Store(writer.path)


@pytest.fixture(scope="module")
def model(source):
    path = source.path.parent / "run"
    return kineme.load(kineme.pretrain("moco", source, path, epochs=1, settings=SMALL, device="cpu"), device="cpu")


def halves(store):
    mixed = np.random.default_rng(0).permutation(len(store))
    return SimpleNamespace(name="halves", train=np.sort(mixed[::2]), test=np.sort(mixed[1::2]))


def settings(source, **changes):
    return replace(Settings(source=str(source.path), training=QUICK), **changes)


@pytest.fixture(scope="module")
def found(model, source, target):
    how = settings(source, adapt="true", adaptation=cross_domain.marginals.Settings(epochs=2))
    return cross_domain.score(make_task(model, target, halves(target)), how)


def test_scores(found, target):
    """Metrics, each with its row; the confusion matrix agrees with them."""
    adapted = "adapted to the true proportions (oracle)"
    kinds = ["top-1", "balanced", f"top-1, {adapted}", f"balanced, {adapted}"]
    assert list(found) == [*kinds, *(f"R@{k}" for k in (1, 5, 10, 20, 50)), "source validation"]
    assert found["top-1"] > 0.6
    for top, balanced in (kinds[:2], kinds[2:]):
        confusion = np.array(found.more[top]["confusion"])
        assert found[top] == pytest.approx(np.trace(confusion) / confusion.sum())
        shown = confusion.sum(1) > 0
        assert found[balanced] == pytest.approx(np.mean(np.diag(confusion)[shown] / confusion.sum(1)[shown]))
    assert found["R@1"] <= found["R@5"] <= found["R@50"] == 1


def test_classes_by_name(found, target):
    """Three classes are the source's, however they are spelled; clips of the fourth are left out, and counted."""
    more = found.more["top-1"]
    test = halves(target).test
    others = int((target.column("label")[test] == "other").sum())
    assert more["class_names"] == ["kind 0", "kind 1", "kind 2", "kind 3"]
    assert (more["classes"], more["left_out"], more["test"]) == (3, others, len(test) - others)
    assert any(f"{others} test clips" in note and "other" in note for note in more["notes"])
    assert np.array(more["confusion"])[3].sum() == 0


def test_the_row_says_which_proportions(found, target):
    labels = target.column("label")[halves(target).train]
    counts = [int((labels == NAMES[f"kind {i}"]).sum()) for i in range(3)]
    told = found.more["top-1, adapted to the true proportions (oracle)"]["proportions"]
    assert told == pytest.approx(
        {f"kind {i}": count / sum(counts) for i, count in enumerate(counts)} | {"kind 3": 0}, abs=1e-6
    )
    assert "proportions" not in found.more["top-1"]


@pytest.mark.parametrize("adapt", ["none", "true", "uniform", "estimated"])
def test_no_target_label_is_read(model, source, target, adapt):
    """Invariant 13: training, model choice and adaptation go through with labels that raise on access; the histogram
    that an oracle may read is asked for once.
    """

    class Guarded(Store):
        asked = 0

        def column(self, name):
            if name == "label":
                raise AssertionError("a label of the target was read")
            return super().column(name)

    hidden = sealed(make_task(model, target, halves(target)))
    hidden.store._whole = Guarded(target.path)
    hidden.store.histogram = lambda rows: {"kind 0": 1, "kind 1": 3} if adapt == "true" else pytest.fail("asked")
    how = settings(source, adapt=adapt, adaptation=cross_domain.marginals.Settings(epochs=1, eps=1.0))
    answers = cross_domain.predict(
        hidden, cross_domain.teach(source, None), replace(how, training=replace(QUICK, epochs=2))
    )
    assert len(answers.probabilities) == (1 if adapt == "none" else 2)
    with pytest.raises((LabelsRead, AssertionError)):
        cross_domain._scored(hidden, cross_domain.teach(source, None), answers, how)


def test_sealed_labels(model, target):
    hidden = sealed(make_task(model, target, halves(target)))
    for read in (
        lambda: hidden.labels[0],
        lambda: len(hidden.labels),
        lambda: np.asarray(hidden.labels),
        lambda: hidden.labels == 1,
        lambda: list(hidden.classes),
        lambda: hidden.unseen,
        lambda: hidden.store.column("label"),
    ):
        with pytest.raises(LabelsRead):
            read()
    assert hidden.store.motion(0).label is None
    assert hidden.store.ids == target.ids
    assert isinstance(hidden.store, SealedStore)
    assert hidden.store.histogram(np.arange(len(target))) == {
        name: int((target.column("label") == name).sum()) for name in NAMES.values()
    }


def test_a_linear_probe_trains_no_encoder(model, target, source):
    task = make_task(model, target, halves(target))
    how = cross_domain.resolve(settings(source, probe="linear"), task)
    assert how.training.backbone_rate == 0
    assert cross_domain.resolve(settings(source), task).training.backbone_rate == 1


def test_what_is_held_out(source):
    """Every fifth subject; where only those show a class, none."""
    found = cross_domain.teach(source, None)
    subject = source.column("subject")
    assert set(subject[found.validation.rows]) == {5}
    assert set(subject[found.train.rows]) == {1, 2, 3, 4}
    assert len(found.clips.rows) == len(source)


def test_the_validation_side_of_a_split(source):
    """A source with a validation side of its own is chosen on that."""
    column = np.array(["train"] * 20 + ["val"] * 8 + ["test"] * 12, object)
    whole = {"split": column}
    marked = type("Marked", (Store,), {"clips": clip_table.beside(source.clips, whole)})(source.path)
    found = cross_domain.teach(marked, "official")
    assert found.train.rows.tolist() == list(range(20))
    assert found.validation.rows.tolist() == list(range(20, 28))
    rest = cross_domain.teach(source, "xsub")
    subject = source.column("subject")
    assert set(subject[rest.clips.rows]) == {1, 3, 5}
    assert set(subject[rest.validation.rows]) == {5}


def test_evaluate_beside_scratch_and_hand_crafted(model, source, target):
    """Rows of the run, of its untrained encoder and of hand-crafted features; the table says what was left out."""
    how = {"source": str(source.path), "training": {"epochs": 2, "lr": 0.02}, "retrieval": (1,)}
    rows = run.evaluate(model, target, "cross_domain", halves(target), settings={"cross_domain": how})
    by = {(row["features"], row["metric"]): row for row in rows}
    for features in ("trained", "untrained", "hand-crafted"):
        row = by[features, "balanced"]
        assert (row["train"], row["classes"], row["source"]) == (len(source), 3, str(source.path))
        assert np.array(row["confusion"]).sum() == row["test"]
    assert by["trained", "source validation"]["higher_is_better"] is None
    assert ("hand-crafted", "source validation") not in by
    said = " ".join(scores.verdicts(rows))
    assert "left out: other" in said
    assert (
        "beat the hand-crafted" in said or by["trained", "balanced"]["score"] > by["hand-crafted", "balanced"]["score"]
    )


def test_bad_input(model, source, target, fake_model):
    task = make_task(model, target, halves(target))
    with pytest.raises(InputError, match=r"cross_domain.source: no store.*--source"):
        cross_domain.score(task, Settings())
    with pytest.raises(InputError, match="the scored store itself, 20 of whose test clips"):
        cross_domain.score(make_task(model, source, halves(source)), settings(source))
    with pytest.raises(InputError, match="several runs as an ensemble"):
        ensemble = fake_model(np.zeros((len(target), 2)))
        ensemble.models = []
        cross_domain.predict(replace(task, model=ensemble), cross_domain.teach(source, None), settings(source))
    renamed = replace(task, classes=[f"x{name}" for name in task.classes])
    answers = cross_domain.Answers({"": np.zeros((len(task.test), 4))}, np.zeros((len(task.test), 1), int), None, {})
    with pytest.raises(InputError, match="classes of the same names"):
        cross_domain._scored(renamed, cross_domain.teach(source, None), answers, settings(source))


def test_in_domain(model, source):
    """The source's own test side, taught by its training side."""
    side = make_task(model, source, "xsub")
    how = settings(source, source_split="xsub", training=replace(QUICK, epochs=1))
    assert cross_domain.score(side, how).more["top-1"]["train"] == len(side.train)


@pytest.mark.parametrize(
    ("one", "other"), [("Use_Phone", "use phone"), ("WatchTV", "watch tv"), ("sit-down", "Sitdown")]
)
def test_normalised(one, other):
    assert normalised(one) == normalised(other)


def test_command_line(model, source, target, tmp_path):
    words = ["evaluate", model.path, target.path, "--split", "random", "--protocols", "cross_domain"]
    short = ["--set", "cross_domain.training.epochs=1", "--set", "cross_domain.adaptation.epochs=1"]
    out = tmp_path / "rows.json"
    done = cli(*words, "--source", source.path, "--adapt", "uniform", "--probe", "linear", *short, "--json", out)
    assert "adapted to uniform" in " ".join(done.stdout.split())
    rows = json.loads(out.read_text())
    assert {row["probe"] for row in rows if row["features"] == "trained"} == {"linear"}
    one_paragraph(cli(*words, check=False), "cross_domain.source", "--source")


def test_an_option_of_no_protocol_that_is_asked_for():
    with pytest.raises(InputError, match=r"--source: no protocol that has it: knn.*cross_domain"):
        evaluate_command._given(["knn"], "source", "store")
    assert evaluate_command._given(["knn", "linear"], "probe", "halp") == ['linear.probe="halp"']
    with pytest.raises(InputError, match="no such name"):
        evaluate_command._given(["typo"], "probe", "halp")
