import pytest

from domain.history.assistants import is_assistant, is_bot

GITHUB = "users.noreply.github.com"


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("Claude", "noreply@anthropic.com"),
        ("Claude Opus 4.5", "noreply@anthropic.com"),
        ("Copilot", f"175728472+Copilot@{GITHUB}"),
        ("Copilot Autofix powered by AI", f"175728472+Copilot@{GITHUB}"),
        ("copilot-swe-agent[bot]", f"198982749+Copilot@{GITHUB}"),
        ("Cursor Agent", "cursoragent@cursor.com"),
        ("Codex", "noreply@openai.com"),
        ("gemini-code-assist[bot]", f"176961590+gemini-code-assist[bot]@{GITHUB}"),
        ("google-labs-jules[bot]", f"161369871+google-labs-jules[bot]@{GITHUB}"),
        ("devin-ai-integration[bot]", f"158243242+devin-ai-integration[bot]@{GITHUB}"),
        ("Ann (aider)", "ann@example.org"),
        ("amazon-q-developer[bot]", f"208079219+amazon-q-developer[bot]@{GITHUB}"),
        ("Amp", "amp@ampcode.com"),
        ("openhands", "openhands@all-hands.dev"),
        ("sweep-ai[bot]", f"128439645+sweep-ai[bot]@{GITHUB}"),
    ],
)
def test_assistants_are_recognised(name: str, email: str) -> None:
    assert is_assistant(name, email)
    assert is_assistant(name.upper(), email.upper())


@pytest.mark.parametrize(
    ("name", "email"),
    [
        ("Claude Paroz", "claude@2xlibre.net"),
        ("Claude", "claude@example.org"),
        ("Ann", "ann@anthropic.com"),
        ("Bob", "bob@openai.com"),
        ("Devin Smith", "devin@example.org"),
        ("Daniel Devine", "devine@example.org"),
        ("Jules Verne", "jules@example.org"),
        ("Codex Maintainer", "c@example.org"),
        ("dependabot[bot]", f"49699333+dependabot[bot]@{GITHUB}"),
        ("", ""),
    ],
)
def test_people_and_other_bots_are_no_assistants(name: str, email: str) -> None:
    assert not is_assistant(name, email)


@pytest.mark.parametrize(
    "name",
    ["dependabot[bot]", "dependabot-preview", "Renovate Bot", "pre-commit-ci", "pyup-bot", "GitHub-Actions", "x[bot]"],
)
def test_bots_are_recognised_by_name_or_address(name: str) -> None:
    assert is_bot(name, "")
    assert is_bot("", f"{name}@example.org")
    assert not is_bot("Abbot Botter", "robot@example.org")
