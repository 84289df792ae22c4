"""Count the words of a text file and print the most frequent ones."""

import argparse
import re
from collections import Counter
from pathlib import Path

WORD_PATTERN = re.compile(r"[a-z']+")


def extract_words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return WORD_PATTERN.findall(text.lower())


def count_words(text: str) -> Counter[str]:
    """Return how often each word occurs."""
    return Counter(extract_words(text))


def format_counts(counts: Counter[str], limit: int) -> list[str]:
    """Return one line for each of the most frequent words."""
    return [f"{count:6d} {word}" for word, count in counts.most_common(limit)]


def main() -> None:
    """Read the arguments and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--limit", type=int, default=10)
    arguments = parser.parse_args()
    for line in format_counts(count_words(arguments.path.read_text(encoding="utf-8")), arguments.limit):
        print(line)


if __name__ == "__main__":
    main()
