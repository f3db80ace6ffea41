"""Promises about the whole repository that no single module can keep."""

import ast
import subprocess
import sys
import time
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.startup import bootstrap_project

from allears.pipeline_registry import PARTS, register_pipelines
from allears.settings import CONFIG_LOADER_ARGS
from tests.project import ROOT, kedro

LAYERS = {"raw", "intermediate", "primary", "feature", "model_input", "models", "model_output", "reporting"}
HEAVY = ("torch", "pytorch_lightning", "transformers", "webdataset")
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 60


@pytest.fixture(scope="module")
def pipelines():
    bootstrap_project(ROOT)
    return register_pipelines()


@pytest.fixture(scope="module")
def catalog():
    loader = OmegaConfigLoader(str(ROOT / "conf"), env="local", **CONFIG_LOADER_ARGS)
    return {name: entry for name, entry in loader["catalog"].items() if not name.startswith("_")}


def test_imports_keep_the_layers():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


@pytest.mark.parametrize("name", sorted(PARTS))
def test_what_a_pipeline_needs_is_in_the_catalog(pipelines, catalog, name):
    free = {each for each in pipelines[name].inputs() if not each.startswith("params:")}
    assert free <= set(catalog)
    assert pipelines[name].all_outputs() <= set(catalog), "every output is kept"


def test_the_chain_needs_nothing_but_what_is_remembered_of_the_corpus_and_the_shipped_policies(pipelines):
    for name in ("pretrain", "__default__"):
        free = {each for each in pipelines[name].inputs() if not each.startswith("params:")}
        assert free == {"corpus_settings", "shipped_policies"}


def test_layers_follow_each_other(pipelines, catalog):
    """Kedro-Viz shows layers only when data never flows back into an earlier one."""
    layer = {name: entry["metadata"]["kedro-viz"]["layer"] for name, entry in catalog.items()}
    flow: dict[str, set[str]] = {}
    for node in pipelines["__default__"].nodes:
        sources = {layer[name] for name in node.inputs if name in layer}
        for name in node.outputs:
            flow.setdefault(layer[name], set()).update(sources - {layer[name]})
    assert set(TopologicalSorter(flow).static_order()) == set(layer.values())


def test_every_catalog_name_is_used_and_lies_in_a_layer(pipelines, catalog):
    assert set(catalog) == pipelines["__default__"].datasets() - {
        each for each in pipelines["__default__"].datasets() if each.startswith("params:")
    }
    for name, entry in catalog.items():
        assert entry["metadata"]["kedro-viz"]["layer"] in LAYERS, name


def test_pipelines_have_small_named_steps(pipelines):
    for node in pipelines["__default__"].nodes:
        assert node.func.__doc__, node.name
        assert node.outputs, node.name


def tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).exists()]


def test_files_fit_a_sitting():
    assert [str(p) for p in tracked("*.py") if len(p.read_text().splitlines()) > MOST_LINES] == []


def test_functions_fit_a_screen():
    long = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in tracked("src/*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    ]
    assert long == []


def test_everything_that_is_declared_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    for requirement in declared:
        name = requirement.split("[")[0].split(">")[0].split("<")[0].split("=")[0].split(";")[0].strip()
        assert name.lower().replace("_", "-") in pinned, requirement
    assert "+" not in (ROOT / "constraints.txt").read_text(), "no build of one machine"


def test_start_up_imports_nothing_heavy():
    program = (
        "import sys; sys.argv = ['kedro', 'registry', 'list']\n"
        "from kedro.framework.cli import main\n"
        "try:\n main()\nexcept SystemExit: pass\n"
        f"print('HEAVY', [m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    assert "- pretrain" in done.stdout


def test_a_wrong_command_is_quick_and_is_a_sentence():
    before = time.monotonic()
    done = kedro(ROOT, "run", "--pipeline", "pretrian")
    assert done.returncode == 1
    assert "did you mean 'pretrain'?" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert time.monotonic() - before < 60
