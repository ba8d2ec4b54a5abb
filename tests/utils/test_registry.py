"""Names of methods, encoders, formats and protocols: listed without imports, checked when loaded; plug-ins too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kineme import io
from kineme.utils import registry
from kineme.utils.errors import InputError

FORMAT = '''"""Motion as {name}, for a test."""
suffixes = (".{name}",)
def sniff(path, head):
    return path.suffix == ".{name}"
def read(path, options):
    yield from ()
'''
PROTOCOL = '''"""Always one half, for a test."""
class Settings:
    pass
def score(task, settings):
    return {"half": 0.5}
'''


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    """Plug-ins of one test are unknown to the next."""
    monkeypatch.setattr(registry, "_plugins", {name: dict(known) for name, known in registry._plugins.items()})


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('"""One line."""\nrest = """x"""', "One line."),
        ('"""First line,\nand a second.\n"""', "First line,"),
        ('# a comment\n\nr"""\n  Further down.  \n"""', "Further down."),
        ("'single quotes'", "single quotes"),
        ('import os\n"""no docstring"""', ""),
        ('""""""', ""),
        ("", ""),
    ],
)
def test_first_line_is_that_of_the_docstring(text, line, tmp_path):
    assert registry._headline(write(tmp_path / "file.py", text)) == line


def test_first_lines_are_those_that_python_sees():
    for subpackage in ("io", "evaluation.protocols"):
        for name, text in registry.names(subpackage).items():
            assert text == registry.load(subpackage, name).__doc__.strip().split("\n")[0]


def test_helper_files_do_not_count():
    assert not [name for subpackage in registry.KINDS for name in registry.names(subpackage) if name.startswith("_")]
    assert "_text" not in registry.names("io")


def test_entries_are_classes_or_functions():
    assert registry.entry("methods", "halp").__name__ == "HaLP"
    assert registry.entry("io", "bvh") is registry.load("io", "bvh").read
    assert registry.entry("evaluation.protocols", "knn").__name__ == "score"
    for subpackage in ("methods", "encoders"):
        for name in registry.names(subpackage):
            assert isinstance(registry.entry(subpackage, name), type)


def test_a_file_without_what_its_folder_asks_for_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(registry, "_built_in", lambda subpackage: {"embed": "A file of another kind."})
    monkeypatch.setattr(registry, "PACKAGE", "kineme")
    with pytest.raises(InputError, match=r"knn_like.*no such name"):
        registry.load("evaluation.protocols", "knn_like")
    monkeypatch.setitem(sys.modules, "kineme.methods.embed", registry)
    with pytest.raises(InputError, match=r"registry\.py: no method in it\. Expected a class Embed\(Method\)"):
        registry.load("methods", "embed")


def test_a_format_plugin_reads_and_a_protocol_plugin_scores(tmp_path):
    registry.add_plugin(file := write(tmp_path / "foo.py", FORMAT.format(name="foo")))
    registry.add_plugin(file)  # once more changes nothing
    assert registry.names("io")["foo"] == "Motion as foo, for a test."
    assert io.detect(write(tmp_path / "x.foo", "content")) == "foo"
    assert registry.plugins("io") == [str(file.resolve())] == registry.plugins()
    registry.add_plugin(write(tmp_path / "half.py", PROTOCOL))
    assert registry.entry("evaluation.protocols", "half")(None, None) == {"half": 0.5}
    assert len(registry.plugins()) == 2
    assert registry.origin("io", "bvh") is None
    assert registry.origin("io", "foo")["file"] == str(file.resolve())
    assert len(registry.origin("io", "foo")["sha256"]) == 64


def test_a_class_is_recognised_by_its_base(tmp_path):
    text = "from kineme.{kind} import {base}\nfrom kineme.methods.moco import MoCo\nclass {name}({derived}): pass\n"
    registry.add_plugin(
        write(tmp_path / "my_own.py", text.format(kind="methods", base="Method", name="MyOwn", derived="MoCo"))
    )
    registry.add_plugin(
        write(
            tmp_path / "small_one.py", text.format(kind="encoders", base="Encoder", name="SmallOne", derived="Encoder")
        )
    )
    assert registry.entry("methods", "my_own").__name__ == "MyOwn"
    assert registry.entry("encoders", "small_one").__name__ == "SmallOne"
    assert "my_own" not in registry.names("encoders")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bvh.py", FORMAT.format(name="bvh"), "there is a format called 'bvh' already"),
        ("broken.py", "import os\nvalue = 1 / 0\n", r"broken\.py, line 2: not importable \(ZeroDivisionError"),
        ("syntax.py", "def (:\n", r"not importable \(SyntaxError"),
        (
            "nothing.py",
            "value = 1\n",
            "no plug-in.*class Nothing.Method. for method 'nothing'.*suffixes, sniff and read",
        ),
        ("text.txt", FORMAT.format(name="txt"), "no Python file"),
    ],
)
def test_plugins_that_cannot_be_taken_say_why(name, text, message, tmp_path):
    with pytest.raises(InputError, match=message):
        registry.add_plugin(write(tmp_path / name, text))
    with pytest.raises(InputError, match="not there"):
        registry.add_plugin(tmp_path / "missing.py")
    assert registry.plugins() == []


def test_two_plugins_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "foo.py", FORMAT.format(name="foo"))
    registry.add_plugin(tmp_path / "a" / "foo.py")
    with pytest.raises(InputError, match="there is a format called 'foo' already"):
        registry.add_plugin(tmp_path / "b" / "foo.py")


def install(folder: Path, group: str, **entries: str) -> None:
    """What pip leaves of a package: its metadata."""
    about = folder / "tiny_plugins-1.5.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-plugins\nVersion: 1.5\n")
    lines = "".join(f"{name} = {value}\n" for name, value in entries.items())
    with (about / "entry_points.txt").open("a") as file:
        file.write(f"[{group}]\n{lines}\n")


def python(code: str, folder: Path) -> str:
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    return done.stdout + done.stderr.strip().split("\n")[-1]


def test_entry_points_of_an_installed_package_are_listed_unloaded_and_loaded_on_use(tmp_path):
    write(tmp_path / "tiny_format.py", FORMAT.format(name="foo"))
    write(tmp_path / "tiny_protocol.py", PROTOCOL)
    install(tmp_path, "kineme.io", foo="tiny_format")
    install(tmp_path, "kineme.protocols", half="tiny_protocol", wrong="tiny_format", knn="tiny_protocol")
    code = "from kineme.utils import registry as r; import sys; "
    listed = python(code + "print(r.names('io')['foo'], 'tiny_format' in sys.modules)", tmp_path)
    assert listed == "(from tiny-plugins 1.5) False\n"
    assert (
        python(code + "from kineme import io; print([n for n in io.readers() if n in ('foo', 'bvh')])", tmp_path)
        == "['bvh', 'foo']\n"
    )
    half = python(code + "print(r.entry('evaluation.protocols', 'half')(0, 0))", tmp_path)
    assert half == "{'half': 0.5}\n"
    assert python(code + "print(r.origin('io', 'foo'))", tmp_path) == "{'package': 'tiny-plugins 1.5'}\n"
    wrong = python(code + "r.load('evaluation.protocols', 'wrong')", tmp_path)
    assert "entry point tiny_format: no protocol in it. Expected Settings and score for a protocol." in wrong
    taken = python(code + "r.load('evaluation.protocols', 'knn')", tmp_path)
    assert "protocol 'knn' of tiny-plugins 1.5: the name is taken" in taken
