"""Clips -> vectors: a run's encoder with everything that its input needs, batched and cached."""

from __future__ import annotations

import functools
import itertools
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import torch
from torch import Tensor

from .. import io
from ..data import conform
from ..data import store as stores
from ..data.store import Store, row_numbers
from ..encoders import Encoder
from ..encoders._multi_stream import MultiStream
from ..methods import generator
from ..motion import clean, size
from ..motion.clean import Cleaning
from ..motion.fit import Target
from ..motion.motion import Motion
from ..training import bundled
from ..training import card as cards
from ..utils import hardware, registry, settings
from ..utils.errors import InputError
from ..utils.files import as_path, sha256
from ..utils.progress import Bar, Show
from ..views.augment import Crop, centre_crop, draw_crop
from ..views.batch import Batch
from ..views.source import ClipLoader
from ..views.video_clips import VideoViewSettings, middle_view, test_clips
from . import long_takes, rebuild, taken
from .cache import Cache
from .long_takes import Windows
from .memory_clips import MemoryClips, gathered

WINDOWS = 10  # of a video, whose vectors are averaged (Schneider et al. 2022)
BATCH, CODES = 256, 4096  # clips, single frames that are embedded at a time
FILMS = 16  # videos that are embedded at a time: pictures take much memory
RandomCrop = tuple[float, float, int]
"""(lowest, highest fraction of the clip, seed): crops for probes that train on random ones (Shah et al. 2023).
"""
Clips = Store | Motion | np.ndarray | str | os.PathLike | Sequence[Motion | np.ndarray | str | os.PathLike]
"""What a model embeds: see :meth:`Model.embed`."""


def load(run: str | os.PathLike | Model, device: str | None = None) -> Model:
    """Open a finished run, or the weights that come with Kineme by their name. One that is open is given back.

    Raises:
        InputError: no run there, unfinished, weights that do not fit, or damaged ones.

    Examples:
        >>> kineme.load(run, device="cpu").layout.name
        'ntu25'
    """
    return run if isinstance(run, Model) else Model.open(bundled.folder(as_path(run, "a run")), device)


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
        self.target = Target.of(card)
        self.layout = self.target.layout
        self.device = next(encoder.parameters()).device

    @classmethod
    def open(cls, run: Path, device: str | None = None, weights: str = "model.safetensors") -> Model:
        """See :func:`load`; ``weights="initial.safetensors"`` is the encoder before training."""
        device = hardware.device(device)
        card = cards.read(run)
        if not (run / weights).exists():
            raise InputError(
                run,
                f"an unfinished run (no {weights})",
                "a finished one",
                f"Resume with: kineme pretrain {card['method']} STORE --out {run} --resume",
            )
        encoder = rebuild.encoder(card, run, run / weights)
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

    @overload
    def embed(
        self,
        what: Clips,
        rows: Any = None,
        *,
        crop: RandomCrop | None = None,
        batch: int = BATCH,
        progress: Show = False,
    ) -> np.ndarray: ...

    @overload
    def embed(self, what: Clips, *, window: float, step: float | None = None, batch: int = BATCH) -> Windows: ...

    def embed(
        self,
        what: Clips,
        rows: Any = None,
        *,
        crop: RandomCrop | None = None,
        batch: int = BATCH,
        progress: Show = False,
        window: float | None = None,
        step: float | None = None,
    ) -> np.ndarray | Windows:
        """One vector per clip or, of long recordings, one for each window.

        Args:
            what: a store prepared like the run's own, or its folder; or a Motion, an array ``[T, V, C]`` or
                ``[T, M, V, C]`` in the run's layout, the path of a motion file (each of its clips), or a list of these:
                they are mapped to the run's layout by joint name and normalised as its store was.
                Bodies are brought to the size of the run's (:mod:`kineme.motion.size`); those that fit no unit are
                scaled by their torso, but for arrays and in runs that are ``faithful``: these stay.
            rows: some clips only: row numbers, or a mask bool ``[N]`` (default all, in order).
            crop: None takes the run's deterministic centre crop.
            batch: clips at a time.
            window, step: seconds: a vector for each window of a motion instead (not of a store), every ``step`` one
                (half a window), the last one ending with the motion.

        Returns:
            float32 ``[N, D]``; of a run that sees videos the mean over evenly spaced windows. With ``window`` the
            vectors with their times (:class:`kineme.inference.long_takes.Windows`).
            Features of a whole store are computed once and kept in ``RUN/cache`` (where that can be
            written) under all that they depend on: weights, store, crop, settings, precision and code.

        Raises:
            InputError: another layout, number of coordinates or normalisation than the run's; rows that are not there.

        Examples:
            >>> model.embed(store, rows=[0, 1, 2]).shape == (3, model.dim)
            True
            >>> model.embed(store.path, rows=store.column("label") == "wave").shape[0] > 0  # a mask
            True
            >>> model.embed(motion).shape == (1, model.dim)  # one motion in memory
            True
            >>> model.embed([motion, motion.joints[:, 0]]).shape == (2, model.dim)  # a list, arrays among it
            True
            >>> found = model.embed(motion, window=1.0, step=0.5)
            >>> found.vectors.shape == (len(found.times), model.dim), found.times[0].tolist()
            (True, [0.0, 1.0])
        """
        _check_batch(batch)
        if window is not None or step is not None:
            return self._windows(what, window, step, batch)
        clips = self._clips(what)
        chosen = row_numbers(rows, len(clips.lengths))
        cache = self._cache(clips, crop)
        if cache is not None and (features := cache.read()) is not None:
            return features if rows is None else features[chosen]
        features = self._run(clips, torch.from_numpy(chosen), crop, batch, progress)
        if cache is not None and rows is None:
            cache.write(features)
        return features

    def _windows(self, what: Clips, window: float | None, step: float | None, batch: int) -> Windows:
        if window is None:
            raise InputError("step", f"{step!r} without a window", "window= beside it")
        if isinstance(what, Store) or (isinstance(what, (str, os.PathLike)) and _is_store(Path(what))):
            found, hint = "a store, whose clips are cut already", "kineme prepare --window, or kineme index, cut them"
            raise InputError("window", found, "motions or motion files", hint)
        motions = [self._cleaned(motion) for motion in self.motions(what)]
        parts, clips, times = long_takes.cut(motions, window, step)
        fit = gathered([self._fit(part) for part in parts], self.layout)
        taken.check(fit, self.layout, self.card, self.path)
        return Windows(self._run(fit, torch.arange(len(parts)), None, batch, False), clips, times)

    def frames(
        self,
        what: Clips,
        rows: Any = None,
        *,
        part: str = "pose",
        batch: int = CODES,
    ) -> tuple[np.ndarray, np.ndarray]:
        """One code per recorded frame, of runs whose method looks at single frames (CV-MIM).

        Args:
            what: as in :meth:`embed`.
            rows: as in :meth:`embed`.
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
        _check_batch(batch)
        clips = self._clips(what)
        source = self._loader(clips)
        chosen = torch.from_numpy(row_numbers(rows, len(clips.lengths)))
        offsets = np.concatenate([[0], clips.lengths[chosen.numpy()].cumsum()]).astype(np.int64)
        numbers = source.frame_numbers(chosen).split(batch)
        return np.concatenate([self._codes(source, some, part) for some in numbers]), offsets

    @torch.inference_mode()
    def _codes(self, source: ClipLoader, numbers: Tensor, part: str = "pose") -> np.ndarray:
        joints, seen = source.poses(numbers)
        parts = self.encoder(Batch(joints[:, None], seen[:, None], numbers)).parts
        if part not in parts:
            raise InputError("part", repr(part), f"one of {', '.join(parts)}")
        return parts[part][:, 0].float().cpu().numpy()

    def loader(self, what: Clips) -> ClipLoader:
        """The clips for the encoder, as :meth:`embed` gives them to it.

        Args:
            what: as in :meth:`embed`.

        Raises:
            InputError: as :meth:`embed`.

        Examples:
            >>> model.loader(store).lengths.shape[0] == len(store)
            True
        """
        return self._loader(self._clips(what))

    def fitted(self, motion: Motion | np.ndarray | str | os.PathLike) -> Motion:
        """A motion in the run's layout, with the run's normalisation, its body of the size that the run's are.

        Args:
            motion: also an array in the run's layout, or the path of a file that holds one motion.

        Raises:
            InputError: none of the run's joints is among those of the motion.

        Examples:
            >>> model.fitted(motion).layout.name
            'ntu25'
        """
        if isinstance(motion, (str, os.PathLike)):
            motion = io.read(motion, image=self._in_image)
        if not isinstance(motion, Motion):
            motion = self._from_array(motion)
        return self._fit(self._cleaned(motion))

    def _cleaned(self, motion: Motion) -> Motion:
        return motion if self._cleaning is None else clean.timeless(motion, self._cleaning)

    def _fit(self, motion: Motion) -> Motion:
        mapping = self.target.map(motion.layout)
        if mapping is not None:
            if len(mapping.missing) == len(self.layout):
                raise InputError(
                    motion.source or "motion",
                    f"none of the run's joints is among its own ({taken.some(motion.layout.joints)})",
                    f"joints called as in {self.path or 'the model'}, or by other known names: "
                    f"{taken.some(self.layout.joints)}",
                    "Rename them, or name them in a map file (kineme embed --joints FILE)",
                )
            motion = motion.to_layout(mapping)
        return self.target.fit(motion)

    def _clips(self, what: Clips) -> Any:
        """What is to be embedded, as something that a source can be made of."""
        if isinstance(what, (str, os.PathLike)) and _is_store(Path(what)):
            what = stores.opened(what)
        if isinstance(what, Store) and self._maps(what):
            fit: Any = self._mapped(what)
        elif isinstance(what, Store):
            fit = what
            torso = (what.card.get("size") or {}).get("torso")
            self._compare([torso] if torso else [], [str(what.path)])
        else:
            motions = [self.fitted(motion) for motion in self.motions(what)]
            fit = gathered(motions, self.layout)
            measured = [size.measure(motion) for motion in motions] if self._torso else []
            self._compare([m.torso if m.seen else self._torso for m in measured], [m.source for m in motions])
        taken.check(fit, self.layout, self.card, self.path)
        return fit

    def _mapped(self, store: Store) -> MemoryClips:
        """The clips of a store that the run's joints are made from."""
        if self._cleaning is not None:  # by seconds, clip by clip
            return gathered([self.fitted(motion) for motion in store], self.layout)
        return self._mapped_part(store, 0, len(store))

    def _mapped_part(self, store: Store, first: int, last: int) -> MemoryClips:
        """Some clips of such a store; they are those of :meth:`_mapped` where nothing is cleaned."""
        offsets = store.offsets[first : last + 1] - store.offsets[first]
        joints, seen = conform.fitted(store, self.target, first, last)
        return MemoryClips(joints, seen, store.lengths[first:last], offsets, self.layout)

    def _maps(self, store: Store) -> bool:
        """Whether a store of another layout has most of the run's joints, so that its clips are fitted."""
        if store.coords != self.card["coords"] or not self.target.odd:
            return False
        mapping = self.target.map(store.layout)
        if mapping is None or len(mapping.missing) > len(self.layout) / 2:
            return False
        there, left = f"{store.layout.name} mapped to the run's {self.layout.name}", len(mapping.unused)
        lacking = f", without {taken.some(mapping.missing)}" if mapping.missing else ""
        warnings.warn(f"{store.path}: joints of {there}, {left} unused{lacking}", stacklevel=4)
        return True

    @property
    def _torso(self) -> float:
        """Median torso of the run's own bodies in metres; 0 where nobody knows."""
        known = self.card.get("size") or {}
        return float(known.get("torso") or 0) if known.get("how") == "metres" else 0.0

    def _compare(self, torsos: Sequence[float], names: Sequence[str]) -> None:
        """Warn of bodies that differ from the run's by more than people do."""
        odd = [i for i, torso in enumerate(torsos) if size.differ(torso, self._torso)]
        if odd:
            at, others = odd[0], f" and {len(odd) - 1} more clips" if len(odd) > 1 else ""
            warnings.warn(
                f"the torso of {names[at] or 'the motion'} is {torsos[at]:.3g} m long{others}, those of the run's data "
                f"{self._torso:.3g} m: is the unit right? --unit, or motion.with_(unit=...), says another",
                stacklevel=4,
            )

    def motions(self, what: Any) -> list[Motion]:
        """A motion, an array, a file (each of its clips) or a list of these as a list of motions, not fitted yet."""
        if isinstance(what, (str, os.PathLike)):
            return list(io.read_all(what, options=io.Options(image=self._in_image)))
        if isinstance(what, Motion):
            return [what]
        if isinstance(what, np.ndarray) and what.dtype != object:
            return [self._from_array(what)]
        if isinstance(what, Iterable):
            return [motion for each in what for motion in self.motions(each)]
        raise InputError(
            "what to embed",
            f"a {type(what).__name__}",
            "a store, a motion, an array [T, V, C] or [T, M, V, C], a path, or a list of these",
        )

    def _from_array(self, array: np.ndarray) -> Motion:
        array, known = np.asarray(array), self.card.get("size")
        motion = Motion(array[:, None] if array.ndim == 3 else array, self.layout)
        return size.fit(motion, known, odd=False).with_(unit="m") if known else motion

    @functools.cached_property
    def _cleaning(self) -> Cleaning | None:
        """How the run's data were cleaned, and so what it embeds."""
        said = self.card["normalise"].get("clean")
        return None if said is None else settings.make(Cleaning, said, f"{self.path or 'the model'}, normalise.clean")

    @property
    def _in_image(self) -> bool:
        """Whether coordinates in the image are wanted of a file that has those and others."""
        return self.card["normalise"].get("how") == "image"

    def _loader(self, clips: Any, resident: bool | None = None) -> ClipLoader:
        """The clips for the encoder; those of a store with bodies as large as the run's, and the same axis up."""
        if isinstance(clips, Store):
            clips = self._conformed(clips)
        return ClipLoader(clips, self.device, resident=resident, faithful=not self.target.odd)

    def _conformed(self, store: Store) -> Any:
        changes = conform.changes(store, self.card.get("size"), self.card.get("up"), odd=self.target.odd)
        if changes is None:
            return store
        joints = conform.apply(np.asarray(store.frames), conform.per_frame(store, changes, 0, len(store.frames)))
        card = {"up": self.card.get("up") or store.card["up"]}
        axes = store.lengths, store.offsets, store.layout
        return MemoryClips(joints, store.confidence, *axes, card, store.picture_file)

    def _cache(self, clips: Any, crop: RandomCrop | None) -> Cache | None:
        """Where features of a whole store are kept, under all that they depend on."""
        if self.path is None or bundled.is_bundled(self.path) or not isinstance(clips, Store):
            return None
        first = next(self.encoder.parameters())
        known = {
            "weights": self.hash,
            "store": clips.hash,
            "crop": [crop, self.card["crop"]],
            "encoder": [self.card["recipe"]["encoder_name"], self.card["recipe"]["encoder"]],
            "input": [self.card[name] for name in ("layout", "coords", "persons")],
            "bodies": [self.card.get(name) for name in ("size", "up")],
            "precision": [str(first.dtype), torch.get_float32_matmul_precision(), first.device.type],
            "plugins": [registry.origin("encoders", self.card["recipe"]["encoder_name"])],
        }
        return Cache(self.path / "cache", known, (len(clips), self.dim))

    def _run(self, clips: Any, rows: Tensor, crop: RandomCrop | None, batch: int, progress: Show) -> np.ndarray:
        source = self._loader(clips)
        out = np.empty((len(rows), self.dim), np.float32)
        gen = generator("crop", *crop) if crop else None
        batch = self._at_a_time(source, batch)
        with Bar("embed", len(rows), progress) as bar:
            for begin in range(0, len(rows), batch):
                index = rows[begin : begin + batch]
                out[begin : begin + len(index)] = self._vectors(source, index, crop, gen)
                bar.update(begin + len(index))
        return out

    def _at_a_time(self, source: ClipLoader, batch: int) -> int:
        return min(batch, FILMS) if self._sees_films(source) else batch

    def _sees_films(self, source: ClipLoader) -> bool:
        return self.encoder.pictures and getattr(source.store, "picture_file", None) is not None

    @torch.inference_mode()
    def _vectors(
        self, source: ClipLoader, index: Tensor, crop: RandomCrop | None = None, gen: torch.Generator | None = None
    ) -> np.ndarray:
        """The vectors of some clips, as one batch."""
        films = self._sees_films(source)
        pieces = self._films(source, index) if films else [self._piece(source, index, crop, gen)]
        return torch.stack([self.encoder(piece).clip.float() for piece in pieces]).mean(0).cpu().numpy()

    def _piece(self, source: ClipLoader, index: Tensor, crop: RandomCrop | None, gen: torch.Generator | None) -> Batch:
        cut = self._crop(source, index, crop, gen)
        return source.gather(index, cut.start, cut.length, self.card["crop"]["frames"])

    def _films(self, source: ClipLoader, index: Tensor) -> Iterator[Batch]:
        """Evenly spaced windows of videos, as many as differ, at most ``WINDOWS``."""
        trained = self.card["recipe"]["method"].get("views", {})
        views = VideoViewSettings(**{name: trained[name] for name in ("frames", "step", "size") if name in trained})
        lengths = source.lengths[index]
        count = min(WINDOWS, max(1, int(lengths.max()) - views.span + 1))
        starts = test_clips(lengths, views.span, count).unbind(1)
        return (middle_view(source, index, start, views) for start in starts)

    def _crop(self, source: ClipLoader, index: Tensor, crop: RandomCrop | None, gen: torch.Generator | None) -> Crop:
        lengths = source.lengths[index]
        if crop is None or gen is None:
            return centre_crop(lengths, self.card["crop"]["ratio"])
        return draw_crop(lengths, gen, crop[0], crop[1], min_frames=self.card["crop"]["frames"])


def _check_batch(batch: Any) -> None:
    if isinstance(batch, bool) or not isinstance(batch, (int, np.integer)) or batch < 1:
        raise InputError("batch", repr(batch), "a whole number above 0")


def _is_store(path: Path) -> bool:
    """Whether a path is meant as a store: a folder that no format takes for one recording."""
    if not path.is_dir() or (path / "card.json").exists():
        return path.is_dir()
    return not any(getattr(reader, "folder", False) and reader.sniff(path, b"") for reader in io.readers().values())


def _columns(widths: Mapping[str, int]) -> dict[str, slice]:
    """Where each of these stands when they are put side by side."""
    ends = itertools.accumulate(widths.values())
    return {name: slice(end - width, end) for (name, width), end in zip(widths.items(), ends)}
