"""The benchmark runs, and both sides of every case compute the same. No time is looked at: that is `kineme bench`."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.training import kineme

from kineme.utils import hardware

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def run():
    """The runner, imported as it imports itself: beside its neighbours."""
    sys.path.insert(0, str(BENCH))
    try:
        return importlib.import_module("run")
    finally:
        sys.path.remove(str(BENCH))


@pytest.fixture
def measure(run, monkeypatch, tmp_path):
    """How cases are measured: no longer than needed, and without the record of the checkout."""
    module = sys.modules["measure"]
    monkeypatch.setattr(hardware, "gflops", lambda multiply, *args, **kwargs: 100.0)
    monkeypatch.setattr(module, "SHORTEST", 0.0)
    monkeypatch.setattr(module, "RECORD", tmp_path / "recorded.json")
    return module


def rows(run, tmp_path, *words):
    """Rows of a quick run, which must end well."""
    assert run.main([*words, "--quick", "--rounds", "1", "--json", str(tmp_path / "rows.json")]) == 0
    return json.loads((tmp_path / "rows.json").read_text())["rows"]


def test_every_part_runs_and_its_sides_agree(run, measure, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(hardware, "bf16", lambda: False)
    monkeypatch.setattr(sys.modules["memory"], "peaks", lambda bench: (123.0, 456.0))  # has a test of its own
    found = rows(run, tmp_path)
    assert {row["part"] for row in found} == set(run.PARTS)
    assert all(row["equal"] and row["difference"] <= row["bound"] for row in found)
    # a clustering is compared by its inertia: another draw of equal worth is no fault; of P-HLVC's step it is float32
    # and indexes of faiss may miss a neighbour
    allowed = {"prototypes": 0.02, "p_hlvc": 1e-3, "search": 0.1}
    assert all(row["bound"] <= allowed.get(row["part"], 1e-4) for row in found)
    assert all(row["difference"] == 0 for row in found if row["part"] in ("reader", "knn"))
    assert len({measure._key(row) for row in found}) == len(found)
    for row in found:
        values = [*row["ours"], *row["reference"], *row["ratio"], row["product_gflops"]]
        assert np.isfinite(values).all()
        assert min(values) > 0
    with_products = {row["part"] for row in found if row["share_of_limit"]}
    assert with_products == {"encoder", "step", "hico", "knn"}
    assert any(row["share_of_step"] for row in found if row["part"] == "pipeline")
    assert [row["name"].partition(",")[0] for row in found if row["peaks_mb"]] == ["P-HLVC step"]
    text = capsys.readouterr().out
    assert all(row["name"] in text for row in found)
    assert "peak memory 123 against 456 MB" in text
    assert "DIFFERS" not in text


def test_bf16_only_where_the_processor_has_it(run, measure, monkeypatch, tmp_path):
    monkeypatch.setattr(hardware, "bf16", lambda: True)
    names = [row["name"] for row in rows(run, tmp_path, "step")]
    assert [name.rpartition(", ")[2] for name in names] == ["fp32", "bf16"]
    assert len({name.rpartition(", ")[0] for name in names}) == 1


@pytest.mark.parametrize(("place", "wanted"), [(0, set()), (1, {0.1})], ids=["gru", "transformer"])
def test_a_step_of_hico_is_compared_without_dropout_but_timed_with_it(run, monkeypatch, tmp_path, place, wanted):
    monkeypatch.setattr(hardware, "bf16", lambda: False)
    case = list(run.hico(run.Bench(run.QUICK, tmp_path)))[place]
    assert case.difference <= case.bound == 1e-4  # with dropout on either side it would be thousands of times as much
    for side in (case.ours.func.__self__.method, case.reference.args[0]):
        assert {part.p for part in side.modules() if isinstance(part, torch.nn.Dropout)} == wanted
        assert {part.dropout for part in side.modules() if isinstance(part, torch.nn.MultiheadAttention)} == wanted


@pytest.mark.parametrize(
    ("part", "where", "name", "wrong"),
    [
        ("p_hlvc", "kineme.methods.p_hlvc", "swapped", lambda *args: args[1].mean()),
        ("p_hlvc", "kineme.methods.p_hlvc", "assign", lambda rows, prototypes, *args, **more: rows @ prototypes.T),
        ("p_hlvc", "kineme.encoders.motion_image", "in_image", lambda joints, sizes: joints / 100),
        ("simclr", "kineme.encoders.fused", "WIDEST", 0.5),
        ("simclr", "kineme.nn.contrastive", "linear", lambda a, b: 0.9 * a @ b.T),
    ],
)
def test_another_network_or_loss_is_no_agreement(run, monkeypatch, tmp_path, part, where, name, wrong):
    monkeypatch.setattr(sys.modules["memory"], "peaks", lambda bench: None)
    monkeypatch.setattr(importlib.import_module(where), name, wrong)
    case = next(run.PARTS[part](run.Bench(run.QUICK, tmp_path)))
    assert case.bound < case.difference < float("inf")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell the peak of memory")
def test_the_memory_of_a_step_is_that_of_a_process_of_its_own(run, tmp_path):
    ours, reference = sys.modules["memory"].peaks(run.Bench(run.QUICK, tmp_path))
    assert all(100 < megabytes < 3000 for megabytes in (ours, reference))  # torch itself takes some 300


def test_one_and_two_threads(run, measure, monkeypatch, tmp_path):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = rows(run, tmp_path, "pipeline")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert [row["threads"] for row in found] == [1, 2]
    assert [row["share_of_step"] is None for row in found] == [True, False]


def test_a_wrong_result_is_shouted_and_fails(run, measure, monkeypatch, tmp_path, capsys):
    right = run.nearest.neighbours
    monkeypatch.setattr(run.nearest, "neighbours", lambda *args: right(*args) + 1)
    assert run.main(["knn", "--quick", "--rounds", "1"]) == 1
    assert "DIFFERS" in capsys.readouterr().out


@pytest.mark.parametrize(("made", "allowed"), [(float("nan"), False), (0.0, True)])
def test_a_difference_that_is_not_a_number_is_no_agreement(run, measure, made, allowed):
    difference = run.largest(torch.tensor([0.0, made]), np.zeros(3))
    case = measure.Case("nothing", 1, list, list, difference, 1.0, "call")
    assert measure.measure(case, 1)["equal"] is allowed


def test_sides_take_turns_and_ratios_are_paired(measure, monkeypatch):
    seconds = {"ours": iter([1.0, 2.0, 4.0]), "reference": iter([3.0, 2.0, 20.0]), "step": iter([10.0, 10.0, 10.0])}
    order = []

    def clock(work, calls):
        order.append(side := work())
        return next(seconds[side])

    monkeypatch.setattr(measure, "calls_for", lambda work: 1)
    monkeypatch.setattr(measure, "clock", clock)
    case = measure.Case("x", 1, lambda: "ours", lambda: "reference", 0.0, 0.0, "call", flops=1e11, step=lambda: "step")
    row = measure.measure(case, 3)
    turn = ["ours", "reference", "step"]
    assert order == [*turn, *turn[::-1], *turn]
    assert row["ratio"] == [3.0, 1.0, 5.0]
    assert row["ours"] == [2.0, 1.0, 4.0]
    assert row["share_of_limit"] == pytest.approx(0.5)  # 100 GFLOP in 2 s, where products reach 100 GFLOP/s
    assert row["share_of_step"] == pytest.approx(0.2)


def test_a_drop_against_the_record_is_marked(measure):
    def row(name, ratio, threads=1):
        return {"name": name, "threads": threads, "ratio": [ratio, ratio, ratio]}

    measure.record([row("a", 4.0), row("b", 2.0)], "this processor")
    measure.record([row("b", 3.0)], "this processor")
    measure.record([row("a", 9.0)], "another")
    cases = [
        (row("a", 2.9), 4.0, False),
        (row("a", 2.7), 4.0, True),
        (row("b", 2.0), 3.0, True),
        (row("c", 0.1), None, False),
        (row("a", 0.1, threads=2), None, False),
    ]
    for measured, recorded, dropped in cases:
        measure.compare(measured, "this processor")
        assert (measured["recorded"], measured["dropped"]) == (recorded, dropped)


@pytest.mark.parametrize("words", [["nothing"], ["--rounds", "0"], ["--quick", "--record"]])
def test_bad_arguments(run, words, capsys):
    with pytest.raises(SystemExit) as left:
        run.main(words)
    assert left.value.code == 2
    assert ("nothing" if words == ["nothing"] else words[0]) in capsys.readouterr().err


def test_the_command_line_reaches_it(tmp_path):
    done = kineme("bench", "reader", "--rounds", 1, "--json", tmp_path / "rows.json")
    assert ".skeleton" in done.stdout
    found = json.loads((tmp_path / "rows.json").read_text())
    assert [row["rounds"] for row in found["rows"]] == [1] * len(found["rows"])
    assert found["machine"]["torch"] == torch.__version__
