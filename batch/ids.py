"""How people see uids: seven characters that abbreviate, as git's hashes do. Pure.

Jobs that were submitted one after the other have neighbouring uids. Written as numbers they differ at the end, so that
no abbreviation of today's jobs would be shorter than the number. So a uid is mixed first, one to one, over 35 bits:
multiplied by an odd constant and folded onto itself, twice, each of which can be undone. Then neighbours differ in
the first characters, four of which nearly always suffice. The mix hides nothing; whoever has the id has the uid.

35 bits are seven characters of Crockford's base 32, which has no i, l, o or u; when read, o is 0, and i and l are 1.
An abbreviation stands for the interval of the codes that begin with it, so that it is looked up in an index.
"""

from batch.errors import BadRequestError

BITS = 35
LENGTH = 7
MAX_UID = 2**BITS - 1

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)} | {"o": 0, "i": 1, "l": 1}
_MASK = MAX_UID
_SHIFT = 18  # at least half of the bits, so that folding twice is folding not at all
# Odd numbers near 2**35 divided by the golden ratio, and by its square.
_FACTORS = (0x4F1BBCDCB, 0x30E443233)
_INVERSES = tuple(pow(factor, -1, 2**BITS) for factor in _FACTORS)


def code_of(uid: int) -> int:
    """Return the mixed uid, a number below 2**35. Raises BadRequestError when `uid` is not from 0 to MAX_UID."""
    if not 0 <= uid <= MAX_UID:
        raise BadRequestError(f"uid {uid}: must be from 0 to {MAX_UID}")
    code = uid
    for factor in _FACTORS:
        code = code * factor & _MASK
        code ^= code >> _SHIFT
    return code


def uid_of(code: int) -> int:
    """Return the uid whose code is `code`."""
    uid = code
    for inverse in reversed(_INVERSES):
        uid ^= uid >> _SHIFT
        uid = uid * inverse & _MASK
    return uid


def id_of(uid: int) -> str:
    """Return the id of a job or a sweep."""
    code = code_of(uid)
    return "".join(_ALPHABET[code >> shift & 31] for shift in range(BITS - 5, -1, -5))


def member_id(sweep: int, index: int) -> str:
    """Return the id of member `index` of a sweep: the sweep's, a dot, and the index."""
    return f"{id_of(sweep)}.{index}"


def interval(abbreviation: str) -> tuple[int, int] | None:
    """Return the first and the last code that begin with `abbreviation`; None when no id can begin so."""
    if not 1 <= len(abbreviation) <= LENGTH:
        return None
    first = 0
    for letter in abbreviation.lower():
        value = _VALUES.get(letter)
        if value is None:
            return None
        first = first << 5 | value
    rest = 5 * (LENGTH - len(abbreviation))
    return first << rest, (first + 1 << rest) - 1
