"""The command line as people meet it: answers fast, says clearly what is wrong, loses nothing."""

from __future__ import annotations

import argparse
import json
import re
import resource
import shlex
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.training import LEGS, TINY, kineme, make_store, one_paragraph

import kineme as package
from kineme.apps.cli import main, parser
from kineme.data import synth
from kineme.data.store_writer import Writer
from kineme.utils import registry


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("cli") / "swing")


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "run"
    kineme("pretrain", "moco", store.path, "--out", out, "--epochs", 1, *TINY)
    return out


COMMANDS = [name.replace("_", "-") for name in registry.names("apps.cli")]
HEAVY = ("numpy", "torch", "sklearn", "pyarrow", "scipy", "matplotlib", "rich")
QUICK = [["methods"], ["--help"], *([name, "--help"] for name in COMMANDS)]


def cpu_seconds(*words: str) -> float:
    """Of a new Python that runs the command line, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    kineme(*words, env={})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_help_and_methods_answer_at_once(words):
    assert min(cpu_seconds(*words) for _ in range(3)) < 0.3


@pytest.mark.parametrize("words", QUICK, ids=" ".join)
def test_help_and_methods_import_what_they_need_and_no_more(words):
    code = f"""
import sys
from kineme.apps.cli import main
try:
    main({words})
except SystemExit:
    pass
print(*sorted(m for m in sys.modules if m in {HEAVY} or m.startswith("kineme.apps.cli.")), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    chosen = {f"kineme.apps.cli.{word.replace('-', '_')}" for word in words if not word.startswith("-")}
    assert set(done.stderr.split()) - {"kineme.apps.cli._shared"} == chosen


def test_help_names_every_command_with_the_first_line_of_its_file():
    text = " ".join(kineme("--help").stdout.split())
    assert "COMMAND" in text
    for name, line in registry.names("apps.cli").items():
        assert f"{name.replace('_', '-')} {line}" in text
    assert {"demo", "prepare", "info", "pretrain", "evaluate", "embed", "import-weights", "methods"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name):
    sub = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction)).choices[name]
    assert all(action.help for action in sub._actions)


def test_help_names_no_method():
    """What can be chosen is listed by whoever checks it; the parser would have to be told of each new one."""
    for name in COMMANDS:
        words = set(re.findall(r"\w+", kineme(name, "--help").stdout))
        assert not words & set(registry.names("methods")), name


@pytest.mark.parametrize(
    ("words", "new"),
    [(["demo", "--mine", "folder"], "--data")],
)
def test_former_options_are_refused_by_their_new_names(words, new):
    one_paragraph(kineme(*words, check=False), f"{words[-2]}: this option is now called {new}.")


def test_an_unknown_command_is_refused_by_the_nearest_one():
    one_paragraph(kineme("prepair", check=False), "prepair: no such command", "import-weights", "mean 'prepare'?")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["prepare", "a", "b", "--normalize", "ntu"], "--normalize: no such option. Did you mean '--normalise'?"),
        (["info", "a", "--verfy=1"], "--verfy=1: no such option. Did you mean '--verify'?"),
        (["embed", "a", "b", "--out", "c", "--qqq"], "--qqq: no such option. See kineme embed --help."),
        (["info", "a", "b"], "b: one word too many. See kineme info --help."),
    ],
)
def test_unknown_options_are_refused_by_the_nearest_one(words, said, capsys):
    assert main(words) == 2
    assert capsys.readouterr().err == f"kineme: {said}\n"


def test_choices_are_listed_by_the_function_that_checks_them(store, run, tmp_path):
    evaluate = ["evaluate", run, store.path, "--split", "random", "--protocols", "linear"]
    one_paragraph(kineme(*evaluate, "--probe", "guess", check=False), "guess", "logistic")
    synth.write(tmp_path / "raw", list(synth.generate(2, subjects=1)))
    prepare = kineme("prepare", tmp_path / "raw", tmp_path / "x", "--normalise", "nut", check=False)
    one_paragraph(prepare, "'nut'", "'ntu'")
    weights = tmp_path / "weights.pth.tar"
    weights.write_bytes(b"none")
    one_paragraph(kineme("import-weights", weights, "--as", "telepathy", check=False), "telepathy", "hico")
    imported = kineme("import-weights", weights, "--as", "hico", "--stream", "smell", check=False)
    one_paragraph(imported, "smell", "joint, motion, bone")


def test_commands_that_can_be_resumed_say_how(capsys, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    def hint(*words: object) -> str:
        assert main([*map(str, words)]) == 130
        said = capsys.readouterr().err.strip()
        assert said.startswith("Interrupted. Finished work is kept")
        return said.partition("; resume with: ")[2]

    for name in ("training.loop.pretrain", "data.prepare.prepare_each", "evaluation.reproduce.reproduce"):
        monkeypatch.setattr(f"kineme.{name}", interrupted)
    words = ["kineme", "pretrain", "moco", "a b", "--out", "runs/moco-a b-0", "--resume"]
    assert shlex.split(hint("pretrain", "moco", "a b", "--epochs", 3)) == words
    assert hint("prepare", "raw", "made", "--faithful", "--layout", "ntu25", "--jobs", 2) == (
        "kineme prepare raw made --jobs 2 --layout ntu25 --faithful"
    )
    (plugin := tmp_path / "none_at_all.py").write_text("suffixes = ()\ndef sniff(a, b): ...\ndef read(a, b): ...\n")
    monkeypatch.setattr(registry, "_plugins", {name: dict(known) for name, known in registry._plugins.items()})
    begin = ["reproduce", "x", "--raw", "r", "--set", "loop.epochs=1", "--set", "linear.C=2"]
    assert hint(*begin, "--plugin", plugin) == (
        f"kineme --plugin {plugin} reproduce x --raw r --out reproduced --seed 0 --set loop.epochs=1 --set linear.C=2"
    )


def test_methods_lists_what_there_is():
    text = kineme("methods").stdout
    for word in ("moco", "recurrent", "bidirectional", "ntu25", "bvh", "knn", "linear", "small"):
        assert word in text


def test_doctor_describes_this_machine():
    text = kineme("doctor").stdout
    for word in ("torch", "threads", "bf16", "GFLOP/s", "GPU"):
        assert word in text


def test_info_of_a_store_and_of_a_run(store, run):
    text = kineme("info", store.path, "--verify").stdout
    for word in ("40 clips", "kinect20", "kind 0 10", "random", "verified"):
        assert word in text
    assert "moco" in kineme("info", run).stdout
    one_paragraph(kineme("info", store.path / "nothing", check=False), "nothing")


def test_default_run_folder_is_named_after_method_store_and_seed(store, tmp_path):
    kineme("pretrain", "moco", store.path, "--epochs", 1, "--seed", 3, *TINY, cwd=tmp_path)
    assert (tmp_path / "runs" / "moco-swing-3" / "model.safetensors").exists()
    one_paragraph(
        kineme("pretrain", "moco", store.path, "--epochs", 1, "--seed", 3, *TINY, cwd=tmp_path, check=False),
        "moco-swing-3",
        "--resume",
    )


def test_evaluate_prints_a_table_and_writes_rows(store, run, tmp_path):
    done = kineme("evaluate", run, store.path, "--split", "random", "--seeds", 2, "--json", tmp_path / "rows.json")
    assert "random" in done.stdout
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["features"] for row in rows} == {"trained", "untrained", "hand-crafted"}
    assert {row["protocol"] for row in rows} == {"knn", "linear", "svm"}
    assert all(0 <= row["score"] <= 1 for row in rows)


def test_evaluate_writes_predictions_and_draws_which_class_was_taken_for_which(store, run, tmp_path):
    given = ["--predictions", tmp_path / "said.csv", "--confusion", tmp_path / "confusion.png"]
    done = kineme("evaluate", run, store.path, "--split", "xsub", "--protocols", "linear,retrieval", *given)
    assert "across camera" in done.stdout
    lines = (tmp_path / "said.csv").read_text().splitlines()
    assert lines[0] == "clip,true,predicted,score,protocol,metric,features,run,seed"
    assert f"{len(lines) - 1} predictions written" in done.stdout
    assert (tmp_path / "confusion.png").stat().st_size > 5000
    refused = kineme("evaluate", run, store.path, "--split", "xsub", "--protocols", "clustering", *given, check=False)
    one_paragraph(refused, "predict no labels: clustering")


SHORT = (
    "semi.fractions=0.5", "semi.draws=1", "semi.training.epochs=1", "finetune.training.epochs=1", "few_shot.ways=4",
    "few_shot.episodes=5", "clustering.starts=1",
)  # fmt: skip


@pytest.mark.slow
def test_evaluate_by_all_protocols_says_which_do_not_apply(store, run, tmp_path):
    given = ["--protocols", "all", "--plots", tmp_path / "plots", "--json", tmp_path / "rows.json"]
    short = [word for each in SHORT for word in ("--set", each)]
    done = kineme("evaluate", run, store.path, "--split", "xsub", *given, *short)
    rows = json.loads((tmp_path / "rows.json").read_text())
    scored, left = {row["protocol"] for row in rows}, [note for note in rows[0]["notes"] if "is left out" in note]
    assert scored | {note.split()[0] for note in left} == set(registry.names("evaluation.protocols"))
    assert scored >= {"knn", "linear", "semi", "finetune", "few_shot", "clustering", "calibration", "robustness"}
    said = " ".join(done.stdout.split())
    assert "transfer is left out: transfer.target: no store" in said
    assert all(np.isfinite(row["score"]) for row in rows)
    assert {path.name for path in (tmp_path / "plots").iterdir()} >= {"calibration.png", "robustness.png"}


@pytest.mark.parametrize(
    ("labels", "cameras", "words", "said"),
    [
        ([None] * 12, [1, 2], ["--protocols", "knn"], ["no clip has a label", "--labels"]),
        (
            ["a", "b"] * 6,
            [1, 1],
            ["--set", "retrieval.across=camera", "--set", "retrieval.k=1"],
            ["retrieval.across camera", "single value"],
        ),
        (["a"] * 11 + ["b"], [1, 2], ["--protocols", "few_shot"], ["few_shot.ways=2", "training clip"]),
        (["a"] * 12, [1, 2], ["--protocols", "calibration"], ["all training clips have one label"]),
        (["a"] * 12, [1, 2], ["--protocols", "clustering"], ["test clips of 1 classes"]),
        (["a", "b"] * 6, [1, 2], ["--protocols", "semi"], ["semi, 1 % of 6 labels", "semi.stratified=true"]),
        ([None, "b"] * 6, [1, 2], ["--split", "camera=1"], ["no labelled clip on the train side"]),
        (["a", "b"] * 6, [1, 2], ["--set", "robustness.alterations=fog"], ["robustness.alterations", "fog"]),
        (["a", "b"] * 6, [1, 2], ["--set", "localisation.recordings=nowhere"], ["nowhere", "no such folder"]),
    ],
)
def test_evaluate_what_cannot_be_scored_is_said_in_a_sentence(store, run, tmp_path, labels, cameras, words, said):
    """Clips without labels, of one camera, of one class; a class with one clip; settings that do not fit."""
    motions = [
        motion.with_(label=label, camera=cameras[i % 2], source=f"c{i}")
        for i, (motion, label) in enumerate(zip(store, labels))
    ]
    with Writer(tmp_path / "few", store.layout, normalise={"how": "none"}) as writer:
        for motion in motions:
            writer.add(motion)
    protocol = [word.split(".")[0] for word in words if "." in word]
    given = words if "--protocols" in words or not protocol else ["--protocols", protocol[0], *words]
    split = [] if "--split" in words else ["--split", "random"]
    one_paragraph(kineme("evaluate", run, tmp_path / "few", *split, *given, check=False), *said)


def test_evaluate_the_baseline_without_any_run(store, run, tmp_path):
    done = kineme("evaluate", "--baseline", store.path, "--split", "xsub", "--json", tmp_path / "rows.json")
    assert "hand-crafted is the best of up to 36 forms, chosen on the test clips in its favour" in " ".join(
        done.stdout.split()
    )
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["features"] for row in rows} == {"hand-crafted"}
    assert all(len(row["forms"]) >= 24 for row in rows)
    failed = kineme("evaluate", run, store.path, "--baseline", store.path, "--split", "xsub", check=False)
    one_paragraph(failed, "--baseline", "runs beside it")


def test_embed_takes_motion_files_as_they_are(run, tmp_path):
    """Prepared as the run's own data were; a file that cannot be read is skipped; a map is drawn."""
    synth.write(raw := tmp_path / "raw", 6, format="bvh", actions=["walk", "kick"])
    (raw / "broken.bvh").write_text("HIERARCHY")
    done = kineme("embed", run, raw, "--out", tmp_path / "z", "--map", tmp_path / "map.png", "--split", "random")
    assert "map.png" in done.stdout
    made = package.open(tmp_path / "z" / "store")
    assert (len(made), made.layout.name, made.card["skipped"]) == (6, "kinect20", 1)
    np.testing.assert_array_equal(np.load(tmp_path / "z" / "Z.npy"), package.load(run).embed(made))
    assert (tmp_path / "map.png").stat().st_size > 5000
    one_paragraph(kineme("embed", run, tmp_path / "none", "--out", tmp_path / "y", check=False), "none")


def test_embed_writes_vectors_with_ids_in_order(store, run, tmp_path):
    import pyarrow.parquet

    kineme("embed", run, store.path, "--out", tmp_path / "z")
    features = np.load(tmp_path / "z" / "Z.npy", mmap_mode="r")
    assert features.shape == (40, 16)
    assert pyarrow.parquet.read_table(tmp_path / "z" / "clips.parquet")["id"].to_pylist() == store.ids
    model = package.load(run)
    np.testing.assert_allclose(features, model.embed(store), atol=1e-6)
    np.testing.assert_allclose(model.embed([store.motion(3), store.motion(0)]), features[[3, 0]], atol=1e-5)
    np.testing.assert_allclose(model.embed(store.motion(5).joints)[0], features[5], atol=1e-5)
    one_paragraph(kineme("embed", run, store.path, "--out", tmp_path / "z", check=False), "exists")


def test_a_store_of_another_layout_is_mapped_or_refused_with_the_remedy(run, tmp_path):
    other = make_store(tmp_path / "ntu", layout="ntu25", clips=8)
    assert "mapped to the run's kinect20, 5 unused" in kineme("embed", run, other.path, "--out", tmp_path / "z").stderr
    fewer = make_store(tmp_path / "fewer", layout="pose13", clips=8)
    said = kineme("embed", run, fewer.path, "--out", tmp_path / "y").stderr
    assert "mapped to the run's kinect20, 1 unused, without spine, head" in said
    legs = make_store(tmp_path / "legs", layout=LEGS, clips=8)
    one_paragraph(kineme("embed", run, legs.path, "--out", tmp_path / "x", check=False), "legs", "--layout kinect20")


def test_features_are_cached_by_weights_store_and_crop(store, run):
    model = package.load(run)
    first = model.embed(store)
    cached = sorted((run / "cache").glob("*.npy"))
    assert cached
    begin = time.perf_counter()
    np.testing.assert_array_equal(model.embed(store, rows=[4, 2]), first[[4, 2]])
    assert time.perf_counter() - begin < 1
    assert not np.allclose(model.embed(store, crop=(0.5, 1.0, 0)), model.embed(store, crop=(0.5, 1.0, 1)))
    np.testing.assert_array_equal(model.embed(store, crop=(0.5, 1.0, 0)), model.embed(store, crop=(0.5, 1.0, 0)))


def test_a_flipped_byte_is_found(tmp_path):
    store = make_store(tmp_path / "swing", clips=8)
    file = store.path / "frames.npy"
    data = bytearray(file.read_bytes())
    data[-7] ^= 1
    file.write_bytes(bytes(data))
    kineme("info", store.path)
    one_paragraph(kineme("info", store.path, "--verify", check=False), "frames.npy")


@pytest.mark.parametrize(
    "words",
    [
        ["embed", "{tmp}/no-run", "{store}", "--out", "{tmp}/z"],
        ["evaluate", "{run}", "{store}", "--split", "nothing"],
        ["evaluate", "{run}", "{store}", "--split", "random", "--protocols", "telepathy"],
        ["evaluate", "{run}", "{store}", "--split", "random", "--set", "knn.k=900"],
        ["prepare", "{tmp}/no-folder", "{tmp}/dest"],
        ["prepare", "{store}/card.json", "{tmp}/dest2"],
        ["prepare", "{store}", "{tmp}/dest3", "--layout", "kinect2"],
        ["pretrain", "moco", "{run}"],
        ["embed", "{store}", "{store}", "--out", "{tmp}/z"],
        ["info", "{run}/log.jsonl"],
    ],
)
def test_bad_words_get_one_clear_paragraph(words, store, run, tmp_path):
    one_paragraph(kineme(*(w.format(tmp=tmp_path, store=store.path, run=run) for w in words), check=False))


@pytest.mark.slow
def test_a_full_disk_costs_nothing_that_was_there(store, run, tmp_path):
    """The limit on file size stands in for a full disk: one paragraph, exit code 2, and the run before it is whole."""

    before = {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    one_paragraph(
        kineme(
            "pretrain",
            "moco",
            store.path,
            "--out",
            tmp_path / "full",
            "--epochs",
            1,
            *TINY,
            check=False,
            file_size=3000,
        )
    )
    one_paragraph(kineme("embed", run, store.path, "--out", tmp_path / "z", check=False, file_size=3000))
    assert before == {p.name: p.read_bytes() for p in run.iterdir() if p.is_file()}
    assert not list(tmp_path.rglob("*.tmp"))
    kineme("pretrain", "moco", store.path, "--out", tmp_path / "full", "--resume")
