"""The benchmark of two domains: who and what is in which store."""

from __future__ import annotations

import collections

import pytest

import kineme
from kineme import InputError
from kineme.data import splits
from kineme.data.synth import two_domains
from kineme.data.synth.two_domains import CLASSES, OTHERS, SPLIT, Size

TINY = Size(pretrain=6, people=2, repetitions=1, common=2, rarest=0.5, side=32, fps=5.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("domains")
    recording = next(iter(kineme.synth.generate(1, actions=["run"], cameras=0, fps=60.0, seed=9)))
    others = kineme.store([recording], folder / "recorded", normalise="none")
    return folder, others, two_domains.write(folder, TINY, seed=1, others=[others])


def test_ten_classes_by_other_people_in_each_domain(made):
    game, real = made[2]["game"], made[2]["real"]
    assert len(CLASSES) == 10
    assert set(game.column("label")) == set(real.column("label")) == set(CLASSES)
    assert (set(game.column("domain")), set(real.column("domain"))) == ({"game"}, {"real"})
    assert not set(game.column("subject")) & set(real.column("subject"))
    assert not set(game.column("performance")) & set(real.column("performance"))
    assert game.layout == real.layout == kineme.layout("openpose18")


def test_parts_are_split_by_people_and_only_the_training_part_of_real_is_imbalanced(made):
    for name in ("game", "real"):
        store = made[2][name]
        part, people, labels = splits.split(store, SPLIT), store.column("subject"), store.column("label")
        assert sorted([*part.train, *part.test]) == list(range(len(store)))
        assert not set(people[part.train]) & set(people[part.test])
        assert set(collections.Counter(labels[part.test]).values()) == {1}
        assert set(collections.Counter(labels[part.train]).values()) == ({1} if name == "game" else {1, 2})


def test_pretraining_sees_other_motions_of_both_domains_without_labels(made):
    store = made[2]["pretrain"]
    assert not set(OTHERS) & set(CLASSES)
    assert set(store.column("label")) == {None}
    assert collections.Counter(store.column("domain")) == {"game": 2, "real": 2}  # 3 synthetic ones, 1 recorded
    assert "recorded" in set(store.column("dataset"))
    assert store.has_pictures


def test_the_gap_is_measured_on_people_who_taught_nothing(made):
    """Against itself a store is no stranger: half of its clips have been learnt by heart."""
    game = made[2]["game"]
    for here, there in two_domains.gap(game, game).values():
        assert 0 <= here <= there
        assert there >= 0.5


def test_what_is_there_is_kept_and_another_seed_refused(made):
    folder, others, first = made

    def unexpected(*_: object) -> None:
        raise AssertionError("drawn again")

    again = two_domains.write(folder, TINY, seed=1, others=[others], progress=unexpected)
    assert {name: store.hash for name, store in again.items()} == {name: store.hash for name, store in first.items()}
    with pytest.raises(InputError, match="another seed or size"):
        two_domains.write(folder, TINY, seed=2, others=[others])


def test_the_full_size_has_sixty_clips_of_every_class_and_domain(monkeypatch):
    monkeypatch.setattr(two_domains, "FPS", 5.0)  # fewer frames, as many clips
    for name in ("game", "real"):
        labels = collections.Counter(motion.label for motion in two_domains._labelled(two_domains.FULL, 0, name))
        assert min(labels.values()) >= 60
        assert set(labels) == set(CLASSES)
