"""Guarantees that each kind of machine reports, and the seccomp program."""

import struct
from dataclasses import replace

import pytest

from domain.errors import InvalidInputError
from infrastructure.sandbox import seccomp
from infrastructure.sandbox.guarantees import require_guarantees, sandbox_guarantees
from infrastructure.sandbox.kernel_features import KernelFeatures

WITHOUT_LANDLOCK = KernelFeatures(seccomp_filter=True, lists_descendants=True, lists_open_files=True)
NOT_MANDATORY = {"separate network namespace", "only git's TCP port"}
LANDLOCK_3 = replace(WITHOUT_LANDLOCK, landlock_abi=3)
"""An ordinary user in a plain container, on Linux 6.2."""
LANDLOCK_6 = replace(WITHOUT_LANDLOCK, landlock_abi=6)


def missing(features: KernelFeatures) -> set[str]:
    return {each.name for each in sandbox_guarantees(features) if not each.available}


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (LANDLOCK_6, {"separate network namespace"}),
        (LANDLOCK_3, {"no signals to other processes", *NOT_MANDATORY}),
        (replace(WITHOUT_LANDLOCK, landlock_abi=3, is_root=True, uid_range=range(9), uid_works=True), NOT_MANDATORY),
        (replace(WITHOUT_LANDLOCK, landlock_abi=6, is_root=True), {"no privileges", "separate network namespace"}),
        (
            KernelFeatures(landlock_abi=6, seccomp_filter=True, lists_descendants=True),
            {"limited memory, CPU and disk", "separate network namespace"},
        ),
        (KernelFeatures(), {each.name for each in sandbox_guarantees(KernelFeatures())} - {"no privileges"}),
    ],
)
def test_missing_guarantees(features: KernelFeatures, expected: set[str]) -> None:
    assert missing(features) == expected


def test_sandbox_required_lists_missing_guarantees_in_one_line() -> None:
    require_guarantees("required", sandbox_guarantees(LANDLOCK_6))
    require_guarantees("auto", sandbox_guarantees(KernelFeatures()))
    with pytest.raises(InvalidInputError) as raised:
        require_guarantees("required", sandbox_guarantees(LANDLOCK_3))
    assert str(raised.value).count("\n") == 0
    assert "no signals to other processes (Landlock 6 (signals)" in str(raised.value)
    assert "network namespace" not in str(raised.value)


def test_each_guarantee_has_detail_and_remedy() -> None:
    assert all(each.remedy and each.detail and each.feature for each in sandbox_guarantees(KernelFeatures()))


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("network", [False, True])
def test_filter_is_a_valid_bpf_program(machine: str, network: bool) -> None:
    """Check that each jump stays inside, that the program ends with a return, and its length (`BPF_MAXINSNS`)."""
    instructions = list(struct.iter_unpack("=HBBI", seccomp.build_program(allow_network=network, machine=machine)))
    assert len(instructions) < 4096
    assert instructions[-1][0] == 0x06
    for index, (opcode, if_true, if_false, _) in enumerate(instructions):
        if opcode & 0x07 == 0x05:
            assert index + 1 + max(if_true, if_false) < len(instructions)
