"""Damage files of a format at random and read them: nothing but motions or an `InputError` may come out.

`python scripts/fuzz.py bvh --seconds 600 --faults faults/` begins with the good files of `tests/helpers/samples.py`, of
any format that has a reader. Where `atheris` is installed (`pip install atheris`) coverage guides the changes, else
they are drawn: bytes flipped, words exchanged for nasty ones, pieces doubled, moved, cut out or taken from another
seed. A fault is any other exception, a warning, more than 2 s of processor time or more than 500 MB; each place in the
code is kept once, as the file that led there. Exit 1 if there were any.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS, BYTES, LARGEST = 2.0, 500 << 20, 100_000
HANGS = 10  # seconds after which reading is broken off
NASTY = (
    *(b"nan", b"-inf", b"1e400", b"1e39", b"1e30", b"-1", b"0", b"1.5", b"-", b".", b"0x10", b"1_0", b"1,5", b""),
    *(b"9" * 21, b"1" * 400, b"2147483648", b"1000000000", b"-9223372036854775808", b"\0" * 8, b"\xff" * 8, b"\x80"),
    *(b"{", b"}", b"[", b"]", b'"', b",", b"\n", b"\r\n", b"\t", b" ", b"null", b"true", b"../../x", b"/etc/passwd"),
)


def seeds(name: str) -> tuple[str, dict[str, bytes], list[tuple[str, bytes]]]:
    """What is read, the good files beside each other, and (file, content) of these and of their known faults."""
    sys.path.insert(0, str(ROOT / "tests"))
    from helpers.samples import SAMPLES

    sample = SAMPLES[name]
    with tempfile.TemporaryDirectory() as folder:
        sample.write(Path(folder))
        files = {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
    found = [(file, files[file]) for file in sorted(sample.complete)]
    for file, change in (*sample.variants.values(), *sample.mended.values(), *sample.faults.values()):
        found.append((file, change(files[file])))
    return sample.unit, files, [(file, data) for file, data in found if len(data) <= LARGEST]


class Target:
    """Reads damaged files; ``faults`` are kept in a folder, one for each place in the code."""

    def __init__(self, name: str, faults: Path):
        self.name, self.faults, self.count = name, faults, 0
        self.unit, self.files, self.seeds = seeds(name)
        self.victims = sorted({file for file, _ in self.seeds})
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
        for file, data in self.files.items():
            (self.folder / file).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / file).write_bytes(data)
        faults.mkdir(parents=True, exist_ok=True)

    def packed(self) -> list[bytes]:
        """The seeds as one text each: the first byte says which file it is."""
        return [bytes([self.victims.index(file)]) + data for file, data in self.seeds]

    def one(self, packed: bytes) -> None:
        """Read one; what is wrong is written down."""
        self.count += 1
        victim = self.victims[packed[0] % len(self.victims) if packed else 0]
        path = self.folder / victim
        path.write_bytes(packed[1:])
        before, most, start = memory(), peak(), time.process_time()
        with alarm():
            fault = self.read()
        seconds, grown = time.process_time() - start, peak() - before if peak() > most else 0
        if not fault and seconds > SECONDS:
            fault = f"slow: {seconds:.1f} s"
        elif not fault and grown > BYTES:
            fault = f"large: {grown >> 20} MB"
        path.write_bytes(self.files[victim])
        if fault:
            self.keep(fault, victim, packed[1:])

    def read(self) -> str:
        from kineme import io
        from kineme.utils.errors import InputError

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                for _ in io.read_each(self.folder / self.unit):
                    pass
        except InputError:
            return ""
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            stack = traceback.extract_tb(error.__traceback__)
            place = next((each for each in reversed(stack) if "kineme" in each.filename), stack[-1])
            return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {str(error)[:100]}"
        return ""

    def keep(self, fault: str, victim: str, data: bytes) -> None:
        """The first, and then the smallest, file that shows this fault."""
        words = "".join(c if c.isalnum() else "-" for c in fault.split(": ")[0])
        path = self.faults / f"{self.name}-{words}-{Path(victim).name}"
        if not path.exists():
            print(f"{self.name}: {fault} ({path})", flush=True)
        if not path.exists() or path.stat().st_size > len(data):
            path.write_bytes(data)


def memory() -> int:
    """What this process uses now, in bytes; where that cannot be told, the most that it ever used."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return peak()


def peak() -> int:
    """The most that this process ever used, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextlib.contextmanager
def alarm() -> Iterator[None]:
    """Reading that does not end is broken off."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"more than {HANGS} s")

    signal.signal(signal.SIGVTALRM, ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, HANGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def changed(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """The same text with a few changes."""
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        size = rng.choice((1, 1, 2, 4, 8, 16, rng.randrange(1, 2 + len(data) // 2)))
        piece, how = data[at : at + size], rng.randrange(8)
        if how == 0:
            piece = bytes([rng.randrange(256)])
        elif how == 1:
            piece = bytes(byte ^ 1 << rng.randrange(8) for byte in piece[:4]) + piece[4:]
        elif how == 2:
            piece = b""
        elif how == 3:
            piece = piece * rng.choice((2, 2, 3, 50))
        elif how == 4:
            other = rng.choice(others)
            begin = rng.randrange(len(other) + 1)
            piece = other[begin : begin + size]
        elif how == 5:
            piece = rng.choice(NASTY)
        elif how == 6:
            words = data.split(b" ")
            words[rng.randrange(len(words))] = rng.choice(NASTY)
            data = b" ".join(words)
            continue
        else:
            lines = data.split(b"\n")
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            data = b"\n".join(lines)
            continue
        data = data[:at] + piece + data[at + size :]
    return data[:LARGEST]


def drawn(target: Target, seconds: float, seed: int) -> None:
    """Changes at random."""
    rng, packed = random.Random(seed), target.packed()
    texts = [each[1:] for each in packed]
    for each in packed:
        target.one(each)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        base = rng.choice(packed)
        target.one(base[:1] + changed(base[1:], texts, rng))
    print(f"{target.name}: {target.count} files read", flush=True)


def guided(target: Target, seconds: float, seed: int) -> None:
    """Changes by coverage. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["kineme.io", "kineme.motion", "kineme.utils", "c3d"]):
        from kineme import io

        io.readers()
    corpus = Path(tempfile.mkdtemp())
    for k, data in enumerate(target.packed()):
        (corpus / f"{k}").write_bytes(data)
    words = corpus.with_suffix(".dict")
    words.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in NASTY if word))
    options = [f"-max_total_time={int(seconds)}", f"-seed={seed}", f"-dict={words}", f"-max_len={LARGEST}"]
    options += ["-timeout=30", "-rss_limit_mb=4096", f"-artifact_prefix={target.faults}/{target.name}-", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", str(corpus)], target.one)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("format", help="name of a reader: bvh, c3d, ntu, asf_amc, pyskl, ...")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=Path, default=Path("faults"), help="folder for files that show a fault")
    parser.add_argument("--plain", action="store_true", help="without atheris, even if it is there")
    args = parser.parse_args()
    how = drawn
    if not args.plain:
        with contextlib.suppress(ImportError):
            import atheris  # noqa: F401

            how = guided
    print(f"{args.format}: {args.seconds:g} s, changes {'by coverage' if how is guided else 'at random'}", flush=True)
    before = set(args.faults.glob("*")) if args.faults.is_dir() else set()

    def child() -> None:
        how(Target(args.format, args.faults), args.seconds, args.seed)

    process = multiprocessing.get_context("fork").Process(target=child)  # atheris ends its process
    process.start()
    process.join()
    return int(process.exitcode != 0 or bool(set(args.faults.glob(f"{args.format}-*")) - before))


if __name__ == "__main__":
    sys.exit(main())
