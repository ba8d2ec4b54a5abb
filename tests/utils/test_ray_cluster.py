"""Items for the workers of a Ray cluster: each once, in whatever order, also when a machine is lost."""

from __future__ import annotations

import json
import os
import sys

import pytest
from helpers import ray_nodes
from helpers.ray_nodes import doubting, faulty, refusing, squaring

from kineme.utils import ray_cluster
from kineme.utils.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def machines():
    with ray_nodes.machines() as both:
        yield both


def test_every_item_once_with_what_is_loaded_kept(machines):
    found = {k: json.loads(said) for k, said in ray_cluster.each(squaring, {k: k for k in range(12)}, machines.address)}
    assert {number: result[0] for number, result in found.items()} == {k: k * k for k in range(12)}
    assert len({begun for _, _, begun, _ in found.values()}) == len({node for _, node, _, _ in found.values()}) <= 2
    assert {folder for *_, folder in found.values()} == {os.getcwd()}


def test_a_machine_that_is_lost_costs_nothing(machines):
    results, victims = {}, []
    for number, said in ray_cluster.each(squaring, {k: k for k in range(40)}, machines.address):
        results[number] = json.loads(said)
        if len({node for _, node, _, _ in results.values()}) == 2 and not victims:
            victims = machines.kill()
    assert victims, "both machines were to have worked"
    assert {number: result[0] for number, result in results.items()} == {k: k * k for k in range(40)}
    machines.again()


@pytest.mark.parametrize(("make", "where"), [(refusing, "run"), (doubting, "item 3")])
def test_bad_input_on_a_worker_is_bad_input_here(machines, make, where):
    with pytest.raises(InputError, match=f"^{where}: "):
        list(ray_cluster.each(make, {k: k for k in range(6)}, machines.address))


def test_a_fault_of_the_code_shows_its_place(machines):
    with pytest.raises(Exception, match=r"(?s)ray_nodes\.py.*ZeroDivisionError") as caught:
        list(ray_cluster.each(faulty, {0: 1, 1: 0}, machines.address))
    assert not isinstance(caught.value, InputError)


def test_another_version_on_a_worker(machines, monkeypatch):
    monkeypatch.setattr(ray_cluster, "__version__", "0.0.0")
    with pytest.raises(InputError, match=r"--ray: Kineme .* Expected 0\.0\.0, as here, on every machine"):
        list(ray_cluster.each(squaring, {0: 0}, machines.address))


def test_given_up_halfway(machines):
    for _ in ray_cluster.each(squaring, {k: k for k in range(20)}, machines.address):
        break
    import ray

    assert not ray.is_initialized(), "a connection is left"


def test_one_that_is_there_is_taken_and_left(machines):
    with ray_cluster.joined(machines.address) as ray:
        assert dict(ray_cluster.each(doubting, {0: 7}, "local")) == {0: b"\7"}
        assert ray.is_initialized()
        assert len(ray.nodes()) >= 2
    assert not ray.is_initialized()


def test_the_one_of_this_machine(machines, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", machines.address)  # others may run here
    assert dict(ray_cluster.each(doubting, {0: 7}, "auto")) == {0: b"\7"}


def test_one_that_starts_here():
    pytest.importorskip("ray.data", reason=ray_nodes.WHY)
    with ray_cluster.joined("local", 1) as ray:
        assert int(ray.cluster_resources()["CPU"]) == 1
    assert not ray.is_initialized()


def test_nothing_to_do():
    assert not list(ray_cluster.each(squaring, {}, "local"))


@pytest.mark.parametrize("address", ["127.0.0.1:9", "[::1]:9", "127.0.0.1:99999"])
def test_no_cluster_there(address):
    pytest.importorskip("ray.data", reason=ray_nodes.WHY)
    with pytest.raises(InputError, match=r"--ray: no cluster at .*ray start --head"):
        list(ray_cluster.each(squaring, {0: 0}, address))


@pytest.mark.parametrize("address", ["raw", "my/raw", "ray://host:10001", "", "host:port"])
def test_no_address(address):
    with pytest.raises(InputError, match=r"Expected local, auto or HOST:PORT\. Write --ray behind the files"):
        ray_cluster.check(address)


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "ray.data", raising=False)
    with pytest.raises(InputError, match=r"--ray: the package ray is not installed.*pip install 'kineme\[cluster\]'"):
        ray_cluster.check("local")
