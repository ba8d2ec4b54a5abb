"""Tasks, rows, summaries and what the table says."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from kineme.evaluation import groups, run, task
from kineme.evaluation.protocols import knn
from kineme.evaluation.scores import summary, table, verdicts
from kineme.utils import registry
from kineme.utils.errors import InputError

LABELS = ["walk", "sit", "wave", "walk", "sit", "wave"] * 8  # 48 clips


@pytest.fixture
def contest(write_store, halves, fake_model):
    """A store, a split, and a maker of models: features that show the label more or less clearly, beside pure noise."""
    store = write_store(LABELS)

    def model(clear: float, name: str = "runs/a", seed: int = 0):
        rng = np.random.default_rng(seed)
        shown = clear * np.eye(3)[np.unique(LABELS, return_inverse=True)[1]]
        noise, before = rng.normal(size=(2, 48, 3))
        return fake_model(shown + noise, name, fake_model(before, name))

    return SimpleNamespace(store=store, split=halves(48), model=model)


def row(score: float, features: str = "trained", **more) -> dict:
    return {
        "protocol": "knn",
        "probe": "knn",
        "metric": "1-NN",
        "split": "xview",
        "features": features,
        "score": score,
        "seed": 0,
        "run": "runs/a",
        "train": 10,
        "test": 5,
        "classes": 3,
        "unlabelled": 0,
        "unseen": [],
    } | more


def trainings(*scores: float, features: str = "trained", **more) -> list[dict]:
    """A row of each of several distinct runs."""
    return [row(score, features, run=f"runs/{k}", **more) for k, score in enumerate(scores)]


# ------------------------------------------------------------------------------------------------------------ tasks


def test_task(write_store, halves, fake_model):
    """Labels become numbers in the order of their names; clips without one are left out and counted."""
    store = write_store(["walk", "sit", None, "sit", "walk", None, "jump", "sit", "walk", "hop"])
    given = task.make_task(fake_model(np.ones((10, 2))), store, halves(10))
    assert given.classes == ["hop", "jump", "sit", "walk"]
    assert given.labels.tolist() == [3, 2, -1, 2, 3, -1, 1, 2, 3, 0]
    assert (given.train.tolist(), given.test.tolist(), given.unlabelled) == ([0, 4, 6, 8], [1, 3, 7, 9], 2)
    assert given.unseen == ["hop", "sit"]


def test_task_by_name_of_a_split(write_store, fake_model):
    given = task.make_task(fake_model(np.ones((20, 2))), write_store(["a", "b"] * 10), "random")
    assert sorted([*given.train, *given.test]) == list(range(20))
    with pytest.raises(InputError, match="nowhere"):
        task.make_task(fake_model(np.ones((20, 2))), given.store, "nowhere")


def test_what_a_list_names_in_vain_is_said(write_store, fake_model, tmp_path):
    store = write_store(["a", "b"] * 10)
    (tmp_path / "train.txt").write_text("\n".join([*store.ids[:10], "s99"]))
    rows = run.evaluate(fake_model(np.ones((20, 2))), store, ["knn"], f"file:{tmp_path / 'train.txt'}", untrained=False)
    note = "1 of 11 names in train.txt are no clips of this store: s99"
    assert all(row["notes"] == [note] for row in rows)
    assert [said for said in verdicts(rows) if note in said] == [f"{rows[0]['split']}: {note}."]


@pytest.mark.parametrize(("train", "test", "side"), [([], [1], "train"), ([0], [], "test"), ([2, 3], [0], "train")])
def test_a_side_without_labelled_clips(write_store, fake_model, train, test, side):
    store = write_store(["a", "b", None, None])
    with pytest.raises(InputError, match=f"no labelled clip on the {side} side"):
        task.make_task(fake_model(np.ones((4, 2))), store, SimpleNamespace(name="mine", train=train, test=test))


def test_a_store_without_labels(write_store, halves, fake_model):
    with pytest.raises(InputError, match="no clip has a label"):
        task.make_task(fake_model(np.ones((4, 2))), write_store([None] * 4), halves(4))


def test_clips_are_embedded_once(write_store, fake_model):
    """The whole store where at least half of it is needed (a model keeps that on disk), else only the needed rows."""
    store = write_store(["a", "b"] * 10)
    rng = np.random.default_rng(0)
    for split, asked in ((np.arange(10), None), (np.arange(9), 9)):
        model = fake_model(rng.normal(size=(20, 3)))
        given = task.make_task(model, store, SimpleNamespace(name="mine", train=split[:4], test=split[4:]))
        np.testing.assert_array_equal(given.features(given.test), model.all[given.test])
        np.testing.assert_array_equal(given.features(given.train[::-1]), model.all[given.train[::-1]])
        assert model.asked == [(asked, None)]
    np.testing.assert_array_equal(given.features(np.array([19, 0])), model.all[[19, 0]])  # rows of neither side


def test_views(write_store, halves, fake_model):
    model = fake_model(np.zeros((8, 3)))
    given = task.make_task(model, write_store(["a", "b"] * 4), halves(8))
    given.seed = 2
    assert given.views(given.train, 3).shape == (3, 4, 3)
    assert model.asked == [(4, (0.5, 1.0, seed)) for seed in (6, 7, 8)]


@pytest.mark.parametrize(
    "features", [np.array([[1.0, 2]] * 7 + [[np.nan, 0]]), np.full((8, 2), np.inf), np.ones((8, 2, 2))]
)
def test_features_that_cannot_be(write_store, halves, fake_model, features):
    given = task.make_task(fake_model(features), write_store(["a", "b"] * 4), halves(8), name="runs/bad")
    with pytest.raises(InputError, match="runs/bad"):
        given.features(given.train)


# ------------------------------------------------------------------------------------------------------------- runs


def test_rows(contest):
    model = contest.model(clear=6.0)
    rows = run.evaluate(model, contest.store, ["knn", "linear"], contest.split, settings={"knn": {"k": [1, 3]}})
    assert [(r["features"], r["protocol"], r["probe"], r["metric"], r["run"]) for r in rows] == [
        ("trained", "knn", "knn", "1-NN", "runs/a"),
        ("trained", "knn", "knn", "3-NN", "runs/a"),
        ("trained", "linear", "logistic", "accuracy", "runs/a"),
        ("untrained", "knn", "knn", "1-NN", "runs/a"),
        ("untrained", "knn", "knn", "3-NN", "runs/a"),
        ("untrained", "linear", "logistic", "accuracy", "runs/a"),
        ("hand-crafted", "knn", "knn", "1-NN", "hand-crafted"),
        ("hand-crafted", "knn", "knn", "3-NN", "hand-crafted"),
        ("hand-crafted", "linear", "logistic", "accuracy", "hand-crafted"),
        ("hand-crafted", "svm", "svm", "accuracy, C = 1", "hand-crafted"),
        ("hand-crafted", "svm", "svm", "accuracy, C = 10", "hand-crafted"),
    ]
    for r in rows:
        assert {name: r[name] for name in ("split", "seed", "train", "test", "classes", "unlabelled", "unseen")} == {
            "split": "halves",
            "seed": 0,
            "train": 24,
            "test": 24,
            "classes": 3,
            "unlabelled": 0,
            "unseen": [],
        }
    assert all(r["score"] > 0.95 for r in rows[:3])
    assert all(r["score"] < 0.7 for r in rows[3:])  # noise, and motion without meaning
    assert json.loads(json.dumps(rows)) == rows
    assert model.asked == [(None, None)]


def test_runs_and_seeds(contest):
    """Several models; a protocol that draws nothing is not repeated, one that draws is; the floor stands once."""
    models = [contest.model(1.0, "runs/a", 0), contest.model(1.0, "runs/b", 1)]
    rows = run.evaluate(
        models,
        contest.store,
        ["knn", "linear"],
        contest.split,
        seeds=3,
        settings={"linear": {"probe": "hico", "epochs": 2}},
    )
    count = {}
    for r in rows:
        count.setdefault((r["features"], r["run"], r["protocol"], r["probe"], r["metric"]), []).append(r["seed"])
    for who in ("trained", "untrained"):
        for name in ("runs/a", "runs/b"):
            assert count.pop((who, name, "knn", "knn", "1-NN")) == [0]
            assert count.pop((who, name, "knn", "knn", "5-NN")) == [0]
            assert count.pop((who, name, "linear", "hico", "accuracy")) == [0, 1, 2]
    assert count == {
        ("hand-crafted", "hand-crafted", *rest): [0]
        for rest in (
            ("knn", "knn", "1-NN"),
            ("knn", "knn", "5-NN"),
            ("linear", "logistic", "accuracy"),
            ("svm", "svm", "accuracy, C = 1"),
            ("svm", "svm", "accuracy, C = 10"),
        )
    }


def test_nothing_beside(contest):
    rows = run.evaluate(contest.model(1.0), contest.store, ["knn"], contest.split, untrained=False, baseline=False)
    assert {r["features"] for r in rows} == {"trained"}


def test_settings_as_an_object(contest):
    given = {"knn": knn.Settings(k=(2,))}
    rows = run.evaluate(contest.model(1.0), contest.store, ["knn"], contest.split, settings=given)
    assert {r["metric"] for r in rows if r["protocol"] == "knn"} == {"2-NN"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocols": ["knnn"]}, "Did you mean 'knn'"),
        ({"protocols": []}, "at least one"),
        ({"seeds": 0}, "at least one"),
        ({"models": []}, "at least one"),
        ({"settings": {"knn": {"kk": 1}}}, r"knn\.kk"),
        ({"settings": {"liner": {}}}, "no protocol of this evaluation"),
        ({"split": "nowhere"}, "nowhere"),
    ],
)
def test_arguments_that_cannot_be(contest, change, message):
    usual = {"models": contest.model(1.0), "store": contest.store, "protocols": ["knn"], "split": contest.split}
    with pytest.raises(InputError, match=message):
        run.evaluate(**(usual | change))


# ----------------------------------------------------------------------------------------------------- what it says


def test_summary():
    rows = [*trainings(0.5, 0.6, 0.7), row(0.4, "untrained"), row(0.9, metric="5-NN")]
    first, second, third = summary(rows)
    assert [(m["features"], m["metric"], m["n"]) for m in (first, second, third)] == [
        ("trained", "1-NN", 3),
        ("untrained", "1-NN", 1),
        ("trained", "5-NN", 1),
    ]
    assert [first[name] for name in ("mean", "spread", "std")] == pytest.approx([0.6, 0.2, 0.1])
    assert [second[name] for name in ("mean", "spread", "std", "n")] == pytest.approx([0.4, 0, 0, 1])


@pytest.mark.parametrize(
    ("trained", "untrained", "said"),
    [
        (
            [0.70, 0.72],
            [0.60, 0.61],
            "beats the untrained encoder (0.605) by 0.105, more than the spread of 0.020 (2 training runs each)",
        ),
        (
            [0.70, 0.72],
            [0.65, 0.75],
            "does NOT beat the untrained encoder (0.700) by more than the spread: 0.010 against 0.100",
        ),
        (
            [0.60, 0.70],
            [0.59, 0.60],
            "does NOT beat the untrained encoder (0.595) by more than the spread: 0.055 against 0.100",
        ),
        (
            [0.10, 0.20],
            [0.05, 0.05],
            "does NOT beat the untrained encoder (0.050) by more than the spread: 0.100 against 0.100",
        ),
        ([0.60, 0.70], [0.70, 0.71], "does NOT beat the untrained encoder (0.705)"),
        ([0.60], [0.60], "does NOT beat the untrained encoder (0.600); one run has no spread"),
        ([0.70], [0.60], "is 0.100 above the untrained encoder (0.600); one run has no spread"),
        ([0.70, 0.71], [0.60], "is 0.105 above the untrained encoder (0.600); one run has no spread"),
    ],
)
def test_verdict(trained, untrained, said):
    rows = [*trainings(*trained), *trainings(*untrained, features="untrained")]
    (sentence,) = verdicts(rows)
    assert sentence.startswith(f"knn 1-NN on xview: trained {np.mean(trained):.3f} {said}")


def test_a_training_is_one_value():
    """However many seeds its probe has, and however often it is named."""
    rows = [row(score, seed=seed) for seed, score in enumerate((0.70, 0.71, 0.72))] * 2
    rows += [row(score, "untrained", seed=seed) for seed, score in enumerate((0.60, 0.61, 0.62))] * 2
    trained, untrained = summary(rows)
    assert [(m["mean"], m["n"], m["spread"]) for m in (trained, untrained)] == [(0.71, 1, 0), (0.61, 1, 0)]
    (sentence,) = verdicts(rows)
    assert "one run has no spread" in sentence
    assert "beats" not in sentence
    copies = [row(0.7, run=f"runs/{k}", training="same weights") for k in range(3)]
    assert summary(copies)[0]["n"] == 1


def test_groups_are_never_averaged():
    rows = [*trainings(0.70, 0.72, group="hico"), *trainings(0.50, 0.52, group="moco")]
    rows += [*trainings(0.60, 0.60, features="untrained", group="hico"), row(0.9, "untrained", group="moco")]
    assert [(m["group"], round(m["mean"], 3), m["n"]) for m in summary(rows) if m["features"] == "trained"] == [
        ("hico", 0.71, 2),
        ("moco", 0.51, 2),
    ]
    first, second = verdicts(rows)
    assert first.startswith("knn 1-NN on xview: hico trained 0.710 beats the untrained encoder (0.600)")
    assert second.startswith("knn 1-NN on xview: moco trained 0.510 does NOT beat the untrained encoder (0.900)")
    text = printed(rows)
    assert "runs" in text
    assert "hico" in text
    assert "moco" in text


def test_many_figures_are_counted_and_those_that_were_not_won_are_named():
    """Of 14 figures one does not beat the untrained encoder, and of those where lower is better one is higher."""
    rows = []
    for number in range(14):
        error = number >= 12
        more = {"metric": f"R@{number}", "higher_is_better": not error}
        good, bad = (0.2, 0.5) if error else (0.5, 0.2)
        rows += trainings(*([bad, bad] if number in (3, 13) else [good, good + 0.01]), **more)
        rows += trainings(0.3, 0.3, features="untrained", **more)
        rows.append(row(0.05 if number == 5 else good - 0.1 if not error else 0.9, "hand-crafted", **more))
    won, hand = verdicts(rows)
    assert won.startswith("xview: trained is better than the untrained encoder by more than the spread in 12 of 14 fig")
    assert won.endswith("(not in knn R@3, knn R@13).")
    assert hand == "xview: trained does NOT beat the hand-crafted features in 1 of 14 figures (knn R@3)."
    alone = [found for found in rows if found["run"] != "runs/1"]
    assert verdicts(alone)[0] == (
        "xview: trained is better than the untrained encoder in 12 of 14 figures (not in knn R@3, knn R@13); one run "
        "has no spread: only more runs can tell whether that is chance."
    )


def card(method: str, seed: int, **more) -> dict:
    recipe = {"method": {"stream": "joint", **more}, "loop": {"epochs": 2, "save_seconds": float(seed)}}
    return {"method": method, "encoder": "recurrent", "recipe": recipe, "seed": seed, "split": "xview"}


def test_two_methods_in_one_evaluation(contest):
    """One group each, and a difference on the same clips."""
    models = [contest.model(clear, f"runs/{k}", k) for k, clear in enumerate((6.0, 6.0, 0.3, 0.3, 0.3))]
    for seed, (model, method) in enumerate(zip(models, ["moco", "moco", "hico", "hico", "hico"])):
        model.card = card(method, seed)
    rows = run.evaluate([*models, models[0]], contest.store, ["knn"], contest.split, baseline=False)
    assert [(m["group"], m["n"]) for m in summary(rows) if (m["features"], m["metric"]) == ("trained", "1-NN")] == [
        ("moco", 2),
        ("hico", 3),
    ]
    apart = [row for row in rows if row["features"] == "difference"]
    assert [(row["metric"], row["group"], row["other"], row["runs"]) for row in apart] == [
        ("1-NN", "moco", "hico", [2, 3]),
        ("5-NN", "moco", "hico", [2, 3]),
    ]
    assert 0.2 < apart[0]["low"] < apart[0]["score"] < apart[0]["high"] < 1
    means = {m["group"]: m["mean"] for m in summary(rows) if (m["features"], m["metric"]) == ("trained", "1-NN")}
    assert apart[0]["score"] == pytest.approx(means["moco"] - means["hico"], abs=1e-6)
    said = [text for text in verdicts(rows) if "1-NN on halves: moco against hico" in text]
    assert len(said) == 1
    assert said[0].endswith("over 24 test clips, 2 runs and 3 runs: moco is ahead.")
    json.dumps(rows)


def test_which_runs_are_one_group():
    moco = [SimpleNamespace(card=card("moco", seed)) for seed in range(2)]
    motion = SimpleNamespace(card=card("moco", 0, stream="motion"))
    hico = SimpleNamespace(card=card("hico", 0))
    elsewhere = SimpleNamespace(card=card("hico", 0) | {"split": None})
    both = SimpleNamespace(models=[moco[0], motion])
    assert groups.labels(moco) == ["moco", "moco"]
    assert groups.labels([*moco, hico]) == ["moco", "moco", "hico"]
    assert groups.labels([moco[0], motion, hico]) == ["moco method.stream=joint", "moco method.stream=motion", "hico"]
    assert groups.labels([hico, elsewhere]) == ["hico split=xview", "hico split=null"]
    assert groups.labels([both, moco[0]]) == ["moco + moco", "moco"]
    assert groups.labels([SimpleNamespace(), SimpleNamespace()]) == ["", ""]


def test_intervals_of_a_difference():
    """As wide as the theory says for one training; wider where trainings differ; and they hold the truth."""
    gen = np.random.default_rng(0)
    one, other = gen.random((1, 1000)) < 0.8, gen.random((1, 1000)) < 0.7
    (apart,) = groups.differences({"a": {"x": one[0]}, "b": {"y": other[0]}})
    expected = 1.96 * np.sqrt((0.8 * 0.2 + 0.7 * 0.3) / 1000)
    assert (apart["high"] - apart["low"]) / 2 == pytest.approx(expected, rel=0.1)
    assert apart["low"] < 0.1 < apart["high"]
    (same,) = groups.differences({"a": {"x": one[0]}, "b": {"y": one[0]}})  # paired: the same clips
    assert same["low"] == same["score"] == same["high"] == 0
    spread = {str(k): gen.random(1000) < rate for k, rate in enumerate((0.6, 0.8, 1.0))}
    (wide,) = groups.differences({"a": spread, "b": {"y": other[0]}})
    assert wide["high"] - wide["low"] > 2 * (apart["high"] - apart["low"])


def test_differences_that_decide_nothing():
    base = row(0.1, "difference", group="a", other="b", low=-0.1, high=0.3, runs=[2, 2])
    (said,) = verdicts([base])
    assert said.endswith("-0.100 to +0.300 over 5 test clips, 2 runs and 2 runs: undecided.")
    (said,) = verdicts([base | {"low": 0.05, "runs": [1, 3]}])
    assert said.endswith("1 run and 3 runs: another seed may differ, no verdict.")
    (said,) = verdicts([base | {"score": -0.2, "high": -0.05}])
    assert said.endswith("b is ahead.")


def test_what_a_rival_says():
    rival = row(0.8, "hand-crafted", protocol="svm", rivals=["knn"], form="both", forms={"both": 0.8, "positions": 0.7})
    said = verdicts([row(0.75), rival])
    assert said[0] == "knn 1-NN on xview: trained 0.750 does NOT beat svm on hand-crafted features (0.800)."
    assert said[1].startswith("xview: hand-crafted is the best of up to 2 forms, chosen on the test clips")
    assert "svm 1-NN: both" in said[1]
    assert len(verdicts([row(0.85), rival])) == 1
    assert "svm" in printed([row(0.75), rival])


def test_the_baseline_alone(contest):
    rows = run.baseline(contest.store, contest.split)
    assert {row["features"] for row in rows} == {"hand-crafted"}
    assert [row["protocol"] for row in rows] == ["knn", "knn", "linear", "svm", "svm"]
    for found in rows:
        assert found["score"] == max(found["forms"].values()) == found["forms"][found["form"]]
        assert len(found["forms"]) == (24 if found["protocol"] == "svm" else 36)
    beside = run.evaluate(contest.model(1.0), contest.store, split=contest.split)
    assert [row for row in beside if row["features"] == "hand-crafted"] == rows
    assert json.loads(json.dumps(rows)) == rows
    text = printed(rows)
    assert "trained" not in text.split("hand-crafted is")[0].replace("training", "")
    assert f"{rows[0]['score']:.3f}" in text
    with pytest.raises(InputError, match="has a baseline"):
        run.baseline(contest.store, contest.split, ["fusion"])


def test_verdicts_on_floor_and_clips():
    rows = [row(score, who, unlabelled=4, unseen=["hop"]) for score, who in ((0.7, "trained"), (0.71, "hand-crafted"))]
    assert verdicts(rows) == [
        "knn 1-NN on xview: trained 0.700 does NOT beat the hand-crafted features (0.710).",
        "xview: 4 clips without a label were left out.",
        "xview: no training clip shows hop; test clips of these count as errors.",
    ]
    assert verdicts([row(0.72), row(0.71, "hand-crafted")]) == []


def test_rivals_have_the_same_probe_but_the_floor_its_own():
    scores = {
        ("halp", "trained"): 0.5,
        ("halp", "untrained"): 0.4,
        ("cmd", "trained"): 0.6,
        ("cmd", "untrained"): 0.7,
        ("logistic", "hand-crafted"): 0.55,
    }
    rows = [row(score, who, protocol="linear", probe=probe) for (probe, who), score in scores.items()]
    first, second, third = verdicts(rows)
    assert "the untrained encoder (0.400)" in first
    assert "does NOT beat the hand-crafted features (0.550)" in second
    assert "the untrained encoder (0.700)" in third


def printed(rows) -> str:
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=200).print(table(rows))
    return out.getvalue()


def test_table():
    rows = [*trainings(0.7, 0.72), *trainings(0.60, 0.62, features="untrained"), row(0.65, "hand-crafted")]
    text = printed(rows)
    assert "xview: 10 training clips, 5 test clips, 3 classes" in text
    assert "0.710 (spread 0.020, n = 2)" in text
    assert "0.610 (spread 0.020, n = 2)" in text
    assert "0.650" in text
    assert "beats the untrained encoder" in text
    assert "does NOT beat the untrained encoder" in printed([row(0.6), row(0.65, "untrained")])
    assert "-" in printed([row(0.6)])


def test_protocols_are_found_by_their_files():
    assert set(registry.names("evaluation.protocols")) >= {"knn", "linear"}
    assert all(registry.names("evaluation.protocols").values())
    assert "_floor" not in registry.names("evaluation.protocols")


def test_import_is_light():
    code = "import sys, kineme.evaluation; print(sorted({'torch', 'sklearn', 'pyarrow', 'rich'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
