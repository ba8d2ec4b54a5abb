"""What every protocol must do; a new file in their folder is taken up by itself."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.training import make_store

from kineme.evaluation import plan
from kineme.evaluation.task import Scores, make_task
from kineme.utils import registry, settings
from kineme.utils.errors import InputError

NAMES = list(registry.names(plan.PROTOCOLS))
SMALL = {"episodes": 20, "ways": 2, "draws": 2, "fractions": (0.5,), "k": (1, 2), "steps": 3}  # where there are such
each_protocol = pytest.mark.parametrize("name", NAMES)


class ByName:
    """Prepared vectors ``[N, D]`` of a store's clips, found by the clips' names wherever they stand."""

    def __init__(self, store, features):
        self.known = dict(zip(store.ids, np.asarray(features, np.float32)))

    def embed(self, what, rows=None, *, crop=None):
        ids = what.ids if rows is None else [what.ids[row] for row in rows]
        return np.stack([self.known[name] for name in ids])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Four kinds, five subjects, three cameras."""
    return make_store(tmp_path_factory.mktemp("protocols") / "swing", clips=60)


def config(name):
    cls = registry.load(plan.PROTOCOLS, name).Settings
    return settings.make(cls, {key: value for key, value in SMALL.items() if key in cls.__dataclass_fields__})


def entry(name, task):
    module = registry.load(plan.PROTOCOLS, name)
    return plan.Entry(name, module, getattr(module, "resolve", lambda given, _: given)(config(name), task))


def task_of(model, store, train=None, test=None, seed=0):
    train, test = (np.arange(30) if train is None else train), (np.arange(30, 60) if test is None else test)
    made = make_task(model, store, SimpleNamespace(name="mine", train=train, test=test))
    made.seed = seed
    return made


def clear(store, noise: float = 0.0, seed: int = 0):
    """Vectors that show the label."""
    shown = np.eye(4)[np.unique(store.column("label").astype(str), return_inverse=True)[1]]
    return shown + noise * np.random.default_rng(seed).normal(size=shown.shape)


def found(name, task):
    """The scores, or why there are none, in one sentence."""
    try:
        return {one.metric: one for one in entry(name, task).score(task)}
    except InputError as error:
        said = str(error)
    assert said.endswith((".", "?", "!"))
    assert "\n" not in said
    return said


@each_protocol
def test_settings_survive_plain_containers(name):
    cls = registry.load(plan.PROTOCOLS, name).Settings
    assert settings.make(cls, settings.as_dict(cls())) == cls()
    assert cls.__doc__


@each_protocol
def test_the_same_task_has_the_same_scores(name, store):
    features = clear(store, 0.5)
    first, again = (found(name, task_of(ByName(store, features), store)) for _ in range(2))
    if isinstance(first, str):
        assert first == again
        return
    assert {metric: one.score for metric, one in first.items()} == {m: one.score for m, one in again.items()}
    assert all(np.isfinite(one.score) for one in first.values())


@each_protocol
def test_a_score_is_the_mean_of_what_became_of_the_clips(name, store):
    scores = found(name, task_of(ByName(store, clear(store, 0.5)), store))
    for one in scores.values() if isinstance(scores, dict) else ():
        if one.outcome is not None:
            assert one.score == pytest.approx(np.nanmean(one.outcome.values), abs=1e-9)
            for array in (one.outcome.labels, one.outcome.scores):
                assert array is None or len(array) == len(one.outcome.values)


@each_protocol
def test_vectors_that_show_the_class_score_at_least_as_well_as_noise(name, store):
    """Wherever a direction is stated and the figure is a mean over clips."""
    module = registry.load(plan.PROTOCOLS, name)
    noise = np.random.default_rng(1).normal(size=(60, 4))
    good, bad = (found(name, task_of(ByName(store, features), store)) for features in (clear(store, 0.05), noise))
    if isinstance(good, str):
        return
    for metric, one in good.items():
        higher = getattr(module, "higher_is_better", lambda _: True)(metric)
        if higher is not None and metric in bad and one.outcome is not None:
            assert one.score >= bad[metric].score if higher else one.score <= bad[metric].score, metric


@each_protocol
@pytest.mark.parametrize("case", ["one class", "a class with one clip", "one test clip", "one camera", "new classes"])
def test_odd_splits_are_scored_or_refused_in_one_sentence(name, case, store):
    kinds, rows = np.arange(60) % 4, np.arange(60)
    sides = {
        "one class": (rows[:30][kinds[:30] == 0], rows[30:]),
        "a class with one clip": (np.union1d(rows[:30][kinds[:30] < 2], [2, 3]), rows[30:]),
        "one test clip": (rows[:30], rows[30:31]),
        "one camera": tuple(side[store.column("camera")[side] == 1] for side in (rows[:30], rows[30:])),
        "new classes": (rows[:30][kinds[:30] < 2], rows[30:][kinds[30:] >= 2]),
    }
    scores = found(name, task_of(ByName(store, clear(store, 0.3)), store, *sides[case]))
    if isinstance(scores, dict):
        assert scores
        assert all(np.isfinite(one.score) for one in scores.values()), case


@each_protocol
def test_hand_crafted_features_are_scored_by_a_form_that_there_is(name):
    from kineme.evaluation import baselines

    module = registry.load(plan.PROTOCOLS, name)
    if hasattr(module, "baseline"):
        form, made = module.baseline(config(name))
        assert form in baselines.FORMS
        assert isinstance(made, module.Settings)


def test_scores_are_plain_dictionaries():
    scores = Scores()
    scores.add("error", 0.25, {"bins": 3})
    assert scores == {"error": 0.25}
    assert scores.more["error"] == {"bins": 3}
