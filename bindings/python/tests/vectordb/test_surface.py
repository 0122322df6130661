"""Every member of the package with its signature, from `surface.json`."""

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SURFACE = json.loads((Path(__file__).parent / "surface.json").read_text(encoding="utf-8"))
CLASSES = [(name, members) for name, members in SURFACE["classes"].items()]


def found(path: str) -> Any:
    """The object of a dotted name."""
    module, name = path.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def names(function: Any) -> list[str]:
    """Parameters with their defaults, without the object itself."""
    parameters = inspect.signature(function).parameters.values()
    shown = [
        parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"
        for parameter in parameters
    ]
    return shown[1:] if shown[:1] in (["self"], ["cls"]) else shown


@pytest.mark.parametrize(("module", "expected"), SURFACE["modules"].items())
def test_modules(module: str, expected: list[str]) -> None:
    """Each name, and what a star imports."""
    imported = importlib.import_module(module)
    for name in expected:
        assert hasattr(imported, name), name
    if module.count(".") < 2:
        assert sorted(imported.__all__) == sorted(expected)


@pytest.mark.parametrize("path", SURFACE["same"])
def test_names_of_one_object(path: list[str]) -> None:
    """By whatever way it is reached."""
    first, *others = map(found, path)
    assert all(other is first for other in others)


@pytest.mark.parametrize(("path", "members"), CLASSES, ids=[path for path, _ in CLASSES])
def test_classes(path: str, members: dict[str, Any]) -> None:
    """Constructor, methods and attributes."""
    cls = found(path)
    assert cls.__name__ == path.rsplit(".", 1)[1]
    assert cls.__module__ == path.rsplit(".", 1)[0]
    assert cls.__doc__
    assert names(cls) == members["init"]
    for name, parameters in members["methods"].items():
        method = getattr(cls, name)
        assert names(method) == parameters, name
        assert method.__doc__, name
    for name in members["attributes"]:
        assert inspect.isdatadescriptor(getattr(cls, name)), name


@pytest.mark.parametrize(("path", "parameters"), SURFACE["functions"].items())
def test_functions(path: str, parameters: list[str]) -> None:
    """By position or keyword."""
    function = found(path)
    assert names(function) == parameters
    assert function.__doc__


def test_importing_is_silent() -> None:
    """No thread, no warning, no draw from `random`."""
    program = "import random; s = random.getstate(); import vectordb, threading; assert random.getstate() == s; " + (
        "assert threading.active_count() == 1; import sys; assert 'numpy' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
