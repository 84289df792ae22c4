"""The check of packed tokens refuses exactly the arrays with an item that has no digest."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.cpd.facts import PACKED_SCHEMA, _are_all_below, pack_file
from collectors.cpd.lexer import lex


@pytest.mark.parametrize("code", ["B", "H", "I"])
@given(data=st.data(), limit=st.integers(0, 1 << 17) | st.sampled_from([0, 1, 255, 256, 257, 512, 1 << 16]))
def test_all_items_are_compared_with_the_limit(code: str, data: st.DataObject, limit: int) -> None:
    most = 256 ** array(code).itemsize - 1
    near = st.integers(max(0, limit - 3), limit + 3) | st.integers(0, max(0, limit - 1)) | st.integers(0, most)
    items = data.draw(st.lists(near.map(lambda item: min(item, most)), max_size=20))
    packed = [code, array(code, items).tobytes()]
    assert _are_all_below(limit, packed) == all(item < limit for item in items)


@pytest.mark.parametrize("names", [1, 200, 255, 256, 257, 700])
def test_token_without_a_digest_is_refused(names: int) -> None:
    facts = pack_file(lex("".join(f"x{number} = 1\n" for number in range(names))))
    assert PACKED_SCHEMA.matches(facts)
    code, tokens = facts["tokens"]
    digests = len(facts["digests"]) // 8
    forged = array(code, tokens)
    assert max(forged) == digests - 1
    if digests < 256**forged.itemsize:
        forged[0] = digests
        assert not PACKED_SCHEMA.matches({**facts, "tokens": [code, forged.tobytes()]})
