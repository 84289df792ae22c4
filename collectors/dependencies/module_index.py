"""Resolution of imports to files of the tree, without running any code."""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence

PACKAGE_FILE = "__init__.py"
SOURCE_FOLDER = "src"
_SUFFIXES = (".py", ".pyi", ".pyx")
_EXTENSION_SUFFIXES = (".so", ".pyd")


class ModuleIndex:
    """The modules of a tree, found by the names that imports use.

    The roots of a tree are its own root, the folder of each project in it, and each folder `src`. A module in a root is
    found by its full name from every file below that root, or below the folder of that `src`.

    An absolute import is also looked up where Python would look if the program were started in the file's own folder
    or in any folder above it: in each of these folders, and in a folder `src` in each of them. A folder that is a
    package itself (it has an `__init__.py`) is not searched, and a file does not find itself. If nothing is found, a
    top-level package anywhere in the tree matches by name, so the projects of a monorepo find each other. All these
    are guesses: `rooted_only` leaves them out, for names that the tree declares as a dependency.

    A folder without `__init__.py` is a namespace package. As in Python, modules and regular packages win over it, its
    portions in all roots together are one package, and only modules in it can be found: `import docker` does not find
    the folder `docker/`, but `from docker import entrypoint` may find `docker/entrypoint.py`. A folder that holds only
    packages, and that is below `src` or whose full name is imported, is part of a namespace: the packages in it answer
    to their full names alone.
    """

    def __init__(
        self, paths: Iterable[str], *, projects: Iterable[str] = (), imported: Container[str] = frozenset()
    ) -> None:
        """`projects` are folders of projects; `imported` are the top-level names of all imports of the tree."""
        self._files = frozenset(paths)
        self._folders = _all_folders(self._files)
        self._extensions = _extension_modules(self._files)
        self._imported = imported
        sources = (folder for folder in self._folders if folder.rpartition("/")[2] == SOURCE_FOLDER)
        setup_scripts = (path for path in self._files if path.rpartition("/")[2] == "setup.py")
        folders = {"", *projects, *sources, *(path.rpartition("/")[0] for path in setup_scripts)}
        found = {root for folder in folders for root in (folder, _join(folder, SOURCE_FOLDER)) if self._is_root(root)}
        self._tree_roots = sorted(found, key=lambda root: (root.count("/"), root))
        self._with_modules = {path.rpartition("/")[0] for path in self._files}
        self._packages: dict[str, list[str]] = defaultdict(list)
        for folder in sorted(self._folders, key=lambda folder: (folder.count("/"), folder)):
            parent, _, name = folder.rpartition("/")
            if folder and self._is_package(folder) and not self._is_package(parent) and not self._in_namespace(parent):
                self._packages[name].append(parent)
        self._search_results: dict[tuple[str, str], tuple[Sequence[str], Sequence[str]]] = {}

    def resolve_absolute(self, importer: str, dotted: str, *, rooted_only: bool = False) -> str | None:
        """Return the file of the deepest module on the path of `import dotted` in `importer`; None if there is none."""
        parts = dotted.split(".")
        regular, namespaces = self._search(importer.rpartition("/")[0], parts[0])
        for root in regular:
            is_tree_root = root in self._tree_roots
            if rooted_only and not is_tree_root:
                continue
            found = self._deepest(root, parts)
            if found != importer or (is_tree_root and importer.endswith(PACKAGE_FILE)):
                return found
        return self._resolve_in_namespaces(namespaces, parts, rooted_only=rooted_only)

    def _resolve_in_namespaces(self, roots: Sequence[str], parts: Sequence[str], *, rooted_only: bool) -> str | None:
        """Return the deepest module in any portion of the namespace, else one in a package found by name alone."""
        places = [root for root in roots if root in self._tree_roots or not rooted_only]
        places += [root for root in self._tree_roots if root not in places and self._is_namespace_in(root, parts[0])]
        found = [(root, file) for root in places if (file := self._deepest(root, parts)) is not None]
        if found:
            return max(found, key=_matched_parts)[1]
        if rooted_only or parts[0] not in self._packages:
            return None
        return self._deepest(self._packages[parts[0]][0], parts)

    def is_namespace(self, importer: str, name: str) -> bool:
        """Return whether the top-level name is that of a folder in one of the roots, or beside `importer`."""
        beside = importer.rpartition("/")[0]
        return any(self._is_namespace_in(root, name) for root in (*self._tree_roots, beside))

    def _is_namespace_in(self, root: str, name: str) -> bool:
        folder = _join(root, name)
        return folder in self._folders and not self._is_package(folder)

    def _in_namespace(self, folder: str) -> bool:
        """Return whether the folder is a part of a namespace, from whose packages no shorter names are derived."""
        root = max((root for root in self._tree_roots if _is_below(folder, root)), key=len)
        if folder in self._with_modules or folder == root:
            return False
        top = folder[len(root) :].lstrip("/").partition("/")[0]
        return root.rpartition("/")[2] == SOURCE_FOLDER or top in self._imported

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
            if not folder or not (self._is_package(folder) or self._in_namespace(folder)):
                yield folder
                source = _join(folder, SOURCE_FOLDER)
                if self._is_root(source):
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
        for file in (_join(path, PACKAGE_FILE), *(f"{path}{suffix}" for suffix in _SUFFIXES)):
            if file in self._files:
                return file
        return self._extensions.get(path)

    def _is_package(self, folder: str) -> bool:
        return _join(folder, PACKAGE_FILE) in self._files

    def _is_root(self, folder: str) -> bool:
        return not folder or (folder in self._folders and not self._is_package(folder))


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _matched_parts(found: tuple[str, str]) -> int:
    """Return how many parts of a dotted name led from the root to the file."""
    root, file = found
    path = file.removesuffix("/" + PACKAGE_FILE)
    return path.count("/") - (root.count("/") + 1 if root else 0)


def _is_below(path: str, root: str) -> bool:
    return not root or path == root or path.startswith(root + "/")


def _extension_modules(files: Iterable[str]) -> dict[str, str]:
    """Return the extension modules by path without suffix: `_fast.cpython-313-x86_64-linux-gnu.so` is `_fast`."""
    found = {}
    for file in sorted(files):
        if file.endswith(_EXTENSION_SUFFIXES):
            folder, _, name = file.rpartition("/")
            found[_join(folder, name.partition(".")[0])] = file
    return found


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
