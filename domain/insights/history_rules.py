"""Rules about the history of a run: who changes what, and what changes together."""

from collections.abc import Iterator

from domain.insights.insight import Insight, InsightType, RunFacts, confidence

MOST_OF_A_TYPE = 3
"""Of hotspots and coupled pairs only the clearest are said; the run's `history` lists all."""

MIN_HOTSPOT_SCORE = 25.0
"""A file among the most changed quarter whose health is below two thirds has about this score."""

MIN_AI_SHARE = 0.1


def hotspots(run: RunFacts) -> Iterator[Insight]:
    """Files that are changed often and are hard to change."""
    part = (run.history or {}).get("hotspots") or {}
    files = [file for file in part.get("files") or () if (file["score"] or 0.0) >= MIN_HOTSPOT_SCORE]
    for file in files[:MOST_OF_A_TYPE]:
        yield Insight(
            type=InsightType.HOTSPOT,
            title=f"{file['path']} is changed often and hard to change",
            description=(
                f"It is changed more often than {file['percentile']:.0f} % of the source files, "
                f"and its health is {file['health']:.0f} of 100."
            ),
            confidence=confidence(
                run.completeness_of("churn"),
                sample=file["commits"],
                sample_half=10,
                effect=file["score"],
                effect_half=MIN_HOTSPOT_SCORE,
            ),
            data={
                **{key: file[key] for key in ("commits", "percentile", "health", "score")},
                "places": [{"path": file["path"]}],
                "refuted_by": "its changes were mechanical, such as a new format or a renamed import",
            },
        )


def hidden_coupling(run: RunFacts) -> Iterator[Insight]:
    """Files that change together without importing each other."""
    pairs = ((run.history or {}).get("coupling") or {}).get("pairs") or ()
    for pair in [pair for pair in pairs if pair["kind"] == "hidden"][:MOST_OF_A_TYPE]:
        yield Insight(
            type=InsightType.HIDDEN_COUPLING,
            title=f"{pair['left']} and {pair['right']} change together",
            description=(
                f"{pair['shared']} commits changed both, a degree of coupling of {pair['degree']:.0f} %, "
                "though neither imports the other."
            ),
            confidence=confidence(
                run.completeness_of("churn"),
                sample=pair["shared"],
                sample_half=5,
                effect=pair["degree"],
                effect_half=30,
            ),
            data={
                **{key: pair[key] for key in ("shared", "degree", "confidence")},
                "places": [{"path": pair["left"]}, {"path": pair["right"]}],
                "refuted_by": "a third file or a release step explains why they change together",
            },
        )


def knowledge_risk(run: RunFacts) -> Iterator[Insight]:
    """Source code that nobody, or one person alone, knows."""
    ownership = (run.history or {}).get("ownership")
    if not ownership or ownership["people"] < 2:
        return
    active = ownership["truck_factor_without_silent"]["people"]
    if min(active, ownership["truck_factor"]["people"]) > 1:
        return
    now = "no active person knows" if active == 0 else "one person alone knows"
    yield Insight(
        type=InsightType.KNOWLEDGE_RISK,
        title=f"{now.capitalize()} most of the code",
        description=(
            f"Of {ownership['people']} people, {now} half of the source files; people who have not committed for a "
            "year are left out."
        ),
        confidence=confidence(
            run.completeness_of("churn"),
            sample=ownership["people"],
            sample_half=2,
            effect=2 - active,
            effect_half=1,
        ),
        data={
            "people": ownership["people"],
            "truck_factor": ownership["truck_factor"]["people"],
            "truck_factor_without_silent": active,
            "refuted_by": "knowledge is shared in reviews, in pairs or in documents that the history does not show",
        },
    )


def ai_share(run: RunFacts) -> Iterator[Insight]:
    """The share of commits that name an AI assistant."""
    share = (run.history or {}).get("ai_share") or {}
    if (share.get("commit_share") or 0.0) < MIN_AI_SHARE:
        return
    yield Insight(
        type=InsightType.AI_SHARE,
        title=f"An AI assistant is named in {share['commit_share'] * 100:.0f} % of the commits",
        description=(
            f"{share['commits']} of {share['of_commits']} commits name an AI assistant as author or co-author."
        ),
        confidence=confidence(
            run.completeness_of("churn"), sample=share["of_commits"], sample_half=10, effect=1, effect_half=0
        ),
        data={
            **share,
            "refuted_by": "assistants were used without being named, or named without having written the change",
        },
    )
