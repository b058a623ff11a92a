"""What looks like a credential in the axes of a sweep is refused, whichever way is taken to look."""

import re

import pytest

from batch.credentials import refuse_assigned, refuse_credentials
from batch.errors import BadRequestError

SHORT = ("1", "1e-3", "adam", "", "bf16", "a.b-c+d")


@pytest.mark.parametrize("name", ["seed", "optim.lr", "+a.b", "api_key", "++model.apiKey", "tokenizer", "a b"])
@pytest.mark.parametrize(
    "last",
    [
        "7", "hunter2", "env:KEY", "$KEY", "hf_" + "a" * 32, "sk-" + "b" * 20, "postgres://me:word@db/x",
        "bearer abcdefgh", "x\ny", "x\n--api-key\nhunter2", "--api-key hunter2", "curl -u me:word host",
        '{"api_key":"ab"}', "\u00fc" * 14,
    ],
)  # fmt: skip
def test_many_values_are_refused_as_each_alone_would_be(name: str, last: str) -> None:
    values = (*SHORT, last)
    try:
        refuse_credentials([f"{name}={value}" for value in values], "sweep.axes[0]")
    except BadRequestError as error:
        with pytest.raises(BadRequestError, match=re.escape(str(error))):
            refuse_assigned(name, values, "sweep.axes[0]")
    else:
        refuse_assigned(name, values, "sweep.axes[0]")


def test_a_name_that_is_a_credential_by_its_form_is_refused_with_harmless_values() -> None:
    with pytest.raises(BadRequestError, match=r"axes\[0\]\[0\]"):
        refuse_assigned("hf_" + "a" * 32, SHORT, "sweep.axes[0]")
