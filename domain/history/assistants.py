"""Bots and AI assistants, as their names and addresses tell them apart in a history."""

import re
from collections.abc import Sequence

BOT_NAMES = (r"\[bot\]", "dependabot", "renovate", "pre-commit-ci", "pyup", "github-actions")
"""Patterns of names and addresses of programs whose commits nobody wrote."""

ASSISTANTS: Sequence[tuple[str, str]] = (
    ("Claude", r"<noreply@anthropic\.com>|^claude(\[bot\]| code) <"),
    ("GitHub Copilot", r"copilot@users\.noreply\.github\.com>|^(github )?copilot <|^copilot-swe-agent\b"),
    ("Cursor", r"<cursoragent@cursor\.com>|^cursor ?agent <"),
    ("OpenAI Codex", r"<(noreply|codex)@openai\.com>|^(openai )?codex <|^chatgpt\b"),
    ("Gemini", r"^gemini[ -](cli|code[ -]assist)\b|<(\d+\+)?gemini-(cli|code-assist)\b"),
    ("Jules", r"^google-labs-jules\b|<(\d+\+)?google-labs-jules\b"),
    ("Devin", r"^devin[ -]ai\b|<(\d+\+)?devin-ai-integration\b"),
    ("Aider", r"\(aider\) <|^aider\b|<(noreply|aider)@aider\.chat>"),
    ("Amazon Q", r"^amazon[ -]q\b|<(\d+\+)?amazon-q-developer\b"),
    ("Amp", r"<amp@ampcode\.com>"),
    ("OpenHands", r"^openhands\b|<openhands@all-hands\.dev>"),
    ("Sweep", r"^sweep-ai\b|<(\d+\+)?sweep-ai\b"),
)
"""Names of AI assistants, each with the pattern of `name <address>` in lower case.

Only names and addresses that an assistant writes itself: a person may be called Claude or Devin.
"""

_BOT = re.compile("|".join(BOT_NAMES))
_ASSISTANT = re.compile("|".join(pattern for _, pattern in ASSISTANTS))


def is_bot(name: str, email: str) -> bool:
    """Return whether the author is a bot. Some assistants are bots too."""
    return _BOT.search(f"{name} <{email}>".lower()) is not None


def is_assistant(name: str, email: str) -> bool:
    """Return whether name and address are those of an AI assistant in `ASSISTANTS`."""
    return _ASSISTANT.search(f"{name.strip()} <{email.strip()}>".lower()) is not None
