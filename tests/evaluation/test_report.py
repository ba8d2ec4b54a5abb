"""The report: what stands in it, that nothing in it is taken for a tag, and that a browser shows it as it is meant."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import browser as chromium

import kineme
from kineme.apps.cli import main
from kineme.data.store_writer import Writer
from kineme.evaluation import predictions, published, report, run, task
from kineme.evaluation.scores import summary
from kineme.motion import layout as skeleton
from kineme.motion.motion import Motion
from kineme.utils.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*mapped to the run's")
ACTIONS = ["walk", "clap", "squat"]
EVIL = '<script>alert(1)</script> & "walk"'


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The files of one evaluation through the command line, of a store in which a class has a wicked name."""
    folder = tmp_path_factory.mktemp("report")
    motions = list(kineme.synth.generate(36, ACTIONS, subjects=4, cameras=1, seed=1, layout="pose13", coords=3))
    named = [motion.with_(label=EVIL if motion.label == "walk" else motion.label) for motion in motions]
    store = kineme.store(named, folder / "a & <b>")
    words = ["evaluate", "base", store.path, "--split", "random", "--protocols", "knn,linear,calibration,robustness"]
    words += ["--set", "robustness.alterations=noise,mirrored", "--json", folder / "r.json"]
    words += ["--report", folder / "r.html", "--report", folder / "r.md"]
    assert main([str(word) for word in words]) == 0
    rows = json.loads((folder / "r.json").read_text())
    text = (folder / "r.html").read_text(encoding="utf-8")
    return SimpleNamespace(folder=folder, store=store, rows=rows, text=text, page=folder / "r.html")


class Reader(HTMLParser):
    """Tags that were opened and not closed, the cells of every table of every section, and all tags and attributes."""

    VOID = ("meta", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.values, self.section, self.texts = [], set(), [], "", {}
        self.rows: dict[str, list[list[str]]] = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.values += [(name, value or "") for name, value in attributes]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "section":
            self.section = dict(attributes)["id"]
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        if tag in ("td", "th") and self.rows.get(self.section):
            self.rows[self.section][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts[self.section] = self.texts.get(self.section, "") + data
        if {"td", "th"} & set(self.open) and "svg" not in self.open and "style" not in self.open:
            self.rows[self.section][-1][-1] += data


@pytest.fixture(scope="module")
def read(made):
    return Reader(made.text)


def test_every_part_is_there_and_every_tag_is_closed(read):
    assert read.open == []
    wanted = [
        "verdict",
        "scores",
        "published",
        "confusion",
        "map",
        "neighbours",
        "robustness",
        "reliability",
        "settings",
    ]
    assert [value for name, value in read.values if name == "id"] == wanted
    assert "No published figure applies" in read.texts["published"]


def test_numbers_are_those_of_the_json(made, read):
    cells = {row[0]: row[1:4] for row in read.rows["scores"]}
    means = summary(made.rows)
    assert len(means) > 15
    for mean in means:
        line = next(cell for name, cell in cells.items() if name.startswith(mean["metric"]) and _starts(name, mean))
        column = ("trained", "untrained", "hand-crafted").index(mean["features"])
        assert line[column].startswith(f"{mean['mean']:.3f}")
        if mean["interval"]:
            assert "{:.3f} to {:.3f}".format(*mean["interval"]) in line[column]


def _starts(name: str, mean: dict) -> bool:
    """Whether a heading is of a metric, and not of one whose name goes on."""
    return re.match(r"[\s]*(knn|linear|calibration|robustness|svm|lower|$)", name[len(mean["metric"]) :]) is not None


def test_nothing_is_loaded_and_no_name_is_a_tag(made, read):
    assert "script" not in read.tags
    assert not {"img", "link", "iframe", "object"} & read.tags
    assert not re.search(r"https?:|//|@import|url\(", re.sub(r"<!.*?>", "", made.text))
    assert EVIL not in made.text
    assert EVIL in read.texts["confusion"]
    assert EVIL in read.texts["map"]
    assert not any(name.startswith("on") for name, _ in read.values)


def test_classes_and_curves_are_those_of_the_rows(made, read):
    found = {row[0]: row[1:] for row in read.rows["confusion"] if len(row) == 7}
    assert set(found) == {"class", EVIL, "clap", "squat"}
    assert sum(int(row[0]) for name, row in found.items() if name != "class") == made.rows[0]["test"]
    accuracy = next(row for row in made.rows if row["metric"] == "accuracy" and row["features"] == "trained")
    right = sum(int(row[0]) * float(row[1]) for name, row in found.items() if name != "class")
    assert right / accuracy["test"] == pytest.approx(accuracy["score"], abs=2e-3)
    curve = next(row for row in made.rows if row["metric"] == "noise" and row["features"] == "trained")["curve"]
    for level, height in curve:
        assert f"{level:g}: {height:.3f}" in read.texts["robustness"]


def test_settings_hashes_and_cost(made, read):
    said = read.texts["settings"]
    assert made.store.hash in said
    assert kineme.load("base").hash[:16] in said
    assert "kineme evaluate base" in said
    assert re.search(r"evaluation\s*\d+ s", said)
    assert "alterations" in said


def test_markdown_is_a_table(made):
    text = (made.folder / "r.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {5}
    mean = next(m for m in summary(made.rows) if m["metric"] == "1-NN" and m["features"] == "trained")
    line = next(line for line in rows if line.startswith("| knn 1-NN |"))
    assert line.split("|")[2].strip().startswith(f"{mean['mean']:.3f} [")
    assert "<b>" not in text


def test_another_ending_is_refused_before_hours_are_spent(made, capsys):
    words = ["evaluate", "base", str(made.store.path), "--split", "random", "--report", "r.pdf"]
    assert main(words) == 2
    assert "r.pdf: a report of kind '.pdf'. Expected a name that ends with .html or .md" in capsys.readouterr().err


def test_several_groups_and_no_models(write_store, halves, fake_model, tmp_path):
    """Each group has its columns and stands against the other; without models there is neither map nor strip."""
    gen, labels = np.random.default_rng(0), ["walk", "sit", "wave"] * 16
    models = []
    for name in ("one", "two"):
        model = fake_model(gen.normal(size=(48, 4)), f"runs/{name}", fake_model(gen.normal(size=(48, 4))))
        model.card = {"method": name, "seed": 0}
        models.append(model)
    rows = run.evaluate(models, write_store(labels), ["knn"], halves(48))
    report.write(rows, tmp_path / "r.html")
    read = Reader((tmp_path / "r.html").read_text())
    heads = ["score", "one", "two", "one, untrained", "two, untrained", "hand-crafted", "0 to 1"]
    assert read.rows["scores"][0] == heads
    assert "one against two" in read.texts["scores"]
    assert "map" not in read.texts
    counts = predictions.confusions(rows)
    assert [who.name(True) for who in counts] == heads[1:-1]
    assert all(each.counts.sum() == 24 for each in counts.values())


def test_a_baseline_alone(made, tmp_path):
    words = ["evaluate", "--baseline", made.store.path, "--split", "random", "--report", tmp_path / "r.html"]
    assert main([str(word) for word in words]) == 0
    read = Reader((tmp_path / "r.html").read_text())
    assert read.rows["scores"][0] == ["score", "hand-crafted", "0 to 1"]
    assert "Hand-crafted features on" in read.texts[""]


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1100, "dark")])
def test_a_browser_shows_it(made, width, scheme):
    """No complaint, no request, no sideways scroll but in tables; dark where that is liked."""
    if chromium.program() is None:
        pytest.skip("no Chromium on this machine")
    pytest.importorskip("websockets", reason="a browser is driven over a web socket")
    tab = chromium.Browser(width, 800, width < 500)
    try:
        tab.media(prefers_color_scheme=scheme)
        tab.open(made.page.as_uri())
        tab.until("document.readyState == 'complete' && document.querySelector('#settings')")
        time.sleep(0.2)
        assert tab.run("document.documentElement.scrollWidth") <= width
        colour = tab.run("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", colour)[0]) < 80) == (scheme == "dark")
        assert tab.run("document.querySelectorAll('svg.figures').length") == 18
        assert tab.run("[...document.querySelectorAll('svg')].every(e => e.getBoundingClientRect().width > 0)")
        fill = "getComputedStyle(document.querySelector('polyline')).fill"
        assert tab.run(fill) == "none"
        assert tab.errors == []
        assert tab.hosts == set()
    finally:
        tab.close()


# ------------------------------------------------------------------------------------------------ published figures


@pytest.fixture
def ntu(tmp_path):
    """``ntu(sizes)``: a task on clips that call themselves NTU RGB+D 60, so many for each subject."""

    def make(split: str, clips: int = 4):
        layout = skeleton.layout("ntu25")
        gen = np.random.default_rng(0)
        with Writer(tmp_path / split, layout) as writer:
            for subject in (1, 2, 3, 4):
                for k in range(clips):
                    joints = gen.normal(size=(8, 1, 25, 3))
                    extra = {"dataset": "ntu", "setup": 1, "performance": f"{subject}-{k}"}
                    about = {"subject": str(subject), "camera": "1", "source": f"s{subject}c{k}", "extra": extra}
                    writer.add(Motion(joints, layout, up="+y", unit="m", label="ab"[k % 2], **about))
        return task.make_task(None, kineme.open(writer.path), split)

    return make


def test_figures_of_another_set_do_not_apply(write_store):
    found = published.of(task.make_task(None, write_store(["a", "b"] * 4), "random"))
    assert found == ("", [], "No published figure applies: none is known for this data set and split.")


def test_figures_of_the_split_under_any_name(ntu, monkeypatch):
    """The same test clips, as many as were published: figures with their sources, of recipes too."""
    given = ntu("xsub")
    why = published.of(given).why
    assert "NTU RGB+D 60, x-sub was published with 40,091 training and 16,487 test clips, not 12 and 4" in why
    monkeypatch.setattr(published, "NEAR", 1.0)
    found = published.of(given)
    assert found.title == "NTU RGB+D 60, x-sub"
    figures = {(figure.method, figure.metric): figure for figure in found.figures}
    assert figures["halp", "linear accuracy"].percent == 79.7
    assert "third-party" in figures["halp", "linear accuracy"].source
    assert figures["AimCLR", "linear accuracy"].percent == 74.3
    assert figures["AimCLR", "linear accuracy"].source.startswith("secondary quotation")
    assert figures["hico_transformer", "knn 1-NN"].percent == 68.3
    assert "not yet verified" in figures["hico_transformer", "knn 1-NN"].source


def test_published_figures_stand_beside_ours(ntu, fake_model, monkeypatch, tmp_path):
    monkeypatch.setattr(published, "NEAR", 1.0)
    given = ntu("xsub")
    vectors = np.random.default_rng(0).normal(size=(16, 4))
    model = fake_model(vectors, "runs/a", fake_model(vectors))
    rows = run.evaluate(model, given.store, ["knn"], "xsub", settings={"knn": {"k": (1,)}}, baseline=False)
    report.write(rows, tmp_path / "r.html", [model])
    lines = Reader((tmp_path / "r.html").read_text()).rows["published"]
    assert lines[1] == ["knn 1-NN", "this evaluation", f"{100 * rows[0]['score']:.1f}", "probe knn"]
    assert ["", "hico_transformer", "68.3"] in [line[:3] for line in lines]
    assert not any("semi" in cell for line in lines for cell in line)


def test_every_published_set_is_whole():
    """Each figure is of a set that is described, has a source, and is not in a recipe as well."""
    import tomllib

    from kineme.training import recipe

    tables = tomllib.loads(published.FILE.read_text())
    for figure in tables["figures"]:
        assert set(figure) - {"method", "metric", "source"} <= set(tables["sets"])
        assert figure["source"]
    for key, known in tables["sets"].items():
        assert {"title", "dataset", "split"} <= set(known), key
        assert any(name.endswith(ending) for name in recipe.known() for ending in known["recipes"])


def test_an_ending_is_checked():
    with pytest.raises(InputError, match="that ends with"):
        report.check("report.txt")
    assert report.check("a/report.HTML") == ".html"
