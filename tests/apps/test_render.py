"""The command that draws motion as video."""

from __future__ import annotations

import pytest

import kineme
from kineme.apps.cli import main


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    motions = [m[20:26] for m in kineme.synth.generate(4, actions=["wave", "kick"], subjects=2, cameras=0)]
    return kineme.store(motions, tmp_path_factory.mktemp("motions") / "store", normalise="none")


def test_a_part_is_drawn(store, tmp_path, capsys):
    command = [
        "render",
        store.path,
        tmp_path / "out",
        "--domain",
        "game",
        "--size",
        32,
        "--split",
        "subject=1",
        "--jobs",
        1,
    ]
    assert main([str(word) for word in command]) == 0
    assert "2 clips, 12 pictures of 32 x 32, domain game" in capsys.readouterr().out
    assert set(kineme.open(tmp_path / "out").column("subject")) == {1}


def test_clips_play_side_by_side(store, tmp_path):
    av = pytest.importorskip("av", reason="PyAV writes and reads the videos")
    video = tmp_path / "clips.mp4"
    command = ["render", store.path, tmp_path / "out", "--domain", "real", "--size", 32, "--mp4", video, "--jobs", 1]
    assert main([str(word) for word in command]) == 0
    with av.open(str(video)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 6
    assert frames[0].width > 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--domain", "gam"], "did you mean"),
        (["--domain", "game", "--size", "0"], "size: 0"),
        (["--domain", "game", "--mp4", "clips.gif"], ".mp4"),
    ],
)
def test_bad_input_ends_in_one_sentence(store, tmp_path, capsys, words, said):
    assert main(["render", str(store.path), str(tmp_path / "out"), *words]) == 2
    error = capsys.readouterr().err
    assert said.lower() in error.lower()
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_interrupted_nothing_is_said_to_be_kept(store, tmp_path, capsys, monkeypatch):
    from kineme.data.synth import render

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(render, "draw", interrupted)
    assert main(["render", str(store.path), str(tmp_path / "out"), "--domain", "game", "--jobs", "1"]) == 130
    assert capsys.readouterr().err.split() == ["Interrupted."]
    assert not list(tmp_path.iterdir())
