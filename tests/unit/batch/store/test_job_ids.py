"""Ids: one to one with uids, different at the front for neighbours, read as people type them."""

import pytest
from hypothesis import given, strategies as st

from batch import ids
from batch.errors import BadRequestError

UIDS = st.integers(0, ids.MAX_UID)


@given(UIDS)
def test_a_code_leads_back_to_its_uid(uid: int) -> None:
    code = ids.code_of(uid)
    assert 0 <= code <= ids.MAX_UID
    assert ids.uid_of(code) == uid


@given(UIDS, st.integers(1, ids.LENGTH))
def test_an_abbreviation_is_the_interval_of_the_codes_that_begin_so(uid: int, length: int) -> None:
    text = ids.id_of(uid)
    assert len(text) == ids.LENGTH
    interval = ids.interval(text[:length])
    assert interval is not None
    first, last = interval
    assert first <= ids.code_of(uid) <= last
    assert last - first + 1 == 32 ** (ids.LENGTH - length)
    for code in (first, last):
        assert ids.id_of(ids.uid_of(code)).startswith(text[:length])


def test_neighbours_differ_at_the_front() -> None:
    assert len({ids.id_of(uid)[:4] for uid in range(1, 10_001)}) > 9_900


def test_letters_that_look_alike_are_read_as_digits() -> None:
    assert ids.interval("O1Il") == ids.interval("0111")
    assert ids.interval("u") is None
    assert ids.interval("") is None
    assert ids.interval("0" * 8) is None


def test_uids_beyond_seven_characters_are_refused() -> None:
    with pytest.raises(BadRequestError, match="must be from 0"):
        ids.id_of(ids.MAX_UID + 1)


def test_members_are_called_by_their_index() -> None:
    assert ids.member_id(1, 12) == f"{ids.id_of(1)}.12"
