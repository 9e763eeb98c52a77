"""The shape of the package: who may import whom, which file holds each outside library, and what `import` costs.

Imports are read from the source with `ast`, those inside functions included: a rule holds for code that no test runs.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import decision_minrnn

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = "decision_minrnn"
PACKAGE = Path(next(iter(decision_minrnn.__path__)))
CHECKOUT = Path(__file__).resolve().parents[1]

FLOORS = (
    ("errors", "evaluation", "files", "types", "versions"),
    ("records",),
    ("cards", "config", "devices", "interruption", "losses", "ops"),
    ("optimization", "published", "registration", "scores"),
    ("data", "distributed", "encoders"),
    ("envs", "model", "origin"),
    ("checkpoint", "doctor", "figures", "progress", "replay", "tracking"),
    ("sharing",),
    ("policy",),
    ("agent", "learner", "rounding"),
    ("episodes", "graphed"),
    ("worker",),
    ("workers",),
    ("rollout",),
    ("board", "loop", "runs", "video"),
    ("export", "training"),
    ("collection", "report", "seeds", "selftest", "sweep", "tasks"),
    ("benchmarks",),
    ("cli",),
    ("__main__",),
)
"""From the ground up. A module, or a package with all that is in it, imports only from lower floors."""

FLOOR_OF = {unit: floor for floor, units in enumerate(FLOORS, start=1) for unit in units}

HOMES = {
    "gymnasium": ("agent", "envs", "data.minari", "selftest.ledger"),
    "minari": ("data.minari",),
    "h5py": ("data.d4rl",),
    "tensorboard": ("tracking",),
    "torch.utils.tensorboard": ("tracking",),
    "tyro": ("cli",),
    "matplotlib": ("figures",),
    "huggingface_hub": ("sharing",),
    "onnx": ("export.onnx",),
    "onnxruntime": ("export.onnx",),
    "jinja2": ("report.page",),
    "imageio": ("video",),
    "PIL": ("tracking", "video"),
    "stable_baselines3": ("collection.sac",),
    "transformers": ("benchmarks.public",),
    "minGRU_pytorch": ("benchmarks.public",),
    "d3rlpy": ("benchmarks.public",),
    "triton": ("ops.triton",),
    "ray": ("sweep.cluster",),
    "rich": ("cli", "loop", "progress", "seeds", "sweep", "tasks", "training"),
}
"""Where an outside library may be imported: a module, or any module of a package."""

HEAVY = (
    "torch", "scipy", "gymnasium", "minari", "h5py", "tensorboard", "matplotlib", "tyro", "rich", "stable_baselines3",
    "triton", "onnx", "onnxruntime", "huggingface_hub"
)  # fmt: skip


class SourceImports(ast.NodeVisitor):
    """Collects what a module imports; blocks under `if TYPE_CHECKING` do not count, since they never run."""

    def __init__(self, module: str, is_package: bool, modules: Collection[str]) -> None:
        self.package = module if is_package else module.rpartition(".")[0]
        self.modules = modules
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        parents = self.package.split(".")
        base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
        source = ".".join(filter(None, (base, node.module)))
        for alias in node.names:
            submodule = f"{source}.{alias.name}"
            ours = source.split(".")[0] == ROOT
            # For another library the longer name is kept: it tells `from torch.utils import tensorboard`.
            self.found.add(submodule if submodule in self.modules or not ours else source)


def read_package(folder: Path) -> dict[str, str]:
    """Source text by full module name; a package stands under the name of its folder with `.__init__`."""
    sources = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        sources[".".join((ROOT, *parts))] = path.read_text(encoding="utf-8")
    return sources


def imports_by_module(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """What each module imports, by full name; `.__init__` is dropped from the names."""
    modules = {name.removesuffix(".__init__") for name in sources}
    result = {}
    for name, source in sources.items():
        module = name.removesuffix(".__init__")
        visitor = SourceImports(module, module != name, modules)
        visitor.visit(ast.parse(source))
        result[module] = visitor.found
    return result


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def unit_of(module: str) -> str:
    """The name under which a module stands in the floor table."""
    return module.split(".")[1] if "." in module else ""


def floor_of(module: str) -> int | None:
    """None where the table lacks the module; the package's face stands above everything."""
    return FLOOR_OF.get(unit_of(module)) if unit_of(module) else len(FLOORS) + 1


def floor_faults(imports: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Modules without a floor, and imports that do not go down."""
    for module in imports:
        if floor_of(module) is None:
            yield f"{module} has no floor: add '{unit_of(module)}' to FLOORS in {Path(__file__).name}"
    for module, imported in imports.items():
        for other in sorted(name for name in imported if is_in(name, ROOT)):
            mine, theirs = floor_of(module), floor_of(other)
            if other == ROOT:
                yield f"{module} imports from the package's face; import from the module that defines the name"
            elif mine is None or theirs is None or unit_of(module) == unit_of(other):
                continue
            elif theirs >= mine:
                yield f"{module} (floor {mine}) imports {other} (floor {theirs}); only lower floors are allowed"


def cycle_faults(imports: Mapping[str, Collection[str]]) -> Iterator[str]:
    graph = {module: {name for name in found if name in imports} for module, found in imports.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"cycle: {' <- '.join(error.args[1])}"


def home_faults(imports: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Outside libraries imported elsewhere than at home."""
    for module, imported in imports.items():
        for library, homes in HOMES.items():
            at_home = any(is_in(module, f"{ROOT}.{home}") for home in homes)
            if not at_home and any(is_in(name, library) for name in imported):
                yield f"{module} imports {library}; only {' and '.join(homes)} may"


def faults(sources: Mapping[str, str]) -> list[str]:
    imports = imports_by_module(sources)
    return [*floor_faults(imports), *cycle_faults(imports), *home_faults(imports)]


SOUND = {
    f"{ROOT}.__init__": f"def train():\n    from {ROOT}.training import train",
    f"{ROOT}.errors": "import os",
    f"{ROOT}.data.__init__": "from . import minari, store",
    f"{ROOT}.data.minari": f"import minari\nfrom .store import Store\nfrom {ROOT}.errors import DataError",
    f"{ROOT}.data.store": f"from {ROOT} import errors",
    f"{ROOT}.training": f"from {ROOT}.data import store\nfrom torch.utils import data",
}


def test_sound_source_has_no_faults() -> None:
    assert faults(SOUND) == []


@pytest.mark.parametrize(
    ("module", "source", "fault"),
    [
        ("errors", f"from {ROOT}.training import train", "errors (floor 1) imports decision_minrnn.training"),
        ("errors", f"def f():\n    import {ROOT}.training", "errors (floor 1) imports decision_minrnn.training"),
        ("errors", "from .training import train", "errors (floor 1) imports decision_minrnn.training"),
        ("errors", f"if True:\n    from {ROOT} import training", "errors (floor 1) imports decision_minrnn.training"),
        ("errors", f"from {ROOT} import train", "errors imports from the package's face"),
        ("cards", f"from {ROOT}.ops import linear_scan", "cards (floor 3) imports decision_minrnn.ops (floor 3)"),
        ("data.store", "from ..training import train", "data.store (floor 5) imports decision_minrnn.training"),
        ("data.store", "from . import minari", "cycle: decision_minrnn.data."),
        ("data.store", f"import {ROOT}.data", "cycle: decision_minrnn.data"),
        ("novelty", "", "novelty has no floor: add 'novelty' to FLOORS"),
        (
            "training",
            "import gymnasium as gym",
            "training imports gymnasium; only agent and envs and data.minari and selftest.ledger may",
        ),
        ("training", "def f():\n    from minari.dataset import A", "training imports minari; only data.minari may"),
        ("model", "from torch.utils import tensorboard", "model imports torch.utils.tensorboard; only tracking may"),
        ("model", "from torch.utils.tensorboard import SummaryWriter", "model imports torch.utils.tensorboard"),
    ],
)
def test_each_fault_is_found(module: str, source: str, fault: str) -> None:
    assert any(fault in found for found in faults(SOUND | {f"{ROOT}.{module}": source}))


def test_imports_for_type_checking_do_not_count() -> None:
    source = f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {ROOT}.training import train"
    assert faults(SOUND | {f"{ROOT}.errors": source}) == []
    assert faults(SOUND | {f"{ROOT}.errors": source + f"\nelse:\n    import {ROOT}.training"})


def test_modules_import_only_from_lower_floors_and_libraries_stay_at_home() -> None:
    sources = read_package(PACKAGE)
    assert f"{ROOT}.errors" in sources
    found = faults(sources)
    assert not found, "\n".join(found)


def test_importing_the_package_is_light() -> None:
    code = f"import sys, {ROOT}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not loaded, f"`import {ROOT}` loads {', '.join(loaded)}; import them in the function that needs them"


needs_checkout = pytest.mark.skipif(
    not (CHECKOUT / ROOT / "errors.py").is_file(), reason="reads the repository, which is not beside these tests"
)


@needs_checkout
def test_card_and_run_folders_are_data_only() -> None:
    # An importable `datasets` here would hide the library of that name from everyone who installs the package.
    code = [path for folder in ("envs", "datasets", "runs") for path in (CHECKOUT / folder).glob("*.py")]
    assert not code, f"{', '.join(map(str, code))}: these folders hold data, never code"


@needs_checkout
def test_every_package_is_listed_for_the_wheel() -> None:
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = set(settings["tool"]["setuptools"]["packages"])
    folders = {path.parent.relative_to(CHECKOUT) for path in (CHECKOUT / ROOT).rglob("*.py")}
    missing = {".".join(folder.parts) for folder in folders} - listed
    assert not missing, f"add {', '.join(sorted(missing))} to [tool.setuptools] packages in pyproject.toml"
