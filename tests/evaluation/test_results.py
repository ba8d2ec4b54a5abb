"""The comparison of all methods: what records say, what is left to run, and the whole chain on a small plan."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import kineme
from kineme.evaluation import results
from kineme.evaluation.results import BASELINE, Record
from kineme.utils.errors import InputError

ROOT = Path(__file__).parents[2]
SETS, METHODS = {"one": "Set one", "two": "Set two"}, {"a": "Method A", "b": "Method B"}
METRICS = ["knn 1-NN", "linear accuracy"]


@pytest.fixture(scope="module")
def script():
    """scripts/results.py."""
    spec = importlib.util.spec_from_file_location("results_script", ROOT / "scripts" / "results.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def made(set_: str, method: str, seed: int | None, knn: float, linear: float, before: float = 0.5, **more) -> Record:
    kinds = (
        ({"hand-crafted": knn}, {"hand-crafted": linear})
        if seed is None
        else (
            {"trained": knn, "untrained": before},
            {"trained": linear, "untrained": before},
        )
    )
    about = {"split": "xview", "train": 1000, "test": 400, "store": "ab", "scoring_seconds": 10.0, "commands": ("k",)}
    about |= {"kineme": "0.1.0", "revision": "abc", "processor": "some", "threads": 1, "torch": "2"}
    return Record(set=set_, method=method, seed=seed, scores=dict(zip(METRICS, kinds)), **about | more)


@pytest.fixture
def records():
    """On set one A is ahead by more than its spread in neighbours, B was run once; set two has a baseline only."""
    base = made("one", BASELINE, None, 0.7, 0.6)
    base.scores["svm accuracy, C = 1"] = {"hand-crafted": 0.75}
    base.rivals["svm accuracy, C = 1"] = ("linear",)
    return [
        base,
        made("one", "a", 0, 0.80, 0.76, steps=100, seconds=20.0),
        made("one", "a", 1, 0.84, 0.70, before=0.52, steps=100, seconds=24.0),
        made("one", "b", 0, 0.60, 0.90, steps=50),
        made("two", BASELINE, None, 0.9, 0.8),
    ]


def test_cells_by_hand(records):
    found = results.cell(records, "one", "a", "knn 1-NN")
    assert dataclasses.astuple(found) == pytest.approx((0.82, 0.04, 2, 0.51, 0.02, 0.7))
    assert found.gain == pytest.approx(0.12)
    assert found.sure
    found = results.cell(records, "one", "a", "linear accuracy")
    assert found.rival == 0.75  # of the rival, which is better than the form under the same probe
    assert found.gain == pytest.approx(-0.02)
    assert not found.sure  # the spread is 0.06
    assert not results.cell(records, "one", "b", "linear accuracy").sure  # one run
    assert results.cell(records, "two", "a", "knn 1-NN") is None
    lost = [made("one", BASELINE, None, 0.4, 0.4), made("one", "a", 0, 0.5, 0.5, before=0.9)]
    assert results.cell(lost, "one", "a", "knn 1-NN").rival == 0.9


def test_the_page_says_what_is_recorded_and_what_is_not_run(records):
    text = results.page(records, SETS, METHODS, METRICS)
    assert "1,000 training clips, 400 test clips (xview)." in text
    assert "| Method A | **0.820** (0.040) | 0.510 (0.020) | 0.730 (0.060) | 0.510 (0.020) | 2 | 100 | 22 |" in text
    assert "| Method B | 0.600 | 0.500 | 0.900 | 0.500 | 1 | 50 | 0 |" in text
    assert "| hand-crafted | 0.700 |  | 0.600 |  | | | |" in text
    assert "| hand-crafted, svm accuracy, C = 1 | - |  | 0.750 |  | | | |" in text
    assert "| hand-crafted | 0.900 |  | 0.800 |  | | | |" in text
    assert "## Not run" not in text
    assert "* Set three: nothing has been run." in results.page(
        records, SETS | {"three": "Set three"}, METHODS, METRICS
    )
    alone = results.page([each for each in records if each.method != "b"], SETS, METHODS, METRICS)
    assert "Not run on this set: Method B." in alone
    assert "| Method B |" not in alone


def test_the_heat_map_marks_and_leaves_nothing_blank(records):
    element = ET.fromstring(results.heat_map(records, SETS, METHODS, "knn 1-NN"))
    texts = [text.text for text in element.iter("{http://www.w3.org/2000/svg}text")]
    assert "+0.120 ●" in texts
    assert "-0.100" in texts  # one run is never marked
    assert texts.count("not run") == 2
    assert {"Set one", "Set two", "Method A", "Method B"} <= set(texts)


def test_records_are_read_as_they_were_written(records, tmp_path):
    for each in records:
        results.save(each, tmp_path)
    assert sorted(results.read(tmp_path), key=lambda r: r.file) == sorted(records, key=lambda r: r.file)
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json"))
    assert names == ["one/a-s0.json", "one/a-s1.json", "one/b-s0.json", "one/baseline.json", "two/baseline.json"]


def test_what_is_no_record_is_refused(records, tmp_path):
    path = results.save(records[1], tmp_path)
    table = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in table.items() if name != "revision"}))
    with pytest.raises(InputError, match="no revision"):
        results.read(tmp_path)
    path.write_text(json.dumps(table | {"seed": 7}))
    with pytest.raises(InputError, match=r"the record of one/a-s7\.json"):
        results.read(tmp_path)
    with pytest.raises(InputError, match="method c"):
        results.drawn([made("one", "c", 0, 0.1, 0.1)], SETS, METHODS, METRICS)
    with pytest.raises(InputError, match="no baseline"):
        results.cell([dataclasses.replace(records[1], scores={"knn 1-NN": {"trained": 1.0}})], "one", "a", "knn 1-NN")


def stale(folder: Path, *what) -> list[Path]:
    """The files of a folder that are not what the records say."""
    paths = {folder / name: text for name, text in results.drawn(*what).items()}
    return [path for path, text in paths.items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def test_a_stale_page_is_found(records, tmp_path):
    how = (SETS, METHODS, METRICS)
    written = results.write(tmp_path, records, *how)
    assert [path.name for path in written] == ["methods.md", "methods-knn-1-nn.svg", "methods-linear-accuracy.svg"]
    assert stale(tmp_path, records, *how) == []
    more = [*records, made("two", "a", 0, 0.95, 0.95)]
    assert stale(tmp_path, more, *how) == written
    (tmp_path / "methods.md").write_text((tmp_path / "methods.md").read_text().replace("0.820", "0.920"))
    assert stale(tmp_path, records, *how) == written[:1]


def test_the_committed_pages_are_those_of_the_committed_records(script):
    """Else: make results ARGS=--pages-only."""
    plan = script.load(script.PLAN)
    records = results.read(ROOT / "docs" / "results" / "recorded")
    assert stale(ROOT / "docs" / "results", records, *plan.titles, plan.metrics) == []


def test_the_plan_is_what_the_issue_asks_for(script):
    plan = script.load(script.PLAN)
    assert plan.seeds == (0, 1, 2)
    assert len(plan.sets) >= 7
    assert set(plan.metrics) == {"knn 1-NN", "linear accuracy"}
    assert {method.method for method in plan.methods.values()} == {"simclr", "moco", "cmd", "halp", "hico", "cv_mim"}


def test_what_is_left_and_how_long_it_takes(script, records, tmp_path):
    stores = {"s": script.StoreEntry("raw")}
    sets = {name: script.SetEntry(title, "s", "xview") for name, title in SETS.items()}
    methods = {name: script.MethodEntry(title, "moco") for name, title in METHODS.items()}
    methods["b"] = dataclasses.replace(methods["b"], coords=(2,))
    plan = script.Plan(100.0, (0, 1), ("knn",), ("knn 1-NN",), stores, sets, methods)
    assert [job.name for job in script.jobs(plan, [])][:3] == ["one baseline", "two baseline", "one a seed 0"]
    left = script.jobs(plan, records)
    assert [job.name for job in left] == ["two a seed 0", "two a seed 1"]
    assert script.hours(plan, left, records) == pytest.approx(2 * (100 + 10) / 3600)
    assert [job.name for job in script.jobs(plan, [], ["two", "baseline"])] == ["two baseline"]
    with pytest.raises(InputError, match="no set and no method"):
        script.jobs(plan, [], ["c"])


PLAN = """
seconds = 0.2
seeds = [0]
protocols = ["knn", "linear"]
metrics = ["knn 1-NN"]
[stores.made]
raw = "raw"
[stores.ours]
raw = "raw"
prepare = { layout = "pose13" }
[stores.others]
raw = "others"
prepare = { layout = "pose13" }
[sets.own]
title = "Own"
store = "made"
split = "xsub"
[sets.joint]
title = "Joint"
store = "ours"
split = "xsub"
pretrain = ["ours", "others"]
[methods.moco]
title = "MoCo"
method = "moco"
settings = { "encoder.hidden" = 8, "encoder.layers" = 1, "method.views.frames" = 8, "method.queue" = 16, SIZE }
[methods.halp]
title = "HaLP"
method = "halp"
init = "moco"
settings = { "encoder.hidden" = 8, "encoder.layers" = 1, "method.views.frames" = 8, "method.queue" = 16, SIZE }
""".replace("SIZE", '"loop.batch" = 8')


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_whole_chain(script, tmp_path, monkeypatch, capsys):
    """From raw files to the page; what is recorded is not run again; test clips are held out of joint training."""
    kineme.synth.write(tmp_path / "raw", 32, actions=["walk", "clap"], subjects=4, cameras=1, seed=0)
    kineme.synth.write(tmp_path / "others", 10, actions=["kick"], subjects=2, cameras=1, seed=1)
    monkeypatch.setenv("KINEME_DATA", str(tmp_path))
    (tmp_path / "plan.toml").write_text(PLAN)
    (tmp_path / "pages").mkdir()
    words = [f"--{word}={tmp_path / place}" for word, place in (("plan", "plan.toml"), ("work", "work"))]
    words += [f"--{word}={tmp_path / word}" for word in ("records", "pages")]
    assert script.main([*words, "--dry-run"]) == 0
    assert "6 to do, 0 recorded, about 0.1 h" in capsys.readouterr().out
    assert not (tmp_path / "work").exists()
    assert script.main(words) == 0, capsys.readouterr().err
    records = {each.file: each for each in results.read(tmp_path / "records")}
    assert len(records) == 6
    assert all(each.seen == 0 for each in records.values())
    halp = records["own/halp-s0.json"]
    assert [line.split()[1] for line in halp.commands] == ["prepare", "pretrain", "pretrain", "evaluate"]
    assert halp.commands[0] == "kineme prepare $KINEME_DATA/raw store/made"
    assert "--init-from runs/own-moco-half-s0" in halp.commands[2]
    assert str(tmp_path) not in " ".join(halp.commands)
    joint = kineme.load(tmp_path / "work" / "runs" / "joint-moco-s0")
    assert joint.layout.name == "pose13"
    assert joint.card["clips"] == records["joint/moco-s0.json"].train + 10
    assert "| MoCo | " in (tmp_path / "pages" / "methods.md").read_text()
    assert "not run" not in (tmp_path / "pages" / "methods-knn-1-nn.svg").read_text()

    (tmp_path / "records" / "own" / "moco-s0.json").unlink()
    capsys.readouterr()
    assert script.main(words) == 0
    said = capsys.readouterr().out
    assert "1 to do, 5 recorded" in said
    again = {each.file: each for each in results.read(tmp_path / "records")}["own/moco-s0.json"]
    assert again.scores == records["own/moco-s0.json"].scores
    assert again.weights == records["own/moco-s0.json"].weights

    run = tmp_path / "work" / "runs" / "own-moco-s0"
    assert script.main([*words, "--record", str(run), "--only", "own,moco"]) == 0
    assert script.main([*words, "--record", str(run), "--only", "own,halp"]) == 2
    assert "a run of moco. Expected one of halp" in capsys.readouterr().err
    (tmp_path / "plan.toml").write_text(PLAN.replace('"encoder.hidden" = 8', '"encoder.hidden" = 16', 1))
    assert script.main([*words, "--record", str(run), "--only", "own,moco"]) == 2
    assert "a run with encoder.hidden = 8. Expected the settings of moco in the plan" in capsys.readouterr().err
