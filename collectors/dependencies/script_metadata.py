"""Dependencies that a script declares in its own comments (PEP 723)."""

from collectors.dependencies.import_names import canonical_name
from collectors.dependencies.project_format import at, read_toml
from collectors.dependencies.requirements_format import DeclaredDependency, parse_line

MARK = "# /// script"
_END = "# ///"
_LINES_LIMIT = 1_000


def parse_script_metadata(text: str) -> list[DeclaredDependency]:
    """Return the dependencies of the first block, with normalised names; none where it is malformed."""
    try:
        document = read_toml(_block(text))
    except ValueError:
        return []
    sources = at(document, "tool", "uv", "sources")
    elsewhere = {canonical_name(name) for name in sources} if isinstance(sources, dict) else set()
    wanted = document.get("dependencies")
    found = [parse_line(line) for line in (wanted if isinstance(wanted, list) else ()) if isinstance(line, str)]
    named = [(canonical_name(item.name), item) for item in found if isinstance(item, DeclaredDependency)]
    return [
        DeclaredDependency(name, item.version, indexed=item.indexed and name not in elsewhere)
        for name, item in named
        if name is not None
    ]


def _block(text: str) -> str:
    """Return the TOML between the first two marks. Raises ValueError where a line between them is no comment."""
    lines: list[str] = []
    start = 0 if text.startswith(MARK) else text.find("\n" + MARK) + 1
    for line in text[start:].splitlines()[1 : _LINES_LIMIT + 1]:
        if line == _END:
            return "\n".join(lines)
        if line != "#" and not line.startswith("# "):
            break
        lines.append(line[2:])
    raise ValueError("the block does not end")
