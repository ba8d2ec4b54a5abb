"""Find poses in videos, with MediaPipe or a model of your own (RTMPose, YOLO-pose; ONNX)."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...utils.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("videos", nargs="+", metavar="VIDEO", help="video files, or folders of them")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where NAME.json is written for every video")
    parser.add_argument("--model", metavar="FILE.onnx", help="the model that finds joints, if the estimator has none")
    parser.add_argument(
        "--boxes", metavar="FILE.onnx", help="a YOLO model that finds people first, for RTMPose (default: one person)"
    )
    parser.add_argument("--estimator", metavar="NAME", help="kind of the model (default: the one that it fits)")
    parser.add_argument(
        "--python", metavar="FILE", help="Python of the environment in which the estimator is installed"
    )
    parser.add_argument("--layout", help="joints of the model, where their number does not tell them")
    parser.add_argument(
        "--min-confidence", type=float, default=0.25, metavar="C", help="of a person (default: %(default)s)"
    )


def resume_hint(args: argparse.Namespace) -> str:
    """What to say after Ctrl-C."""
    return "the same command"


def run(args: argparse.Namespace) -> None:
    """Look at one video after the other; what is there already is passed over, one that fails costs itself."""
    from ...io import coco, estimators
    from ...io._video import Video
    from ...utils import files
    from ...utils.progress import Bar, interruptible

    if not 0 <= args.min_confidence <= 1:
        raise InputError("--min-confidence", f"{args.min_confidence:g}", "a number from 0 to 1")
    model, boxes, python = (None if path is None else Path(path) for path in (args.model, args.boxes, args.python))
    models = estimators.Models(model, boxes, args.layout, args.min_confidence, python)
    out = Path(args.out)
    videos = _videos(args.videos, out)
    name, estimator = estimators.load(models, args.estimator)
    depends = f"{name} {estimator.version} {models.min_confidence!r}".encode()
    key = files.sha256(*(path for path in (models.model, models.boxes) if path), depends)
    print(f"{len(videos)} videos, {name}: {len(estimator.layout)} joints of {estimator.layout.name}")
    made, there, failed = 0, 0, []
    with interruptible() as asked, Bar("poses", len(videos)) as bar:
        for k, (path, target) in enumerate(videos.items()):
            if target.is_file():
                there += 1
                continue
            try:
                video = Video(path)
                facts = path.stat()

                def report(done: int, total: int, at: int = k, of: str = path.name) -> None:
                    bar.update(at, f"{of}: frame {done} of {total}")

                motion = estimators.poses(
                    video,
                    estimator,
                    target.with_suffix(".unfinished.npz"),
                    f"{key} {facts.st_size} {facts.st_mtime_ns}",
                    report,
                    asked.is_set,
                )
                if motion is None:
                    raise KeyboardInterrupt
                coco.write_file(target, motion)
            except InputError as error:
                failed.append(str(error))
                bar.say(f"skipped: {error}")
            else:
                made += 1
            bar.update(k + 1)
    if failed and not made and not there:
        raise InputError(f"{len(failed)} videos", "none has poses now", "videos with people", failed[0])
    also = f", {there} there already" * bool(there) + f", {len(failed)} skipped" * bool(failed)
    print(f"{out}: poses of {made} videos{also}")
    print(f"next: kineme prepare {out} STORE, or with pictures kineme prepare VIDEOS STORE --poses {out}")


def _videos(given: list[str], out: Path) -> dict[Path, Path]:
    """The videos, and the file that each is to have.

    Raises:
        InputError: no such file, a folder without any, two of one name.
    """
    from ...io import is_video

    found: dict[Path, Path] = {}
    for text in given:
        path = Path(text)
        if not path.exists():
            raise InputError(path, "no such file or folder", "a video")
        inside = [path]
        if path.is_dir():
            inside = [each for each in sorted(path.rglob("*")) if each.is_file() and is_video(each)]
            if not inside:
                raise InputError(path, "no video in it", "videos")
        root = path if path.is_dir() else path.parent
        for each in inside:
            target = (out / each.relative_to(root)).with_suffix(".json")
            if target in found.values():
                raise InputError(each, f"another video is called {target.stem} as well", "names of their own")
            found[each] = target
    return found
