"""Vectors of a store by the workers of a Ray cluster: the batches of one process, so the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..data.store import Store
from ..nn import matmul
from ..training import bundled
from ..utils import ray_cluster
from ..utils.errors import InputError
from ..utils.progress import Bar, Show
from ..views.source import ClipLoader
from . import taken
from .model import BATCH, CODES, Model, load

TOGETHER = 8  # batches that a worker makes at a time: some tenths of a second, else it waits for its next ones
Batch = tuple[bool, int, int, int]  # single frames (or clips), the first one, the one behind the last, how many at once


def embed(
    model: Model, store: Store, address: str, progress: Show = False
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """What :meth:`Model.embed` and, of runs that look at single frames, :meth:`Model.frames` make of a store.

    Every worker opens run and store, which all machines see under the same paths, once, and computes on one thread of a
    CPU: on like processors the vectors are to the last bit those of one process with one thread.

    Args:
        model: a run on a CPU.
        store: the clips; they stay in their memory map.
        address: of the cluster (:func:`kineme.utils.ray_cluster.check`).
        progress: show a bar.

    Returns:
        float32 ``[N, D]``, from the cache of the run where they are there; codes and offsets, or None.

    Raises:
        InputError: a model that is not a run on a CPU, clips that it cannot take, workers that do not see run or store.

    Examples:
        >>> vectors, codes = embed(kineme.load(run, "cpu"), store, "local")  # doctest: +SKIP
    """
    ray_cluster.check(address)
    if model.device.type != "cpu":
        hint = "Open it so: kineme.load(RUN, device='cpu')"
        raise InputError("--ray", f"a model on {model.device}", "a model on the CPU, where workers compute", hint)
    if model.path is None:
        raise InputError("model", "no run on disk", "a model opened with kineme.load, which workers can open")
    if _by_parts(model, store):
        ends, cache = store.offsets, None
        source = _part(model, store, 0, 1)
    else:
        clips = model._clips(store)
        ends, cache = np.concatenate([[0], np.cumsum(clips.lengths)]).astype(np.int64), model._cache(clips, None)
        source = model._loader(clips, resident=False)
    kept = None if cache is None else cache.read()
    vectors = np.empty((len(store), model.dim), np.float32) if kept is None else kept
    codes: np.ndarray | None = None
    work = _batches(False, 0 if kept is not None else len(store), model._at_a_time(source, BATCH))
    work += _batches(True, int(ends[-1]) if model.card["unit"] == "frame" else 0, CODES)
    give = _Opening(_named(model), model.hash, str(store.path.absolute()), store.hash, matmul.path())
    done = 0
    with Bar("embed", sum(end - begin for _, begin, end, _ in work), progress) as bar:
        for number, numbers in ray_cluster.each(give, dict(enumerate(work)), address):
            single, begin, end, _ = work[number]
            found = np.frombuffer(numbers, np.float32).reshape(end - begin, -1)
            if single and codes is None:
                codes = np.empty((int(ends[-1]), found.shape[1]), np.float32)
            (codes if single else vectors)[begin:end] = found  # type: ignore[index]
            done += end - begin
            bar.update(done)
    if cache is not None and kept is None:
        cache.write(vectors)
    return vectors, None if codes is None else (codes, ends)


@dataclass(frozen=True)
class _Opening:
    """What a worker has to know of run and store; called, it opens them and gives the function that embeds a batch, the
    float32 of its vectors or codes.
    """

    run: str
    weights: str
    store: str
    content: str
    way: str

    def __call__(self) -> Callable[[Batch], bytes]:
        torch.set_num_threads(1)
        model, store = load(self.run, "cpu"), Store(self.store)
        for path, found, said in ((self.run, model.hash, self.weights), (self.store, store.hash, self.content)):
            if found != said:
                raise InputError(path, "another on a machine of the cluster", "the same under this path everywhere")
        by_parts = _by_parts(model, store)
        whole = None if by_parts else model._loader(model._clips(store), resident=False)

        def embedded(work: Batch) -> bytes:
            single, begin, end, many = work
            source = _part(model, store, begin, end) if whole is None else whole
            numbers = torch.arange(begin, end) if whole is not None else torch.arange(end - begin)
            make = model._codes if single else model._vectors
            with matmul.taking(self.way):
                found = [make(source, batch) for batch in numbers.split(many)]
            return np.concatenate(found).astype(np.float32, copy=False).tobytes()

        return embedded


def _by_parts(model: Model, store: Store) -> bool:
    """Whether clips are mapped to the run's layout as they are embedded: a worker would else map them all at first."""
    return model.card["unit"] != "frame" and model._cleaning is None and model._maps(store)


def _part(model: Model, store: Store, begin: int, end: int) -> ClipLoader:
    clips = model._mapped_part(store, begin, end)
    taken.check(clips, model.layout, model.card, model.path)
    return model._loader(clips, resident=False)


def _batches(single: bool, count: int, many: int) -> list[Batch]:
    span = many * TOGETHER
    return [(single, begin, min(begin + span, count), many) for begin in range(0, count, span)]


def _named(model: Model) -> str:
    """Weights that come along by their name, which holds wherever Kineme is installed; a run by its path."""
    path = Path(model.path or "")
    return path.name if bundled.is_bundled(path) else str(path.absolute())
