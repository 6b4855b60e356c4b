"""Comparing what the reference said with what smalti said: every number, means and classes."""

import math

Scores = dict  # {"metrics": {name: value}, "classes": {(id, name): {name: value}}}; None: not defined


def value(number) -> float | None:
    """A reference's number; NaN and COCO's -1 mean that there is none."""
    number = float(number)
    return None if math.isnan(number) or number == -1 else number


def differences(expected: Scores, got: dict, tolerance: float) -> list[str]:
    """One line for every number that differs or is missing."""
    lines = []
    compare("metrics", expected["metrics"], got.get("metrics", {}), tolerance, lines)
    classes = got.get("classes", {})
    for keys, row in expected["classes"].items():
        keys = keys if isinstance(keys, tuple) else (keys,)
        found = next((classes[str(key)] for key in keys if str(key) in classes), None)
        if found is None:
            if any(number is not None for number in row.values()):
                lines.append(f"class {keys[0]}: expected {row}, got none of that name")
            continue
        compare(f"class {keys[0]}", row, found, tolerance, lines)
    return lines


def compare(where: str, expected: dict, got: dict, tolerance: float, lines: list[str]) -> None:
    for name, want in expected.items():
        if name not in got:
            lines.append(f"{where}: {name} expected {want}, got no such number")
            continue
        have = got[name]
        both = want is not None and have is not None
        if want is not have if not both else not abs(want - have) <= tolerance:
            lines.append(f"{where}: {name} expected {want!r}, got {have!r}")
