"""Which file of the tree an import means, without running anything."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

PACKAGE_FILE = "__init__.py"


class ModuleIndex:
    """The modules of a tree, found by the names that imports give them.

    An absolute import in a file is looked up where Python would look, were the program started anywhere above the
    file: in the file's own folder and each folder around it, and in a folder `src` beside them. Folders that are
    packages themselves (they hold `__init__.py`) are not such places, and a module does not find itself. Failing that,
    a package that stands anywhere in the tree is found by its name, so that the parts of a monorepo find each other.

    A folder without `__init__.py` is a package only for what is found in it; like Python, anything more regular goes
    first. So `import docker` is not the folder `docker/`, but `from docker import entrypoint` may be.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._files = frozenset(paths)
        self._folders = _all_folders(self._files)
        self._packages: dict[str, list[str]] = defaultdict(list)
        for folder in sorted(self._folders, key=lambda folder: (folder.count("/"), folder)):
            outer, _, name = folder.rpartition("/")
            if self._is_package(folder) and folder and not self._is_package(outer):
                self._packages[name].append(outer)
        self._found: dict[tuple[str, str], tuple[Sequence[str], Sequence[str]]] = {}

    def resolve_absolute(self, importer: str, dotted: str) -> str | None:
        """The file that `import dotted` in `importer` means: the deepest module on the way; None where it is none."""
        parts = dotted.split(".")
        regular, namespaces = self._places(importer.rpartition("/")[0], parts[0])
        for place in regular:
            if self._module(_join(place, parts[0])) != importer or importer.endswith(PACKAGE_FILE):
                return self._deepest(place, parts)
        found = (self._deepest(place, parts) for place in namespaces)
        inside = next((file for file in found if file is not None), None)
        if inside is None and parts[0] in self._packages:
            return self._deepest(self._packages[parts[0]][0], parts)
        return inside

    def resolve_nearby(self, importer: str, dotted: str) -> str | None:
        """Guess where `resolve_absolute` finds nothing: as if the program were started inside one of its packages."""
        parts = dotted.split(".")
        for folder in _folders_of(importer):
            if folder and self._is_package(folder) and self._module(_join(folder, parts[0])) not in (None, importer):
                return self._deepest(folder, parts)
        return None

    def resolve_relative(self, importer: str, level: int, dotted: str) -> str | None:
        """The same for `from .dotted` with `level` dots, the imported name being the last part of `dotted`."""
        folder = importer.rpartition("/")[0]
        for _ in range(level - 1):
            if not folder:
                return None
            folder = folder.rpartition("/")[0]
        return self._deepest(folder, dotted.split("."), self._module(folder) if self._is_package(folder) else None)

    def _places(self, folder: str, top: str) -> tuple[Sequence[str], Sequence[str]]:
        """Where a file in `folder` finds `top`: as a module or package, and as a mere folder."""
        known = self._found.get((folder, top))
        if known is None:
            places = list(self._roots(folder))
            regular = [place for place in places if self._module(_join(place, top)) is not None]
            namespaces = [place for place in places if _join(place, top) in self._folders and place not in regular]
            known = self._found[folder, top] = regular, namespaces
        return known

    def _roots(self, folder: str) -> Iterator[str]:
        while True:
            # The root's own name is not known, so what lies in it can only be found from it.
            if not folder or not self._is_package(folder):
                yield folder
                source = _join(folder, "src")
                if source in self._folders and not self._is_package(source):
                    yield source
            if not folder:
                return
            folder = folder.rpartition("/")[0]

    def _deepest(self, place: str, parts: Sequence[str], found: str | None = None) -> str | None:
        """Follow the parts from `place` down as long as they are modules or folders of the tree."""
        for part in parts:
            place = _join(place, part)
            module = self._module(place)
            found = module or found
            if place not in self._folders:
                break
        return found

    def _module(self, dotted_path: str) -> str | None:
        """The file of the package or module at this path without suffix; a package goes before a module."""
        for file in (_join(dotted_path, PACKAGE_FILE), f"{dotted_path}.py"):
            if file in self._files:
                return file
        return None

    def _is_package(self, folder: str) -> bool:
        return _join(folder, PACKAGE_FILE) in self._files


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _all_folders(files: Iterable[str]) -> set[str]:
    """Every folder that holds a file, at any depth; each is climbed from once."""
    folders: set[str] = set()
    for file in files:
        for folder in _folders_of(file):
            if folder in folders:
                break
            folders.add(folder)
    return folders


def _folders_of(path: str) -> Iterator[str]:
    """The folder of the path, and each around it up to the root (`""`)."""
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""
