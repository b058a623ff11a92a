"""Credentials never enter the queue: a job says where one is, `env:NAME` or `file:/path`, and its agent looks there.

A journal that is kept for years and answers whoever may read it is no place for a password. What looks like one is
refused before anything is written, with an error that does not repeat it; what was kept all the same is masked wherever
it is shown. Known are

- a value under the name of a credential: of a key, a variable, `--api-key=X` and `--api-key X`, in shell text and in
  JSON text (`'{"api_key": "X"}'`) too;
- a URL with a password (`postgres://user:password@host`), an `Authorization:` header, `Bearer X`, `curl -u user:X`;
- a token of a form that everybody knows: of this queue, Hugging Face, GitHub, GitLab, OpenAI, Slack; a JSON web token
  (RFC 7519); a private key.

Not known is a password that stands nowhere near such a name: `-p X`, or a bare word. `$NAME` is no credential.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from batch.errors import BadRequestError

REFERENCES = ("env:", "file:")
MASK = "********"
MAX_DEPTH = 50
"""How deep what is submitted may be nested."""
_WORDS = (
    "secret|token|[a-z]*password|[a-z]*passwd|passphrase|pgpass|credentials?"
    "|(?:private|access|api|account|auth|secret|encryption|wandb)[_-]?key|authorization"
)
_CREDENTIAL = re.compile(rf"(?:^|[_.\-])(?:{_WORDS})(?:$|[_.\-])", re.IGNORECASE)
_VARIABLE = re.compile(r"(?:[A-Z0-9]+_)+KEY|(?:[A-Z0-9]+_)*(?:PASS|PAT|AUTH|CREDS)|(?:[A-Z0-9]+_)+PWD|DBPASS")
_HARMLESS = re.compile(
    r"(?:^|[_.\-])(?:pad|bos|eos|unk|sep|cls|mask|image|stop|start|end|special|per|max|min|num|no)[_\-]token$"
    r"|(?:^|[_.\-])token[_\-](?:embeddings?|embed|dropout|drop|loss|weights?|mixing|mixer|merging|pruning|id|ids)(?:$|[_.\-])"
    r"|[_.\-](?:file|path|dir|folder|name|env|var|stdin|type|length|count|limit)$"
    r"|(?:^|_)(?:SORT|PRIMARY|FOREIGN|PARTITION|CACHE|GROUP|PUBLIC|IDEMPOTENCY)_KEY$",
    re.IGNORECASE,
)
"""`--pad-token` and `token_dropout` are no credentials, and `--token-file` says where one is."""
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_NAME = re.compile(r"[-+~]{0,2}[\w.\-]+")
_REMEMBERED = 64
"""The longest names, in characters, that are looked at once only: jobs resemble one another."""
_PLAIN = re.compile(
    r"true|false|none|null|yes|no|\d{1,5}|[-+]?\d{0,5}\.\d{1,8}|\d(?:\.\d{1,8})?e[-+]?\d{1,2}", re.IGNORECASE
)
"""Settings, whatever the name."""
_URL = re.compile(r"(://[^\s/@:'\"]*:)(?!\$)[^\s/@'\"]+(?=@)")
_FORM = re.compile(
    r"(?P<header>\bauthorization:\s*(?:(?:bearer|basic|token)\s+)?+)(?!\$|\*)[^\s'\"$]+"
    r"|(?P<bearer>\bbearer\s+)(?!\$|\*)[\w.~+/\-]{8,}"
    r"|\bost_[\w\-]{43}|\bhf_[a-z0-9]{30,}|\bgh[pousr]_[a-z0-9]{30,}|\bgithub_pat_\w{30,}|\bglpat-[\w\-]{20,}"
    r"|\bsk-(?:[a-z0-9]+-){0,2}\w{20,}|\bxox[abprs]-[\w\-]{20,}"
    r"|(?-i:\beyJ[\w\-]{8,}\.eyJ[\w\-]{8,}\.[\w\-]{8,})"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
    re.IGNORECASE,
)
_SHORTEST_FORM = 15
_SHORT_WORDS = re.compile(r"(?:[\w.+\-]{0,14}\n)*+")
"""Lines that are nothing by their form: only the name before them could tell."""
_VALUE = r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s;&|)'\"]+)"
_ASSIGNED = re.compile(rf"(?<![\w.\-])(?P<name>-{{0,2}}[A-Za-z_][\w.\-]*)(?P<between>=){_VALUE}")
_OPTION = re.compile(rf"(?<![\w.\-])(?P<name>--?[A-Za-z][\w.\-]*)(?P<between>\s+)(?!-){_VALUE}")
_QUOTE = r"\\?[\"']"
_MEMBER = re.compile(
    rf"(?P<name>(?<=[\"'])[A-Za-z_][\w.\-]*)(?P<between>{_QUOTE}\s*:\s*{_QUOTE})(?P<value>[^\"'\\]+)"
)
_CURL = re.compile(r"(?:\S*/)?curl")
_USER = re.compile(r"--(?:proxy-)?user|-[uU]")
_LOGIN = re.compile(r"(?P<user>[^\s:'\"$]*:)(?!\$|\*)[^\s'\"]+")
_FUSED_LOGIN = re.compile(r"(?P<user>(?:--(?:proxy-)?user=|-[uU])[^\s:'\"$]*:)(?!\$|\*)[^\s'\"]+")
_CURL_LOGIN = re.compile(
    rf"(?P<call>\bcurl\s(?:[^;&|\n]{{0,200}}?\s)?(?:{_USER.pattern})[\s=]?['\"]?)(?P<user>[^\s:'\"$]{{0,80}}:)"
    r"(?!\$|\*)[^\s'\"]+"
)
"""Of bounded length, so that no text takes long."""


def is_credential(name: str) -> bool:
    """Return whether a key or variable is named like a credential: HF_TOKEN and apiKey are, `tokenizer` is not."""
    return _is_credential(name) if len(name) <= _REMEMBERED else _is_credential.__wrapped__(name)


@lru_cache(maxsize=4096)
def _is_credential(name: str) -> bool:
    if _HARMLESS.search(name):
        return False
    return _VARIABLE.fullmatch(name) is not None or _CREDENTIAL.search(_HUMP.sub("_", name)) is not None


def refuse_credentials(value: Any, where: str = "payload", depth: int = 0) -> None:
    """Check that no text below `value` is a credential, other than by reference.

    Raises BadRequestError that names the place and never the value; also for what is nested deeper than MAX_DEPTH.
    """
    if depth > MAX_DEPTH:
        raise BadRequestError(f"{where[:80]}...: is nested deeper than {MAX_DEPTH}: put it into a file")
    if isinstance(value, str):
        if masked_text(value) != value:
            raise _refusal(where, where.rpartition(".")[2])
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if is_credential(str(key)) and _is_open(inner):
                raise _refusal(f"{where}.{key}", str(key))
            refuse_credentials(inner, f"{where}.{key}", depth + 1)
    elif isinstance(value, (list, tuple)):
        _refuse_in_words(value, where, depth)


def refuse_assigned(name: str, values: Sequence[str], where: str) -> None:
    """Check that no `name=value` is a credential, at little cost for thousands of short values. Raises as above."""
    lines = "".join(f"{value}\n" for value in values)
    short = _SHORT_WORDS.fullmatch(lines) is not None and lines.count("\n") == len(values)
    telling = values if is_credential(name.lstrip("-+~")) or not short else values[:1]
    refuse_credentials([f"{name}={value}" for value in telling], where)


def _refuse_in_words(words: Sequence[Any], where: str, depth: int) -> None:
    for at, (word, shown, name) in enumerate(_shown_words(words)):
        if not isinstance(word, str):
            refuse_credentials(word, f"{where}[{at}]", depth + 1)
        elif shown != word:
            raise _refusal(f"{where}[{at}]", name)


def redacted(value: Any) -> Any:
    """Return a copy of `value` in which each credential is masked; references stay."""
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, Mapping):
        return {
            key: MASK if is_credential(str(key)) and _is_open(inner) else redacted(inner)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [shown if isinstance(word, str) else redacted(word) for word, shown, _ in _shown_words(value)]
    return value


def masked_text(text: str) -> str:
    """Return a text in which what is a credential by its form, or stands behind the name of one, is masked."""
    if "://" in text:
        text = _URL.sub(rf"\1{MASK}", text)
    if len(text) >= _SHORTEST_FORM:
        text = _FORM.sub(_masked_form, text)
    if " " in text or "\n" in text or "\t" in text:
        text = _OPTION.sub(_masked_value, _ASSIGNED.sub(_masked_value, text))
        if "curl" in text:
            text = _CURL_LOGIN.sub(rf"\g<call>\g<user>{MASK}", text)
    if ":" in text and ('"' in text or "'" in text):
        text = _MEMBER.sub(_masked_value, text)
    return text


def _shown_words(words: Sequence[Any]) -> Iterator[tuple[Any, Any, str]]:
    """Yield each word, the word with what is a credential masked, and the name under which that stands."""
    option, of_curl, is_login = "", False, False
    for word in words:
        if not isinstance(word, str):
            yield word, word, ""
            option = ""
            continue
        name, equals, text = word.partition("=")
        is_name = _NAME.fullmatch(name) is not None and is_credential(name.lstrip("-+~"))
        if option and not word.startswith("-") and _is_open(word):
            yield word, MASK, option
        elif of_curl and (login := (_LOGIN if is_login else _FUSED_LOGIN).fullmatch(word)):
            yield word, login["user"] + MASK, "password"
        elif equals and is_name and _is_open(text):
            yield word, f"{name}={MASK}", name.lstrip("-+~")
        else:
            yield word, masked_text(word), ""
        of_curl |= _CURL.fullmatch(word) is not None
        is_login = of_curl and _USER.fullmatch(word) is not None
        option = name.lstrip("-") if is_name and not equals and word.startswith("-") else ""


def _masked_form(found: "re.Match[str]") -> str:
    return (found["header"] or found["bearer"] or "") + MASK


def _masked_value(found: "re.Match[str]") -> str:
    if is_credential(found["name"].lstrip("-")) and _is_open(found["value"]):
        return f"{found['name']}{found['between']}{MASK}"
    return found[0]


def _is_open(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    bare = value.strip("'\"")
    return bool(bare) and not bare.startswith((MASK, "$", *REFERENCES)) and _PLAIN.fullmatch(bare) is None


def _refusal(where: str, name: str) -> BadRequestError:
    variable = re.sub(r"\W+", "_", _HUMP.sub("_", name.rpartition(".")[2])).strip("_").upper()
    if not is_credential(variable) and not variable.endswith("URL"):
        variable = "SECRET"
    advice = (
        f"submit with `--secret {variable}=env:{variable}` (or =file:/path), which the agent looks up where the job "
        f'runs; the program finds it in its environment, and a shell (`-- sh -c`) as "${variable}"'
    )
    if ".document" in where:
        advice = "leave it out: the machine that runs the job has it in its environment, or in a profile"
    what = f"{where}, {name}," if name else where
    return BadRequestError(f"{what} looks like a credential, and the queue keeps none: {advice}")
