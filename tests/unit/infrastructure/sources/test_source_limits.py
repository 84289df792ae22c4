import dataclasses

from infrastructure.sources.tree.limits import KIB, MIB, SourceLimits


def test_defaults_match_the_specification() -> None:
    limits = SourceLimits()
    assert dataclasses.asdict(limits) == {
        "max_upload_bytes": 5 * MIB,
        "max_zip_entries": 10_000,
        "max_inflated_bytes": 200 * MIB,
        "max_zip_ratio": 200,
        "max_clone_bytes": 1024 * MIB,
        "max_tree_files": 50_000,
        "max_file_bytes": 2048 * KIB,
    }


def test_limits_survive_conversion_to_json() -> None:
    limits = SourceLimits(max_zip_ratio=7, max_tree_files=3)
    assert SourceLimits.from_json(limits.to_json()) == limits
    assert limits.max_listed_entries == 60
