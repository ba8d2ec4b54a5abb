"""``kineme bench``: the package beside plain reference implementations of the released code, in one process.

    kineme bench [PART...] [--rounds N] [--json FILE]

A part is a function that yields cases; a case is the same work done by both sides, whose results are compared before
any time is taken. The sides take turns, round by round, so that whatever else the machine does meets both. A figure is
the median [least..most] over the rounds, a ratio the median of the ratios within each round, and beside each stands
the rate of plain matmuls in those same rounds. ``docs/performance.md`` says how to read the table.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import part_p_hlvc
import part_search
import part_simclr
import reference
import reference_halp
import reference_hico
import reference_step
import torch
from measure import BF16, FP32, Case, cells, compare, measure, record, table
from rich.console import Console
from rich.live import Live
from shared import (
    COORDS,
    FRAMES,
    INPUTS,
    JOINTS,
    PERSONS,
    PUBLISHED,
    QUICK,
    SMALL,
    Bench,
    Sizes,
    largest,
    released,
    step_of,
)
from torch import Tensor, nn
from torch.nn import functional

from kineme import io
from kineme.encoders.hierarchical import joint_tokens
from kineme.encoders.recurrent import Recurrent, from_released
from kineme.evaluation.protocols.knn import predict
from kineme.inference import nearest
from kineme.methods import hico as hierarchy
from kineme.motion import normalise
from kineme.nn import hallucination, matmul, spherical_kmeans
from kineme.utils import hardware
from kineme.utils.files import write_json
from kineme.views import augment

# ---- the parts


def pipeline(bench: Bench) -> Iterator[Case]:
    """Two views of every clip of a batch, against one worker that makes them clip by clip and stacks them."""
    training = bench.training()
    source, views, gen = training.source, training.method.views, torch.Generator().manual_seed(0)
    rng, lengths, most = np.random.default_rng(0), bench.store.lengths.tolist(), min(2, bench.threads)
    whole = step_of(bench.training(), views(source, bench.index(bench.sizes.batches[0]), gen))

    def loader(clips: Sequence[int]) -> list[Tensor]:
        pairs = [reference.halp_item(bench.sequences[clip], lengths[clip], rng) for clip in clips]
        return [torch.from_numpy(np.stack(view)) for view in zip(*pairs)]

    for size in bench.sizes.batches:
        index = bench.index(size)
        clips = index.tolist()
        draw = augment.draw_view(source, index, augment.ViewSettings(), gen)
        made = released(augment.apply_view(source, index, draw)).numpy()
        plain = np.stack([reference.view(bench.sequences[clip], plain_draw(draw, i)) for i, clip in enumerate(clips)])
        for threads in sorted({1, most}):
            trained = size == bench.sizes.batches[0] and threads == most
            yield Case(
                f"view pairs, batch {size}",
                threads,
                functools.partial(views, source, index, gen),
                functools.partial(loader, clips),
                largest(made - plain),
                1e-5,
                "pair",
                size,
                step=whole if trained else None,
            )


def encoder(bench: Bench) -> Iterator[Case]:
    """The recurrent encoder in evaluation, against the released one, fed frame by frame; gradients compared as well."""
    hidden, layers, size = bench.sizes.hidden, bench.sizes.layers, bench.sizes.batches[0]
    theirs = reference_step.FrameByFrame(INPUTS, hidden, layers, 1)
    theirs.fc = nn.Identity()
    for values in (theirs.input_norm.weight, theirs.input_norm.bias, theirs.input_norm.running_mean):
        nn.init.uniform_(values, 0.5, 1.5)  # type: ignore[arg-type]
    settings = Recurrent.Settings(hidden=hidden, layers=layers, persons=PERSONS)
    ours = Recurrent(settings, bench.store.layout, COORDS)
    ours.load_state_dict(from_released(theirs.state_dict(), PERSONS, JOINTS, COORDS))
    ours.eval(), theirs.eval()

    training = bench.training()
    batch = training.method.views(training.source, bench.index(size), torch.Generator().manual_seed(0))[0]
    x = released(batch)
    made, plain = ours(batch).clip, theirs(reference_step.flatten(x))
    made.square().mean().backward(), plain.square().mean().backward()
    slopes, own = (
        {name: p.grad for name, p in side.named_parameters() if p.grad is not None} for side in (theirs, ours)
    )
    off = [
        (slope - own[name]) / slope.abs().max()
        for name, slope in from_released(slopes, PERSONS, JOINTS, COORDS).items()
    ]

    yield Case(
        f"recurrent encoder {layers} x {hidden}, batch {size}",
        bench.threads,
        torch.inference_mode()(lambda: ours(batch)),
        torch.inference_mode()(lambda: theirs(reference_step.flatten(x))),
        largest((made - plain).detach(), *off),
        1e-5,
        "clip",
        size,
        flops=encoder_flops(bench.sizes, size),
    )


def step(bench: Bench) -> Iterator[Case]:
    """A whole training step of MoCo on given views, against the released step."""
    s = bench.sizes
    size = s.batches[0]
    head = 2 * size * (4 * s.hidden**2 + 2 * s.hidden * 128)
    flops = 4 * (encoder_flops(s, size) + head) + 4 * size * 128 * s.queue  # query 3, key 1; logits 2
    for precision, path, bound in (("fp32", FP32, 1e-4), ("bf16", BF16, 0.1)):
        if precision == "bf16" and not hardware.bf16():
            continue
        training = bench.training(precision)
        views = training.method.views(training.source, bench.index(size), torch.Generator().manual_seed(0))
        query, key = map(released, views)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            theirs = reference_step.Moco(INPUTS, s.hidden, s.layers, queue=s.queue)
        sgd = reference_step.optimiser(theirs)
        training.method.load_state_dict(released_state(theirs), strict=False)
        ours = step_of(training, views)
        losses = [float(ours()["loss"]) - reference_step.step(theirs, sgd, query, key)[0] for _ in range(2)]
        own = training.method.state_dict()
        off = [own[name] - value for name, value in released_state(theirs).items()]
        yield Case(
            f"MoCo step {s.layers} x {s.hidden}, batch {size}, {precision}",
            bench.threads,
            ours,
            functools.partial(reference_step.step, theirs, sgd, query, key),
            largest(np.array(losses), *off),
            bound,
            "step",
            flops=flops,
            path=path,
        )


def hico(bench: Bench) -> Iterator[Case]:
    """A whole training step of HiCo at its published size on given views, against the released step.

    Queues are as released on both sides. Compared without dropout; a Transformer's is on while time is taken.
    """
    s, size = bench.sizes, bench.sizes.batches[0]
    for cell in ("gru", "transformer"):
        for precision, path, bound in (("fp32", FP32, 1e-4), ("bf16", BF16, 0.1)):
            if precision == "bf16" and not hardware.bf16():
                continue
            training = bench.trained(
                "hico",
                precision,
                f"encoder.cell={cell}",
                f"encoder.hidden={s.hico_hidden}",
                f"method.queue={s.hico_queue}",
                "encoder.mask_absent=false",
                "method.faithful=true",
            )
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)  # where two tokens are all but equal, rounding decides which one is the maximum
                theirs = reference_hico.HiCo(cell, hidden=s.hico_hidden, queue=s.hico_queue)
            sgd = reference_step.optimiser(theirs)
            training.method.load_state_dict(hico_state(theirs), strict=False)
            views = training.method.views(training.source, bench.index(size), torch.Generator().manual_seed(0))
            query, key = ((view.joints.flatten(2), joint_tokens(view.joints)) for view in views)
            ours = step_of(training, views)
            for side in (training.method, theirs):
                drop(side, 0.0)
            losses = [float(ours()["loss"]) - sum(reference_hico.step(theirs, sgd, query, key)[0]) for _ in range(2)]
            own = training.method.state_dict()
            off = [own[name] - value for name, value in hico_state(theirs).items()]
            for side in (training.method, theirs):
                drop(side, 0.1)
            yield Case(
                f"HiCo step, {cell} {s.hico_hidden}, batch {size}, {precision}",
                bench.threads,
                ours,
                functools.partial(reference_hico.step, theirs, sgd, query, key),
                largest(np.array(losses), *off),
                bound,
                "step",
                flops=hico_flops(cell, s, size),
                path=path,
            )


def positives(bench: Bench) -> Iterator[Case]:
    """HaLP's positives and loss, forward, on keys with some structure, against positives laid out one by one."""
    s = bench.sizes
    rows, drawn = s.batches[0], torch.Generator().manual_seed(0)
    keys, centres = clustered(drawn, rows, s.prototypes)
    query = functional.normalize(keys + 0.3 * torch.randn(keys.shape, generator=drawn), dim=1)
    draw = hallucination.draw(rows, s.positives, s.prototypes - 1, 0.8, drawn)
    assert draw.u is not None

    def ours() -> Tensor:
        plan = hallucination.plan(keys, centres, draw, ignore=s.prototypes)
        return -(query * hallucination.pull(keys, centres, plan)).sum() / (0.07 * (plan.kept.sum() + 1e-8))

    def theirs() -> Tensor:
        return reference_halp.positives_and_loss(query, keys, centres, draw.choice, draw.u, ignore=s.prototypes)

    made, plain = ours(), theirs()
    for threads in sorted({1, min(2, bench.threads)}):
        yield Case(
            f"positives and loss, {rows} x {s.positives}", threads, ours, theirs, largest(made - plain), 1e-4, "batch"
        )


def prototypes(bench: Bench) -> Iterator[Case]:
    """Spherical k-means of the newest keys, seeding included, against a general one, cluster by cluster.

    Compared is the inertia from the same start: how much ours is above the reference's, as a share; not when below.
    """
    s, gen = bench.sizes, torch.Generator().manual_seed(0)
    points, _ = clustered(gen, s.recent, s.prototypes, spread=0.7)
    plain, seeds = points.double().numpy(), spherical_kmeans.draw_seeds(s.recent, s.prototypes, gen)

    def inertia(centres: Tensor) -> float:
        return float((points.double() @ centres.double().T).amax(1).clamp(-1, 1).arccos().square().sum())

    start = spherical_kmeans.seed(points, seeds, power=1.0)
    wanted = inertia(torch.from_numpy(reference_halp.kmeans(plain, start.double().numpy(), np.random.default_rng(0))))
    for mean in ("intrinsic", "normalised"):
        above = inertia(spherical_kmeans.kmeans(points, start, seeds, mean)[0]) / wanted - 1

        def ours(mean: str = mean) -> Tensor:
            return spherical_kmeans.kmeans(points, spherical_kmeans.seed(points, seeds), seeds, mean)[0]  # type: ignore[arg-type]

        def theirs() -> np.ndarray:
            return reference_halp.kmeans(plain, None, np.random.default_rng(0), s.prototypes)

        yield Case(
            f"prototypes, {s.prototypes} of {s.recent}, {mean} mean",
            1,
            ours,
            theirs,
            max(0.0, above),
            0.02,
            "clustering",
        )


def reader(bench: Bench) -> Iterator[Case]:
    """NTU RGB+D text to coordinates, against a parser line by line."""
    n, rng = bench.sizes.frames, np.random.default_rng(0)
    for words, bodies in (("one body", [1] * n), ("a second body for a while", [1] * (n // 2) + [2] * (n - n // 2))):
        path = bench.folder / f"{len(words)}.skeleton"
        path.write_text(skeleton_text(bodies, rng), encoding="ascii")
        made, plain = io.read(path).joints.swapaxes(0, 1), reference.read_skeleton(path)
        yield Case(
            f".skeleton, {path.stat().st_size // 1000} kB, {words}",
            1,
            functools.partial(io.read, path),
            functools.partial(reference.read_skeleton, path),
            largest(made - plain[: len(made)]),
            0.0,
            "file",
        )


def normaliser(bench: Bench) -> Iterator[Case]:
    """Choice of bodies, null frames, centring and rotations: arrays to arrays, against the released order of work."""
    motions = bench.motions[20 - bench.sizes.samples : 20]  # up to the first with two persons
    samples = [np.zeros((4, len(motion), JOINTS, COORDS), np.float32) for motion in motions]
    for slots, motion in zip(samples, motions):
        slots[: motion.persons] = motion.joints.swapaxes(0, 1)

    def ours() -> list[np.ndarray]:
        return [normalise.ntu_preprocess(normalise.select_bodies(slots)[0]) for slots in samples]

    def theirs() -> list[np.ndarray]:
        return [reference.normalise(reference.select_bodies(slots)) for slots in samples]

    off = [made.swapaxes(0, 1) - plain[:, : len(made)] for made, plain in zip(ours(), theirs())]
    yield Case("ntu normalisation", 1, ours, theirs, largest(*off), 1e-5, "sample", len(motions))


def knn(bench: Bench) -> Iterator[Case]:
    """The nearest neighbour by cosine, against scikit-learn's brute force."""
    from sklearn.neighbors import KNeighborsClassifier

    s, rng = bench.sizes, np.random.default_rng(0)
    labels = rng.integers(0, s.classes, s.gallery + s.queries)
    features = rng.normal(size=(s.classes, s.dim))[labels] + 2 * rng.normal(size=(len(labels), s.dim))
    known, asked = np.split(features.astype(np.float32), [s.gallery])
    labels = labels[: s.gallery]

    peer = KNeighborsClassifier(1, algorithm="brute", metric="cosine").fit(known, labels)

    def ours() -> np.ndarray:
        return predict(known, labels, asked, (1,))[1]

    wrong = nearest.neighbours(known, asked, 1) != peer.kneighbors(asked, return_distance=False)
    yield Case(
        f"1-NN, {s.queries} in {s.gallery} x {s.dim}",
        bench.threads,
        ours,
        functools.partial(peer.predict, asked),
        float(wrong.mean()),
        0.0,
        "query",
        s.queries,
        flops=2.0 * s.queries * s.gallery * s.dim,
    )


PARTS: dict[str, Callable[[Bench], Iterator[Case]]] = {
    "pipeline": pipeline,
    "encoder": encoder,
    "step": step,
    "hico": hico,
    "positives": positives,
    "prototypes": prototypes,
    "reader": reader,
    "normalise": normaliser,
    "knn": knn,
    "p_hlvc": part_p_hlvc.cases,
    "simclr": part_simclr.cases,
    "search": part_search.cases,
}


# ---- what the parts are made of


def released_state(model: reference_step.Moco) -> dict[str, Tensor]:
    """The state of the reference under the package's names."""
    state = model.state_dict()
    ours = {"branches.joint.queue.keys": state["queue"].T}
    for side, room, head in (("encoder_q.", "encoder", "head"), ("encoder_k.", "key_encoder", "key_head")):
        own = {name.removeprefix(side): value for name, value in state.items() if name.startswith(side)}
        moved = from_released(own, PERSONS, JOINTS, COORDS)
        ours |= {f"branches.joint.{room}.{name}": value for name, value in moved.items()}
        ours |= {f"branches.joint.{head}.{name[3:]}": value for name, value in own.items() if name.startswith("fc.")}
    return ours


def hico_state(model: reference_hico.HiCo) -> dict[str, Tensor]:
    """The state of the reference under the package's names."""
    state, ours = model.state_dict(), {}
    for side, room in (("encoder_q.", "query"), ("encoder_k.", "key")):
        own = {name.removeprefix(side): value for name, value in state.items() if name.startswith(side)}
        ours |= {f"{room}.{name}": value for name, value in hierarchy.from_released(own).items()}
    for level, name in zip(reference_hico.LEVELS, hierarchy.PROJECTORS.values()):
        ours[f"queues.{name}.keys"] = state[f"{level}_queue"].T
        ours[f"queues.{name}.pointer"] = state[f"{level}_queue_ptr"][0]
    return ours


def drop(model: nn.Module, share: float) -> None:
    """Set every dropout in it."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share
        elif isinstance(module, nn.MultiheadAttention):
            module.dropout = share


def plain_draw(draw: augment.ViewDraw, i: int) -> reference.Draw:
    """What was drawn for one clip of a batch, as the reference takes it."""
    assert draw.matrix is not None
    assert draw.touched is not None
    start, length = (int(x[i]) for x in draw.crop)
    matrix, touched = draw.matrix[i].numpy(), draw.touched[i].numpy()
    if touched.all():
        return reference.Draw(start, length, shear=matrix.T)
    return reference.Draw(start, length, joints=np.flatnonzero(touched), linear=matrix if matrix.any() else None)


def skeleton_text(bodies: Sequence[int], rng: np.random.Generator) -> str:
    """A file with so many bodies in its frames and as many digits as real ones have."""
    lines = [str(len(bodies))]
    for count in bodies:
        lines.append(str(count))
        for body in range(count):
            lines += [f"{72057594037931101 + body} 0 1 0 1 0 0 0.0276471 -0.0574508 2", str(JOINTS)]
            lines += ["%.7g " * 11 % tuple(row) + "2" for row in rng.normal(size=(JOINTS, 11)).tolist()]
    return "\n".join(lines) + "\n"


def encoder_flops(sizes: Sizes, batch: int) -> float:
    """Of the recurrent encoder, forward: two stacks in each layer, three gates, input and recurrent products."""
    widths = [INPUTS] + [2 * sizes.hidden] * (sizes.layers - 1)
    return sum(2 * 2 * batch * FRAMES * 3 * sizes.hidden * (width + sizes.hidden) for width in widths)


def hico_flops(cell: str, sizes: Sizes, batch: int, granularities: int = 4, dim: int = 128) -> float:
    """Of a step of HiCo: query three times, key once; logits and their gradients twice."""
    d, total = sizes.hico_hidden, 0.0
    for tokens, inputs in ((FRAMES, INPUTS), (PERSONS * JOINTS, FRAMES * COORDS)):
        total += tokens * (inputs + d) * d
        for count in (tokens >> granularity for granularity in range(granularities)):
            total += count * (4.5 * d * d if cell == "gru" else 6 * d * d + 2 * count * d)
    wide = granularities * d
    total += 2 * granularities * (d + dim) * d + 2 * (wide + dim) * d + (2 * wide + dim) * d
    return 2 * batch * (4 * total + 2 * (2 * granularities + 3) * sizes.hico_queue * dim)


def clustered(
    gen: torch.Generator, rows: int, count: int, dim: int = 128, spread: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Unit vectors ``[rows, dim]`` around ``[count, dim]`` centres that lie in one half of the sphere, as keys do."""
    centres = functional.normalize(torch.randn(count, dim, generator=gen) + 0.1, dim=1)
    noise = functional.normalize(torch.randn(rows, dim, generator=gen), dim=1)
    return functional.normalize(centres[torch.arange(rows) % count] + spread * noise, dim=1), centres


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a result differs by more than it may."""
    parser = argparse.ArgumentParser("kineme bench", description="Speed against plain reference implementations.")
    parser.add_argument("names", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="write the measured rows")
    parser.add_argument("--published", action="store_true", help="the published sizes: many minutes")
    parser.add_argument("--quick", action="store_true", help="a few seconds; the times mean nothing")
    parser.add_argument("--record", action="store_true", help="from now on compare with these ratios")
    args = parser.parse_args(argv)
    if unknown := [name for name in args.names if name not in PARTS]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if args.rounds < 1 or (args.quick and (args.record or args.published)):
        parser.error("--rounds must be at least 1, and --quick goes with neither --published nor --record")

    about, rows = hardware.describe(), []
    sizes = QUICK if args.quick else PUBLISHED if args.published else SMALL
    console = Console(width=None if sys.stdout.isatty() else 220)
    about["large fp32 matmuls by"] = matmul.path()
    console.print(
        f"{about['processor']}, torch {about['torch']}, bf16 instructions: {about['bf16 instructions']}, "
        f"fp32 matmuls: {about['large fp32 matmuls by']}"
    )
    with tempfile.TemporaryDirectory() as folder, Live(shown := table(), console=console, auto_refresh=False) as live:
        bench = Bench(sizes, Path(folder))
        for part in args.names or PARTS:
            shown.caption = f"at work: {part}"
            live.refresh()  # here and not by a thread of its own, which would disturb what is measured
            for case in PARTS[part](bench):
                rows.append({"part": part, **measure(case, args.rounds)})
                compare(rows[-1], about["processor"])
                shown.add_row(*cells(rows[-1]))
                live.refresh()
        shown.caption = None
    console.print()
    if args.json:
        write_json(args.json, {"machine": about, "sizes": asdict(sizes), "rows": rows})
    if args.record:
        record(rows, about["processor"])
    return 0 if all(row["equal"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
