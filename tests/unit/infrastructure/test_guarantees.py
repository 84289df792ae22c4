"""What is said of each kind of machine."""

import struct
from dataclasses import replace

import pytest

from domain.errors import InvalidInputError
from infrastructure.sandbox import seccomp
from infrastructure.sandbox.guarantees import guarantees, require
from infrastructure.sandbox.kernel_features import Means

WHOLE = Means(seccomp=True, counts=True, sees_files=True)
SECOND_LOCKS = {"no network, second lock", "git's port alone"}
LANDLOCK_3 = replace(WHOLE, landlock=3)
"""An ordinary user in a plain container, on Linux 6.2."""
LANDLOCK_6 = replace(WHOLE, landlock=6)


def missing(means: Means) -> set[str]:
    return {one.name for one in guarantees(means) if not one.available}


@pytest.mark.parametrize(
    ("means", "lacking"),
    [
        (LANDLOCK_6, {"no network, second lock"}),
        (LANDLOCK_3, {"no signals to others", *SECOND_LOCKS}),
        (replace(WHOLE, landlock=3, root=True, users=range(9), plain=True), SECOND_LOCKS),
        (replace(WHOLE, landlock=6, root=True), {"no privileges", "no network, second lock"}),
        (Means(landlock=6, seccomp=True, counts=True), {"bounded memory, CPU and disk", "no network, second lock"}),
        (Means(), {one.name for one in guarantees(Means())} - {"no privileges"}),
    ],
)
def test_what_is_missing(means: Means, lacking: set[str]) -> None:
    assert missing(means) == lacking


def test_required_names_all_that_is_missing_in_one_line() -> None:
    require("required", guarantees(LANDLOCK_6))
    require("auto", guarantees(Means()))
    with pytest.raises(InvalidInputError) as raised:
        require("required", guarantees(LANDLOCK_3))
    assert str(raised.value).count("\n") == 0
    assert "no signals to others (Landlock 6 (signals)" in str(raised.value)
    assert "second lock" not in str(raised.value)


def test_each_says_what_to_do_about_it() -> None:
    assert all(one.remedy and one.detail and one.feature for one in guarantees(Means()))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("network", [False, True])
def test_a_filter_is_a_program_that_the_kernel_takes(machine: str, network: bool) -> None:
    """Each jump stays inside, and each way ends in an answer; at most 4096 steps (`BPF_MAXINSNS`)."""
    steps = list(struct.iter_unpack("=HBBI", seccomp.program(network=network, machine=machine)))
    assert len(steps) < 4096
    assert steps[-1][0] == 0x06
    for place, (operation, if_true, if_false, _) in enumerate(steps):
        if operation & 0x07 == 0x05:
            assert place + 1 + max(if_true, if_false) < len(steps)
