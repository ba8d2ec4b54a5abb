"""Streams and their fusion: by hand on small arrays, then runs of the real command line."""

from __future__ import annotations

import io
import json
import subprocess
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.training import TINY, kineme, make_store, one_paragraph
from rich.console import Console

from kineme import encoders
from kineme.apps import cli
from kineme.data.store import Store
from kineme.encoders._multi_stream import MultiStream
from kineme.encoders.recurrent import Recurrent
from kineme.evaluation import scores, task
from kineme.evaluation.protocols import fusion, knn, linear
from kineme.evaluation.protocols.fusion import Settings
from kineme.evaluation.run import evaluate
from kineme.inference import ensemble, nearest
from kineme.inference import model as embed
from kineme.training import loop
from kineme.utils import registry, settings
from kineme.utils.errors import InputError

NAMES = ("joint", "motion", "bone")
PER_FRAME = ("sequence", "viewpoint", "pose_retrieval")  # protocols that refuse runs with one vector per clip

# ---------------------------------------------------------------------------------------------- by hand, small arrays


def test_mean_scores_by_hand():
    """Each stream is wrong, and sure of itself where it is right: together they are right."""
    truth = np.array([0, 1, 2])
    joint = np.array([[9.0, 0, 0], [1, 0, 0], [1, 0, 0]])  # knows clip 0, errs on 1 and 2 by a little
    motion = np.array([[0, 1.0, 0], [0, 9, 0], [0, 1, 0]])
    bone = np.array([[0, 0, 1.0], [0, 0, 1], [0, 0, 9]])
    assert [np.mean(each.argmax(1) == truth) for each in (joint, motion, bone)] == [1 / 3] * 3
    found = fusion.averaged([joint, motion, bone], np.array([0.5, 0.25, 0.25]))
    np.testing.assert_array_equal(found, [[4.5, 0.25, 0.25], [0.5, 2.25, 0.25], [0.5, 0.25, 2.25]])
    np.testing.assert_array_equal(found.argmax(1), truth)


def test_a_stream_without_weight_has_no_say():
    """Nor has its infinite score; the others are exactly what they were."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 5, 4))
    other[:, 2] = -np.inf
    np.testing.assert_array_equal(fusion.averaged([one, other], np.array([1.0, 0.0])), one)
    assert np.isneginf(fusion.averaged([one, other], np.array([0.5, 0.5]))[:, 2]).all()
    np.testing.assert_array_equal(fusion.joined([one, other], np.array([1.0, 0.0])), one)


@pytest.mark.parametrize("weights", [(1, 1, 1), (0.6, 0.6, 0.4), (3, 0, 1)])
def test_cosine_of_joined_vectors(weights):
    """It is the weighted mean of the streams' cosines, however long their vectors and however many their columns."""
    rng = np.random.default_rng(1)
    parts = [
        rng.normal(size=(7, d)).astype(np.float32) * rng.uniform(0.01, 100, (7, 1)).astype(np.float32)
        for d in (3, 8, 5)
    ]
    weights = fusion.checked(weights, NAMES)
    cosines = [(unit := part / np.linalg.norm(part, axis=1, keepdims=True)) @ unit.T for part in parts]
    joined = fusion.joined(parts, weights)
    assert joined.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(joined @ joined.T, np.tensordot(weights, cosines, 1), atol=1e-6)


def test_joined_neighbour_by_hand():
    """Two streams that each like a wrong clip best, and both like the right one second."""
    joint = np.array([[1.0, 0], [0.8, 0.6], [0, 1]])
    motion = np.array([[0.0, 1], [0.8, 0.6], [1, 0]])
    query = [np.array([[1.0, 0]])] * 2
    half = np.array([0.5, 0.5])
    assert [nearest.neighbours(side, query[0], 1)[0, 0] for side in (joint, motion)] == [0, 2]
    assert nearest.neighbours(fusion.joined([joint, motion], half), fusion.joined(query, half), 1)[0, 0] == 1


def test_a_zero_vector_leaves_its_clip_to_the_others():
    found = fusion.joined([np.zeros((1, 2), np.float32), np.array([[3.0, 4]], np.float32)], np.array([0.5, 0.5]))
    np.testing.assert_allclose(found, [[0, 0, 0.6 / 2**0.5, 0.8 / 2**0.5]], rtol=1e-6)


def test_weights():
    np.testing.assert_array_equal(fusion.checked((), NAMES), np.full(3, 1 / 3))
    np.testing.assert_allclose(fusion.checked((0.6, 0.6, 0.4), NAMES), [0.375, 0.375, 0.25])
    for wrong in ((1.0, 1.0), (1.0,) * 4, (0.0,) * 3, (1.0, -1.0, 1.0), (1.0, np.nan, 1.0), (1.0, np.inf, 0.0)):
        with pytest.raises(InputError, match=r"fusion\.weights"):
            fusion.checked(wrong, NAMES)


# ------------------------------------------------------------------------------------------------------------- a task

LABELS = [f"{first} {second}" for first in "ab" for second in "cd" for _ in "12"] * 10  # 80 clips


@pytest.fixture
def contest(write_store, halves, fake_model):
    """``contest(joint=..., motion=...)``: the task of a model whose vectors are these streams side by side."""
    store = write_store(LABELS)

    def make(**streams: np.ndarray) -> task.Task:
        model = fake_model(np.concatenate(list(streams.values()), 1))
        ends = np.cumsum([each.shape[1] for each in streams.values()]).tolist()
        model.streams = {name: slice(end - streams[name].shape[1], end) for name, end in zip(streams, ends)}
        return task.make_task(model, store, halves(len(LABELS)))

    return make


def shown(bits: np.ndarray, noise: float, seed: int, extra: int = 0) -> np.ndarray:
    """Vectors ``[80, 2 + extra]`` that show a bit of each clip's label, more or less clearly."""
    rng = np.random.default_rng(seed)
    return np.pad(np.eye(2)[bits.astype(int)], [(0, 0), (0, extra)]) + noise * rng.normal(size=(80, 2 + extra))


FIRST, SECOND = (np.array([label[i] in "bd" for label in LABELS]) for i in (0, 2))


@pytest.mark.parametrize("probe", ["logistic", "hico"])
def test_fused_beats_each_stream(contest, probe):
    """One stream tells a from b and the other c from d: alone neither can tell four classes, together they can."""
    found = fusion.score(contest(joint=shown(FIRST, 0.1, 0), motion=shown(SECOND, 0.1, 1)), Settings(probe=probe))
    assert list(found) == [
        "joint accuracy",
        "motion accuracy",
        "fused accuracy",
        "joint 1-NN",
        "motion 1-NN",
        "fused 1-NN",
    ]
    for name, right in found.items():
        assert right > 0.95 if name.startswith("fused") else right < 0.75, name


def three() -> dict[str, np.ndarray]:
    return {"joint": shown(FIRST, 0.6, 0), "motion": shown(SECOND, 0.6, 1, extra=3), "bone": shown(FIRST, 0.8, 2, 1)}


@pytest.mark.parametrize("probe", ["logistic", "halp", "hico"])
@pytest.mark.parametrize("only", range(3))
def test_all_weight_on_one_stream_is_that_stream(contest, probe, only):
    weights = tuple(5.0 * (i == only) for i in range(3))
    found = fusion.score(contest(**three()), Settings(weights=weights, probe=probe, epochs=3, k=(1, 5)))
    for metric in ("accuracy", "1-NN", "5-NN"):
        assert found[f"fused {metric}"] == found[f"{NAMES[only]} {metric}"]
    assert len({found[f"{name} accuracy"] for name in NAMES}) > 1


@pytest.mark.parametrize("probe", ["logistic", "halp"])
def test_the_order_of_streams_does_not_matter(contest, probe):
    """With equal weights, and with weights that go along."""
    weights = dict(zip(NAMES, (0.6, 0.4, 0.5)))
    for given in (lambda order: (), lambda order: tuple(weights[name] for name in order)):
        found = [
            fusion.score(
                contest(**{name: three()[name] for name in order}),
                Settings(weights=given(order), probe=probe, epochs=3),
            )
            for order in permutations(NAMES)
        ]
        assert all(each == found[0] for each in found)


def test_weights_decide(contest):
    told = [
        fusion.score(contest(**three()), Settings(weights=weights))["fused accuracy"]
        for weights in ((), (0.0, 0.0, 1.0))
    ]
    assert told[0] > told[1]


@pytest.mark.parametrize("probe", ["logistic", "halp", "cmd", "hico"])
def test_each_stream_is_scored_as_if_alone(contest, probe):
    """Its rows are those of ``linear`` and ``knn`` on its columns; a single stream has no fused rows."""
    how = Settings(probe=probe, epochs=2, k=(1, 3))
    together = fusion.score(contest(**three()), how)
    for name, features in three().items():
        alone = contest(**{name: features})
        assert fusion.score(alone, how) == {each: right for each, right in together.items() if each.startswith(name)}
        assert together[f"{name} accuracy"] == linear.score(alone, linear.Settings(probe=probe, epochs=2))["accuracy"]
        assert [together[f"{name} {k}-NN"] for k in (1, 3)] == [*knn.score(alone, knn.Settings((1, 3))).values()]


@pytest.mark.parametrize("probe", ["logistic", "halp"])
def test_streams_see_the_same_crops(contest, probe):
    """All of them are in one call for each view."""
    given = contest(**three())
    fusion.score(given, Settings(probe=probe, epochs=1, views=3))
    random = [crop for _, crop in given.model.asked if crop]
    assert random == ([(0.5, 1.0, seed) for seed in range(3)] if probe == "halp" else [])


def test_a_model_that_does_not_tell_its_streams(contest):
    given = contest(**three())
    given.model.streams = None
    assert list(fusion.score(given, Settings())) == ["all accuracy", "all 1-NN"]


def test_seeds_and_floor():
    assert not fusion.is_stochastic(Settings())
    assert fusion.is_stochastic(Settings(probe="cmd"))
    assert not hasattr(fusion, "baseline")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"weights": [1, 2]}, "joint, motion, bone"),
        ({"weights": "1,-1,1"}, r"fusion\.weights"),
        ({"weights": "0,0,0"}, "not all of them 0"),
        ({"k": [0]}, "neighbours"),
        ({"C": 0}, r"fusion\.C"),
        ({"probe": "cmd", "lr": -1}, r"fusion\.lr"),
    ],
)
def test_settings_that_cannot_be(contest, values, word):
    with pytest.raises(InputError, match=word):
        fusion.score(contest(**three()), settings.make(Settings, values))


def test_rows_and_table(contest):
    """Three streams beside the untrained encoder, without a floor, in a table whose sentences name every metric."""
    given = contest(**three())
    given.model.before = contest(**{name: np.roll(each, 2, 0) for name, each in three().items()}).model
    split = SimpleNamespace(name="halves", train=given.train, test=given.test)
    rows = evaluate(given.model, given.store, ["fusion", "knn"], split, settings={"fusion": {"weights": (1, 1, 0)}})
    metrics = [f"{name} {what}" for what in ("accuracy", "1-NN") for name in (*NAMES, "fused")]
    for who in ("trained", "untrained"):
        assert [row["metric"] for row in rows if row["protocol"] == "fusion" and row["features"] == who] == metrics
    assert {row["protocol"] for row in rows if row["features"] == "hand-crafted"} == {"knn", "svm"}
    assert {row["probe"] for row in rows} == {"logistic", "knn", "svm"}
    text = printed(rows)
    for metric in metrics:
        assert f"│ {metric} " in text
        assert f"fusion {metric} on halves: trained" in text


def printed(rows: list[scores.Row], width: int = 140) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(scores.table(rows))
    return console.file.getvalue()


# ------------------------------------------------------------------------------------------------------------- models


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return make_store(tmp_path_factory.mktemp("fusion") / "swing")


def model_of(store: Store, hidden: dict[str, int], frames: int = 8, seed: int = 0) -> embed.Model:
    """An untrained encoder for each stream, of different sizes."""
    torch.manual_seed(seed)
    sizes = {name: Recurrent.Settings(hidden=size, layers=1, persons=1) for name, size in hidden.items()}
    streams = {name: encoders.build("recurrent", size, store.layout, 3, 1) for name, size in sizes.items()}
    card = {
        "layout": store.card["layout"],
        "coords": 3,
        "normalise": store.card["normalise"],
        "crop": {"ratio": 0.95, "frames": frames},
    }
    return embed.Model(MultiStream(streams, store.layout), card, None, f"weights {seed}")


def test_columns_of_each_stream(store):
    model = model_of(store, {"joint": 4, "motion": 5, "bone": 3})
    assert model.streams == {"joint": slice(0, 8), "motion": slice(8, 18), "bone": slice(18, 24)}
    found = model.embed(store)
    for name, part in model.streams.items():
        alone = embed.Model(MultiStream({name: model.encoder.encoders[name]}, store.layout), model.card, None, name)
        assert alone.streams == {name: slice(0, part.stop - part.start)}
        np.testing.assert_array_equal(found[:, part], alone.embed(store))
    plain = embed.Model(model.encoder.encoders["bone"], model.card, None, "no streams")
    assert plain.streams == {"all": slice(0, 6)}


def test_several_models_as_one(store):
    models = [
        model_of(store, {"joint": 4}),
        model_of(store, {"motion": 3, "joint": 2}, frames=6, seed=1),
        model_of(store, {"joint": 2}),
    ]
    fused = ensemble.Ensemble(models)
    assert fused.streams == {
        "joint": slice(0, 8),
        "motion": slice(8, 14),
        "joint 2": slice(14, 18),
        "joint 3": slice(18, 22),
    }
    assert (fused.dim, fused.path) == (22, "weights 0,weights 1,weights 0")
    for rows in (None, [3, 1]):
        np.testing.assert_array_equal(fused.embed(store, rows), np.hstack([m.embed(store, rows) for m in models]))
    with pytest.raises(InputError, match="at least one"):
        ensemble.Ensemble([])


def test_separate_runs_see_the_same_crops(store):
    """Two runs with the same weights give the same vectors of random crops, which are not those of other seeds."""
    fused = ensemble.Ensemble([model_of(store, {"bone": 4}), model_of(store, {"bone": 4})])
    first, second, other = (fused.embed(store, crop=(0.5, 1.0, seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[:, :8], first[:, 8:])
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_run_that_does_not_fit_is_named(store):
    other = model_of(store, {"motion": 3})
    other.path, other.card["normalise"] = Path("runs/other"), {"how": "general"}
    with pytest.raises(InputError, match="as in runs/other"):
        ensemble.Ensemble([model_of(store, {"joint": 4}), other]).embed(store, [0])


ELSEWHERE = {"cross_domain": "--source", "transfer": "--target"}
SHORT = {"ways": 2, "episodes": 5, "k": (1,), "fractions": (0.5,), "kinds": ("frozen",), "training": {"epochs": 1}}


@pytest.mark.parametrize("protocol", registry.names("evaluation.protocols"))
@pytest.mark.parametrize("hidden", [{"joint": 4}, {"joint": 4, "motion": 3, "bone": 2}])
def test_every_protocol_scores_every_kind_of_model(store, protocol, hidden):
    """Of one stream or three, as one run or several; shares of clips, the same for the same seed."""
    together = model_of(store, hidden)
    apart = ensemble.Ensemble(
        [
            embed.Model(MultiStream({name: encoder}, store.layout), together.card, None, name)
            for name, encoder in together.encoder.encoders.items()
        ]
    )
    if protocol in PER_FRAME:
        for model in (together, apart):
            with pytest.raises(InputError, match="code for each frame"):
                evaluate(model, store, [protocol], "random", untrained=False)
        return
    fields = registry.load("evaluation.protocols", protocol).Settings.__dataclass_fields__
    if protocol in ELSEWHERE:  # another store is to teach, or to be learned
        with pytest.raises(InputError, match=ELSEWHERE[protocol]):
            evaluate(together, store, [protocol], "random", untrained=False)
        return
    how = {"untrained": False, "settings": {protocol: {k: v for k, v in SHORT.items() if k in fields}}}
    one, again = (evaluate(together, store, [protocol], "random", **how) for _ in range(2))
    assert one
    assert all(0 <= row["score"] <= 1 for row in one if row["higher_is_better"])
    assert one == again
    if protocol == "finetune":
        with pytest.raises(InputError, match="an ensemble"):
            evaluate(apart, store, [protocol], "random", **how)
        return
    rows = evaluate(apart, store, [protocol], "random", **how)
    assert [(row["metric"], row["score"]) for row in one] == [(row["metric"], row["score"]) for row in rows]


# --------------------------------------------------------------------------------------------------- the command line


@pytest.fixture(scope="module")
def runs(store, tmp_path_factory) -> dict[str, Path]:
    """A run of each stream, trained separately, and one of three streams."""
    folder = tmp_path_factory.mktemp("runs")
    tiny = [word for word in TINY if word != "--set"]
    for name in NAMES:
        loop.pretrain("moco", store, folder / name, epochs=1, settings=[*tiny, f"method.stream={name}"])
    assert cli.main(["pretrain", "cmd", str(store.path), "--out", str(folder / "cmd"), "--epochs", "1", *TINY]) == 0
    return {name: folder / name for name in (*NAMES, "cmd")}


@pytest.mark.slow
def test_separate_runs_and_one_of_three_streams(store, runs, tmp_path):
    """Both ways of having three streams, from training to the table, and again the same from Python."""
    separate = ",".join(str(runs[name]) for name in NAMES)
    done = kineme(
        "evaluate",
        separate,
        runs["cmd"],
        store.path,
        "--split",
        "random",
        "--protocols",
        "fusion,knn",
        "--probe",
        "halp",
        "--set",
        "fusion.epochs=2",
        "--set",
        "fusion.weights=0.6,0.4,0.6",
        "--json",
        tmp_path / "rows.json",
    )
    rows = json.loads((tmp_path / "rows.json").read_text())
    found = [row for row in rows if row["protocol"] == "fusion"]
    assert {row["probe"] for row in found} == {"halp"}
    for run in (separate, str(runs["cmd"])):
        for who in ("trained", "untrained"):
            told = [row["metric"] for row in found if row["run"] == run and row["features"] == who]
            assert told == [f"{name} {what}" for what in ("accuracy", "1-NN") for name in (*NAMES, "fused")]
    assert "fused accuracy" in done.stdout
    assert "(spread " not in done.stdout  # two ways to three streams are never averaged
    assert "moco + moco + moco" in done.stdout

    models = [ensemble.load_any(separate), embed.load(runs["cmd"])]
    assert list(models[0].streams) == list(models[1].streams) == list(NAMES)
    again = evaluate(
        models,
        store,
        ["fusion"],
        "random",
        settings={"fusion": {"probe": "halp", "epochs": 2, "weights": [0.6, 0.4, 0.6]}},
    )
    assert [row["score"] for row in again] == [row["score"] for row in found]


def test_the_words_of_a_run(runs, tmp_path):
    """A folder whose name has a comma is a folder; a comma at the end is no second run."""
    odd = tmp_path / "a,b"
    odd.symlink_to(runs["bone"])
    assert ensemble.load_any(odd).streams == {"bone": slice(0, 16)}
    assert list(ensemble.load_any(f"{runs['joint']},{runs['joint']}").streams) == ["joint", "joint 2"]
    assert list(ensemble.load_any(f"{runs['motion']},").streams) == ["motion"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runs": "{joint},{joint}-nowhere"}, ["joint-nowhere"]),
        ({"set": "fusion.weights=1,2"}, ["fusion.weights", "2 weights", "joint, motion, bone"]),
        ({"protocols": "knn", "probe": "cmd"}, ["--probe"]),
    ],
)
def test_words_that_cannot_be(store, runs, change, words, capsys):
    """One paragraph and exit code 2."""
    usual = {"runs": "{joint},{motion},{bone}", "set": "fusion.k=1", "protocols": "fusion", "probe": "logistic"}
    given = {name: word.format(**runs) for name, word in (usual | change).items()}
    options = [word for name in ("probe", "protocols", "set") for word in (f"--{name}", given[name])]
    code = cli.main(["evaluate", given["runs"], str(store.path), "--split", "random", *options])
    one_paragraph(subprocess.CompletedProcess([], code, *capsys.readouterr()), *words)
