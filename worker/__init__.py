"""The program: ARQ tasks, use cases, maintenance, the command, and the client that an API imports."""

from importlib.util import find_spec
from pathlib import Path


def _require_own_packages(root: Path) -> None:
    """Raise ImportError where a package of the same name comes before one of ours on Python's path."""
    for name in ("domain", "infrastructure", "collectors"):
        spec = find_spec(name)
        places = [] if spec is None else [Path(place).resolve() for place in spec.submodule_search_locations or ()]
        if spec is not None and root / name not in places:
            raise ImportError(
                f"{spec.origin or name} comes before the package {name!r} of vibe8-worker on Python's path: "
                "rename it, or start the program from another directory"
            )


_require_own_packages(Path(__file__).resolve().parent.parent)
