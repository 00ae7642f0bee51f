from __future__ import annotations

import doctest
from importlib import import_module

import pytest

import trimtab

CLASSES = {
    "DriftDetector": "detector",
    "ModelDeployment": "deployment",
    "OptimizedModel": "optimized",
    "ProductionFeaturePipeline": "feature_pipeline",
    "ProductionModel": "production",
}


@pytest.mark.parametrize("file", [*CLASSES.values(), "current"])
def test_the_examples_in_docstrings_are_true(file: str) -> None:
    found = doctest.testmod(import_module(f"trimtab.library.{file}"))
    assert 0 == found.failed
    assert found.attempted > 0


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_is_where_people_look_for_it(name: str) -> None:
    module = import_module(f"trimtab.library.{CLASSES[name]}")
    assert getattr(trimtab, name) is getattr(module, name)
