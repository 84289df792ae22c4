"""Resolution of imports to files of the tree, without running any code."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

PACKAGE_FILE = "__init__.py"


class ModuleIndex:
    """The modules of a tree, found by the names that imports use.

    An absolute import is looked up where Python would look if the program were started in the file's own folder or in
    any folder above it: in each of these folders, and in a folder `src` in each of them. A folder that is a package
    itself (it has an `__init__.py`) is not searched, and a module does not find itself. If nothing is found, a
    top-level package anywhere in the tree matches by name, so the projects of a monorepo find each other.

    A folder without `__init__.py` is a namespace package. As in Python, modules and regular packages win over it, and
    only modules in it can be found: `import docker` does not find the folder `docker/`, but
    `from docker import entrypoint` may find `docker/entrypoint.py`.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._files = frozenset(paths)
        self._folders = _all_folders(self._files)
        self._packages: dict[str, list[str]] = defaultdict(list)
        for folder in sorted(self._folders, key=lambda folder: (folder.count("/"), folder)):
            parent, _, name = folder.rpartition("/")
            if self._is_package(folder) and folder and not self._is_package(parent):
                self._packages[name].append(parent)
        self._search_results: dict[tuple[str, str], tuple[Sequence[str], Sequence[str]]] = {}

    def resolve_absolute(self, importer: str, dotted: str) -> str | None:
        """Return the file of the deepest module on the path of `import dotted` in `importer`; None if there is none."""
        parts = dotted.split(".")
        regular, namespaces = self._search(importer.rpartition("/")[0], parts[0])
        for root in regular:
            if self._module(_join(root, parts[0])) != importer or importer.endswith(PACKAGE_FILE):
                return self._deepest(root, parts)
        found = (self._deepest(root, parts) for root in namespaces)
        in_namespace = next((file for file in found if file is not None), None)
        if in_namespace is None and parts[0] in self._packages:
            return self._deepest(self._packages[parts[0]][0], parts)
        return in_namespace

    def resolve_nearby(self, importer: str, dotted: str) -> str | None:
        """Resolve an absolute import as if the program were started inside one of the packages around `importer`.

        This is a guess, for imports that `resolve_absolute` does not find.
        """
        parts = dotted.split(".")
        for folder in _folders_of(importer):
            if folder and self._is_package(folder) and self._module(_join(folder, parts[0])) not in (None, importer):
                return self._deepest(folder, parts)
        return None

    def resolve_relative(self, importer: str, level: int, dotted: str) -> str | None:
        """Resolve `from .dotted` with `level` dots; the imported name is the last part of `dotted`."""
        folder = importer.rpartition("/")[0]
        for _ in range(level - 1):
            if not folder:
                return None
            folder = folder.rpartition("/")[0]
        return self._deepest(folder, dotted.split("."), self._module(folder) if self._is_package(folder) else None)

    def _search(self, folder: str, top: str) -> tuple[Sequence[str], Sequence[str]]:
        """Return the roots in which a file in `folder` finds `top` as a module or package, and as a plain folder."""
        known = self._search_results.get((folder, top))
        if known is None:
            roots = list(self._roots(folder))
            regular = [root for root in roots if self._module(_join(root, top)) is not None]
            namespaces = [root for root in roots if _join(root, top) in self._folders and root not in regular]
            known = self._search_results[folder, top] = regular, namespaces
        return known

    def _roots(self, folder: str) -> Iterator[str]:
        while True:
            # The name of the tree's root folder is not known, so its modules can only be found from the root itself.
            if not folder or not self._is_package(folder):
                yield folder
                source = _join(folder, "src")
                if source in self._folders and not self._is_package(source):
                    yield source
            if not folder:
                return
            folder = folder.rpartition("/")[0]

    def _deepest(self, path: str, parts: Sequence[str], found: str | None = None) -> str | None:
        """Follow the parts below `path` while they are modules or folders; return the last module, else `found`."""
        for part in parts:
            path = _join(path, part)
            found = self._module(path) or found
            if path not in self._folders:
                break
        return found

    def _module(self, path: str) -> str | None:
        """Return the file of the package or module at this path without suffix; a package wins over a module."""
        for file in (_join(path, PACKAGE_FILE), f"{path}.py"):
            if file in self._files:
                return file
        return None

    def _is_package(self, folder: str) -> bool:
        return _join(folder, PACKAGE_FILE) in self._files


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _all_folders(files: Iterable[str]) -> set[str]:
    """Return every folder that contains a file, at any depth. Each folder is visited once."""
    folders: set[str] = set()
    for file in files:
        for folder in _folders_of(file):
            if folder in folders:
                break
            folders.add(folder)
    return folders


def _folders_of(path: str) -> Iterator[str]:
    """Yield the folder of the path, then each folder above it, up to the root (`""`)."""
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""
