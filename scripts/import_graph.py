"""Draws which subpackage of Kineme imports which, for docs/design.md: ``python scripts/import_graph.py``.

Nothing is imported: the files are read with ``ast``, so imports inside functions and for type checkers count as well.
The order of the subpackages is ``ORDER`` of tests/test_architecture.py, which enforces it.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "kineme"
PICTURE = ROOT / "docs" / "pictures" / "import-graph.svg"

STEP_X, STEP_Y, BOX_W, BOX_H, MARGIN = 62, 34, 84, 22, 24  # pixels


def order() -> list[str]:
    """Subpackages from the first to the last, each of which may import those before it."""
    tree = ast.parse((ROOT / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ORDER":
            return list(ast.literal_eval(node.value))
    raise SystemExit("tests/test_architecture.py defines no ORDER")


def imports(package: Path = PACKAGE) -> dict[str, set[str]]:
    """Subpackage -> the other subpackages that one of its files imports."""
    found: dict[str, set[str]] = {
        folder.name: set() for folder in package.iterdir() if (folder / "__init__.py").exists()
    }
    for path in package.rglob("*.py"):
        here = path.relative_to(package).parts[:-1]
        if here and here[0] in found:
            found[here[0]] |= {name for name in _imported(path, here) if name in found} - {here[0]}
    return found


def _imported(path: Path, here: tuple[str, ...]) -> set[str]:
    """First word, below the package, of everything that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            dotted = [alias.name.split(".") for alias in node.names]
            names |= {words[1] for words in dotted if words[0] == "kineme" and len(words) > 1}
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".") if node.module else []
            if node.level:
                module = [*here[: len(here) - node.level + 1], *module]
            elif module[0] == "kineme":
                module = module[1:]
            else:
                continue
            names |= {module[0]} if module else {alias.name for alias in node.names}
    return names


def svg(names: list[str], edges: dict[str, set[str]]) -> str:
    """The picture: boxes down the diagonal, a dot where the box of a row imports the box of a column."""

    def x(i: int) -> float:
        return MARGIN + BOX_W / 2 + i * STEP_X

    def y(i: int) -> float:
        return 70 + BOX_H / 2 + i * STEP_Y

    last = len(names) - 1
    width, height = x(last) + BOX_W / 2 + MARGIN, y(last) + BOX_H / 2 + MARGIN
    lines, dots, boxes = [], [], []
    for row, name in enumerate(names):
        columns = sorted(names.index(other) for other in edges[name])
        if columns:
            lines.append(f'<path class="row" d="M{x(row):g} {y(row):g}H{x(min(columns)):g}"/>')
        users = [i for i, other in enumerate(names) if name in edges[other]]
        if users:
            lines.append(f'<path class="column" d="M{x(row):g} {y(row):g}V{y(max(users)):g}"/>')
        for column in columns:
            kind = "dot" if column < row else "upward"
            title = f"<title>{name} imports {names[column]}</title>"
            dots.append(f'<circle class="{kind}" cx="{x(column):g}" cy="{y(row):g}" r="4.5">{title}</circle>')
        boxes.append(
            f'<rect class="box" x="{x(row) - BOX_W / 2:g}" y="{y(row) - BOX_H / 2:g}" width="{BOX_W}" height="{BOX_H}" '
            f'rx="4"/><text x="{x(row):g}" y="{y(row) + 4:g}" text-anchor="middle">{name}</text>'
        )
    return "\n".join(
        [
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
                f'height="{height:g}" role="img" aria-label="Imports between the subpackages of Kineme">'
            ),
            "<style>",
            "text{font:13px 'DejaVu Sans',Verdana,sans-serif;fill:#1b2733}.note{fill:#52606d}",
            ".box{fill:#e3edf7;stroke:#3a6ea5}.row{stroke:#c7d3df;fill:none}.column{stroke:#dfe6ed;fill:none}",
            ".dot{fill:#3a6ea5}.upward{fill:#c0392b}",
            "</style>",
            f'<rect width="{width:g}" height="{height:g}" fill="#ffffff"/>',
            (
                f'<text class="note" x="{MARGIN}" y="28">A dot: the subpackage of its row imports '
                "the subpackage of its column.</text>"
            ),
            (
                f'<text class="note" x="{MARGIN}" y="48">Every dot lies left of its row\'s box: '
                "imports only run towards the top.</text>"
            ),
            *lines,
            *dots,
            *boxes,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(svg(order(), imports()), encoding="utf-8")
    print(PICTURE)
