"""A small to-do list that is stored as JSON."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class Item:
    """One entry of the list."""

    text: str
    done: bool = False


class TodoList:
    """The list and its file."""

    def __init__(self, path: Path) -> None:
        """Load the file if it exists."""
        self.path = path
        self.items: list[Item] = []
        if path.exists():
            self.items = [Item(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]

    def add(self, text: str) -> None:
        """Append an entry."""
        self.items.append(Item(text=text))

    def complete(self, number: int) -> bool:
        """Mark an entry as done. Returns whether it exists."""
        if not 0 <= number < len(self.items):
            return False
        self.items[number].done = True
        return True

    def clear(self) -> None:
        """Remove the entries that are done."""
        self.items = [item for item in self.items if not item.done]

    def save(self) -> None:
        """Write the file."""
        self.path.write_text(json.dumps([asdict(item) for item in self.items]), encoding="utf-8")

    def lines(self) -> list[str]:
        """Return a line for each entry."""
        return [f"{number} {'x' if item.done else '-'} {item.text}" for number, item in enumerate(self.items)]


def main(arguments: list[str]) -> int:
    """Carry out one command and return an exit code."""
    todo = TodoList(Path.home() / ".todo.json")
    command, rest = (arguments[0], arguments[1:]) if arguments else ("list", [])
    if command == "add":
        todo.add(" ".join(rest))
    elif command == "done":
        for number in rest:
            todo.complete(int(number))
    elif command == "clear":
        todo.clear()
    print("\n".join(todo.lines()))
    todo.save()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
