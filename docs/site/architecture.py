"""Draws the architecture from the code: who imports whom, layer over layer, as SVG. Nothing is drawn by hand.

The layers are those that ``make check`` holds the imports to (pyproject.toml, import-linter); modules of one package
are one box. An arrow is at least one import; those that follow from others are left out. A picture that is not true
cannot be drawn.
"""

from __future__ import annotations

import tomllib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

import grimp

_WIDTH, _BOX, _GAP, _ROW, _HEIGHT, _LEFT = 1060, 120, 16, 74, 30, 20


@dataclass(frozen=True)
class Box:
    """One module or package, and where it is drawn."""

    name: str
    x: float
    y: float

    @property
    def top(self) -> tuple[float, float]:
        """Where arrows arrive."""
        return self.x + _BOX / 2, self.y

    @property
    def bottom(self) -> tuple[float, float]:
        """Where arrows leave."""
        return self.x + _BOX / 2, self.y + _HEIGHT


def draw(root: Path) -> str:
    """The picture of the project in ``root``."""
    packages = {path.parent.name for path in (root / "hub").glob("*/__init__.py")}

    def box(module: str) -> str:
        name = module.removeprefix("hub.").split(".")[0]
        return f"{name}/" if name in packages else name

    layers = _layers(root, box)
    arrows = _imports(box)
    boxes: dict[str, Box] = {}
    y = 16.0
    for layer in layers:
        per_row = (_WIDTH - 2 * _LEFT) // (_BOX + _GAP)
        for start in range(0, len(layer), per_row):
            row = layer[start : start + per_row]
            indent = (_WIDTH - len(row) * (_BOX + _GAP) + _GAP) / 2
            for index, name in enumerate(row):
                boxes[name] = Box(name, indent + index * (_BOX + _GAP), y)
            y += _HEIGHT + 10
        y += _ROW - _HEIGHT - 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y:.0f}" font-family="system-ui,sans-serif" '
        'font-size="12" role="img" aria-label="The modules of the hub and their imports">',
        # Colours that can be read on white and on black.
        "<style>rect{fill:#3f51b5;stroke:#7986cb}text{fill:#fff;text-anchor:middle}path{fill:none;stroke:#7986cb}</style>",
    ]
    down = {
        source: {target for target in arrows[source] if target in boxes and boxes[source].y < boxes[target].y}
        for source in boxes
    }
    for source, targets in sorted(_reduced(down).items()):
        parts += [_arrow(boxes[source], boxes[target]) for target in sorted(targets)]
    for box in boxes.values():
        x, middle = box.x + _BOX / 2, box.y + _HEIGHT / 2 + 4
        parts.append(f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{_BOX}" height="{_HEIGHT}" rx="5"/>')
        parts.append(f'<text x="{x:.0f}" y="{middle:.0f}">{escape(box.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _layers(root: Path, box: Callable[[str], str]) -> list[list[str]]:
    """The boxes of each layer, outermost first."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [contract] = [one for one in contracts if one["type"] == "layers" and "hub.errors" in one["layers"]]
    seen: set[str] = set()
    layers = []
    for line in contract["layers"]:
        names = dict.fromkeys(box(name.strip()) for name in line.replace("(", "").replace(")", "").split("|"))
        layers.append([name for name in names if name not in seen])
        seen.update(names)
    return [layer for layer in layers if layer]


def _imports(box: Callable[[str], str]) -> dict[str, set[str]]:
    graph = grimp.build_graph("hub", cache_dir=None)
    arrows: defaultdict[str, set[str]] = defaultdict(set)
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            source, target = box(module), box(imported)
            if source != target:
                arrows[source].add(target)
    return arrows


def _reduced(arrows: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without those that a longer way says already: what is left can be read."""

    @cache
    def reach(source: str) -> frozenset[str]:
        return frozenset(arrows[source]).union(*(reach(target) for target in arrows[source]))

    return {
        source: {target for target in targets if not any(target in reach(other) for other in targets)}
        for source, targets in arrows.items()
    }


def _arrow(source: Box, target: Box) -> str:
    (x1, y1), (x2, y2) = source.bottom, target.top
    bend = (y2 - y1) / 2
    return f'<path d="M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} {x2:.0f} {y2:.0f}"/>'
