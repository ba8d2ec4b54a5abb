"""Clips -> vectors: a run's encoder with everything that its input needs, batched and cached."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..data.store import Store
from ..encoders import Encoder
from ..encoders._multi_stream import MultiStream
from ..methods import generator
from ..motion import joint_map, normalise
from ..motion import layout as skeleton
from ..motion.motion import Motion
from ..training import checkpoint, recipe
from ..training.recipe import build_method
from ..utils.errors import InputError
from ..utils.files import atomic, read_json, sha256
from ..utils.progress import Bar
from ..views.augment import Crop, centre_crop, draw_crop
from ..views.batch import Batch
from ..views.source import ClipLoader

RandomCrop = tuple[float, float, int]
"""(lowest, highest fraction of the clip, seed): crops for probes that train on random ones (Shah et al. 2023).
"""


def load(run: str | Path, device: str | None = None) -> Model:
    """Open a finished run.

    Raises:
        InputError: no run there, unfinished, weights that do not fit, or damaged ones.

    Examples:
        >>> kineme.load(run, device="cpu").layout.name
        'ntu25'
    """
    return Model.open(Path(run), device)


class Model:
    """An encoder in evaluation mode with its layout, streams, normalisation and crop.

    Args:
        encoder: the encoder, on its device.
        card: the run's card.
        path: the run's folder, or None.
        hash: identifies the weights.

    Examples:
        >>> model = kineme.load(run, device="cpu")
        >>> model.embed(store).shape == (len(store), model.dim)
        True
    """

    def __init__(self, encoder: Encoder, card: dict[str, Any], path: Path | None, hash: str):
        self.encoder, self.card, self.path, self.hash = encoder.eval(), card, path, hash
        self.layout = skeleton.from_dict(card["layout"])
        self.device = next(encoder.parameters()).device

    @classmethod
    def open(cls, run: Path, device: str | None = None, weights: str = "model.safetensors") -> Model:
        """See :func:`load`; ``weights="initial.safetensors"`` is the encoder before training."""
        card = read_json(run / "card.json", "a run (a folder that `kineme pretrain` wrote)")
        if not isinstance(card, dict) or card.get("kind") != "run":
            raise InputError(
                run,
                f"a {card.get('kind') if isinstance(card, dict) else 'file'!r}",
                "a run",
                "Runs are written by `kineme pretrain`",
            )
        if not (run / weights).exists():
            raise InputError(
                run,
                f"an unfinished run (no {weights})",
                "a finished one",
                f"Resume with: kineme pretrain {card['method']} STORE --out {run} --resume",
            )
        layout = skeleton.from_dict(card["layout"])
        encoder = build_method(recipe.from_card(card), layout, card["coords"], card["persons"], card["seed"]).encoder()
        tensors, _ = checkpoint.load(run / weights)
        checkpoint.restore(encoder, tensors, run / weights)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(encoder.to(device), card, run, sha256(run / weights))

    def untrained(self) -> Model:
        """The run's own encoder before training: same seed, batch-norm statistics of the training clips.

        Examples:
            >>> model.untrained().dim == model.dim
            True
        """
        if self.path is None:
            raise InputError("model", "no run on disk", "a model opened with kineme.load")
        return Model.open(self.path, str(self.device), "initial.safetensors")

    @property
    def dim(self) -> int:
        return self.encoder.dim

    @property
    def streams(self) -> dict[str, slice]:
        """The columns of each stream in a vector; an encoder that is not made of streams is a single one, ``all``."""
        if not isinstance(self.encoder, MultiStream):
            return {"all": slice(0, self.dim)}
        return _columns({name: e.dim for name, e in cast(Mapping[str, Encoder], self.encoder.encoders).items()})

    def embed(
        self,
        what: Store | Motion | Sequence[Motion] | np.ndarray,
        rows: Sequence[int] | np.ndarray | None = None,
        *,
        crop: RandomCrop | None = None,
        batch: int = 256,
        progress: bool = False,
    ) -> np.ndarray:
        """One vector per clip.

        Args:
            what: a store prepared like the run's own; or a Motion, a list of Motions, an array ``[T, M, V, C]`` in
                the run's layout: these are mapped to the run's layout and normalised as its store was.
            rows: rows of the store (default all, in order).
            crop: None takes the run's deterministic centre crop.
            batch: clips at a time.

        Returns:
            float32 ``[N, D]``. Features of a whole store are computed once and kept in ``RUN/cache`` under weights,
            store and crop.

        Raises:
            InputError: another layout, number of coordinates or normalisation than the run's.

        Examples:
            >>> model.embed(store, rows=[0, 1, 2]).shape == (3, model.dim)
            True
            >>> model.embed(motion).shape == (1, model.dim)  # one motion in memory
            True
        """
        clips = self._clips(what)
        cached = self._cache(clips.hash, crop) if isinstance(clips, Store) else None
        if cached is not None and cached.exists():
            features = np.load(cached, mmap_mode="r")
            return np.array(features if rows is None else features[rows])
        chosen = (
            torch.arange(len(clips.lengths)) if rows is None else torch.as_tensor(np.asarray(rows), dtype=torch.int64)
        )
        features = self._run(clips, chosen, crop, batch, progress)
        if cached is not None and rows is None:
            with atomic(cached) as temporary, open(temporary, "wb") as file:
                np.save(file, features)
        return features

    def frames(
        self,
        what: Store | Motion | Sequence[Motion],
        rows: Sequence[int] | np.ndarray | None = None,
        *,
        part: str = "pose",
        batch: int = 4096,
    ) -> tuple[np.ndarray, np.ndarray]:
        """One code per recorded frame, of runs whose method looks at single frames (CV-MIM).

        Args:
            what: as in :meth:`embed`.
            rows: rows of the store (default all, in order).
            part: which of the encoder's codes: ``pose`` or ``view``.
            batch: frames at a time.

        Returns:
            codes: float32 ``[F, D]``, the frames of one clip after those of the other; offsets: int64 ``[n + 1]``,
            where each clip begins. Where nobody is seen a code says nothing.

        Raises:
            InputError: a run that has one vector per clip, no such code, or clips of another kind than the run's.
        """
        if self.card["unit"] != "frame":
            raise InputError(
                self.path or "the model",
                f"a run of {self.card['method']}, which has one vector per clip",
                "a run with a code for every frame (kineme pretrain cv_mim)",
            )
        clips = self._clips(what)
        source = ClipLoader(clips, device=self.device)
        chosen = torch.arange(len(clips.lengths)) if rows is None else torch.as_tensor(np.asarray(rows, np.int64))
        offsets = np.concatenate([[0], clips.lengths[chosen.numpy()].cumsum()]).astype(np.int64)
        found = [self._codes(source, numbers, part) for numbers in source.frame_numbers(chosen).split(batch)]
        return np.concatenate(found), offsets

    @torch.inference_mode()
    def _codes(self, source: ClipLoader, numbers: Tensor, part: str) -> np.ndarray:
        joints, seen = source.poses(numbers)
        parts = self.encoder(Batch(joints[:, None], seen[:, None], numbers)).parts
        if part not in parts:
            raise InputError("part", repr(part), f"one of {', '.join(parts)}")
        return parts[part][:, 0].float().cpu().numpy()

    def fitted(self, motion: Motion) -> Motion:
        """A motion in the run's layout, with the run's normalisation.

        Examples:
            >>> model.fitted(motion).layout.name
            'ntu25'
        """
        if motion.layout.joints != self.layout.joints:
            mapping = joint_map.joint_map(motion.layout, self.layout)
            if len(mapping.missing) == len(self.layout):
                raise InputError(
                    motion.source or "motion",
                    f"no joint of layout {self.layout.name} found in {motion.layout.name}",
                    "joints with known names",
                )
            motion = motion.to_layout(mapping)
        return normalise.apply(motion, self.card["normalise"])

    def _clips(self, what: Store | Motion | Sequence[Motion] | np.ndarray) -> Any:
        """What is to be embedded, as something that a source can be made of."""
        if isinstance(what, np.ndarray):
            what = Motion(what, self.layout)
        if isinstance(what, Motion):
            what = [what]
        clips = what if isinstance(what, Store) else _gathered([self.fitted(m) for m in what], self.layout)
        self._check(clips)
        return clips

    def _check(self, clips: Any) -> None:
        where = getattr(clips, "path", "clips")
        if clips.layout.joints != self.layout.joints:
            raise InputError(
                where,
                f"layout {clips.layout.name} ({len(clips.layout)} joints)",
                f"layout {self.layout.name} ({len(self.layout)} joints) as in {self.path or 'the model'}",
                f"Prepare it with: kineme prepare SRC DEST --layout {self.layout.name}",
            )
        if clips.frames.shape[3] != self.card["coords"]:
            raise InputError(
                where,
                f"{clips.frames.shape[3]} coordinates per joint",
                f"{self.card['coords']} as in {self.path or 'the model'}",
            )
        if isinstance(clips, Store):
            has, wants = (
                (card["normalise"].get("how"), card["normalise"].get("options", {})) for card in (clips.card, self.card)
            )
            if has != wants:
                raise InputError(
                    where,
                    f"normalised by {has[0]!r} {has[1] or ''}",
                    f"{wants[0]!r} {wants[1] or ''} as in {self.path or 'the model'}",
                    f"Prepare it with: kineme prepare SRC DEST --normalise {wants[0]}",
                )

    def _cache(self, data: str, crop: RandomCrop | None) -> Path | None:
        if self.path is None:
            return None
        key = json.dumps([self.hash, data, crop, self.card["crop"]])
        return self.path / "cache" / f"{sha256(key.encode())[:24]}.npy"

    @torch.inference_mode()
    def _run(self, clips: Any, rows: Tensor, crop: RandomCrop | None, batch: int, progress: bool) -> np.ndarray:
        faithful = bool(self.card["recipe"]["method"].get("faithful"))
        source = ClipLoader(clips, self.device, faithful=faithful)
        out = np.empty((len(rows), self.dim), np.float32)
        gen = generator("crop", *crop) if crop else None
        with Bar("embed", len(rows), progress) as bar:
            for begin in range(0, len(rows), batch):
                index = rows[begin : begin + batch]
                cut = self._crop(source, index, crop, gen)
                features = self.encoder(source.gather(index, cut.start, cut.length, self.card["crop"]["frames"]))
                out[begin : begin + len(index)] = features.clip.float().cpu().numpy()
                bar.update(begin + len(index))
        return out

    def _crop(self, source: ClipLoader, index: Tensor, crop: RandomCrop | None, gen: torch.Generator | None) -> Crop:
        lengths = source.lengths[index]
        if crop is None or gen is None:
            return centre_crop(lengths, self.card["crop"]["ratio"])
        return draw_crop(lengths, gen, crop[0], crop[1], min_frames=self.card["crop"]["frames"])


def _columns(widths: Mapping[str, int]) -> dict[str, slice]:
    """Where each of these stands when they are put side by side."""
    ends = itertools.accumulate(widths.values())
    return {name: slice(end - width, end) for (name, width), end in zip(widths.items(), ends)}


@dataclass
class _Clips:
    """A few clips in memory, with the attributes that a source asks of a store."""

    frames: np.ndarray
    confidence: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray
    layout: skeleton.Layout


def _gathered(motions: Sequence[Motion], layout: skeleton.Layout) -> _Clips:
    if not motions:
        raise InputError("motions", "an empty list", "at least one Motion")
    persons = max(m.persons for m in motions)

    def stacked(arrays: Iterable[np.ndarray]) -> np.ndarray:
        return np.concatenate(
            [np.pad(a, [(0, 0), (0, persons - a.shape[1])] + [(0, 0)] * (a.ndim - 2)) for a in arrays]
        )

    lengths = np.array([len(m) for m in motions])
    return _Clips(
        stacked(m.joints for m in motions),
        stacked(m.confidence for m in motions),
        lengths,
        np.concatenate([[0], np.cumsum(lengths)]),
        layout,
    )
