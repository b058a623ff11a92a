"""What the end of an attempt means, by state, request and budget; and what is named like a credential."""

from dataclasses import replace

import pytest

from batch.controller.outcomes import FREE_AFTER_S, RETRIES, UNLIMITED, after_attempt, lost
from batch.credentials import is_credential, redacted, refuse_credentials
from batch.errors import BadRequestError
from batch.events import JobEnded, JobStopped
from batch.launcher import Ended
from batch.model import Cause, JobSpec
from batch.records import Job
from batch.states import JobState
from configs.redact import redacted_command


def job(then: str = "", state: JobState = JobState.RUNNING, **spec: object) -> Job:
    return Job(
        uid=1,
        spec=JobSpec(kind="command", payload={"command": ["x"]}, **spec),  # type: ignore[arg-type]
        state=state,
        submitted_s=0.0,
        changed_s=0.0,
        then=then,
        attempt=3,
        fence=3,
    )


@pytest.mark.parametrize("then", ["", "queued", "held", "cancelled"])
def test_what_has_succeeded_has_succeeded(then: str) -> None:
    event = after_attempt(job(then), Ended(state="succeeded", exit_code=0, metrics={"a": 1.0}), {}, 5.0)
    assert isinstance(event, JobEnded)
    assert (event.state, event.attempt, event.metrics) == ("succeeded", 3, (("a", 1.0),))


@pytest.mark.parametrize("ended", [Ended(state="interrupted", exit_code=75), Ended(state="failed", exit_code=-15)])
@pytest.mark.parametrize("then", ["queued", "held"])
def test_a_program_that_was_asked_to_stop_has_stopped(then: str, ended: Ended) -> None:
    event = after_attempt(job(then), ended, {}, 5.0)
    assert isinstance(event, JobStopped)
    assert (event.then, event.cause, event.eligible_s) == (then, Cause.PREEMPTION, 5.0)


@pytest.mark.parametrize("cause", Cause)
def test_each_cause_has_its_budget_and_its_wait(cause: Cause) -> None:
    rule = RETRIES[cause]
    ended = Ended(state="failed", exit_code=1, cause=cause, message="why")
    for spent in (0, 1, rule.budget):
        event = after_attempt(job(), ended, {cause: spent}, 5.0)
        if spent < rule.budget:
            assert isinstance(event, JobStopped)
            assert event.eligible_s == 5.0 + min(rule.most_s, rule.first_s * 2**spent)
        else:
            assert isinstance(event, JobEnded)
            assert (event.state, event.cause, event.message) == ("failed", cause, "why")
    patient = after_attempt(job(retries={cause: UNLIMITED + 1}), ended, {cause: UNLIMITED}, 5.0)
    assert isinstance(patient, JobStopped)
    hasty = after_attempt(job(retries={cause: 0}), ended, {}, 5.0)
    assert isinstance(hasty, JobEnded)


LEFT = Ended(state="interrupted", exit_code=75)


@pytest.mark.parametrize("spent", [0, 10**6])
def test_who_leaves_after_a_save_goes_on_later_as_often_as_it_wants(spent: int) -> None:
    saved = after_attempt(job(), LEFT, {Cause.PREEMPTION: spent}, 5.0, has_saved=True)
    worked = after_attempt(replace(job(), placed_s=0.0), LEFT, {Cause.PREEMPTION: spent}, FREE_AFTER_S)
    for event, now_s in ((saved, 5.0), (worked, FREE_AFTER_S)):
        assert isinstance(event, JobStopped)
        assert (event.then, event.cause, event.eligible_s) == ("queued", Cause.PREEMPTION, now_s)


def test_who_leaves_without_a_save_waits_longer_each_time_and_not_for_ever() -> None:
    rule = RETRIES[Cause.NO_PROGRESS]
    for spent in range(rule.budget):
        event = after_attempt(replace(job(), placed_s=4.0), LEFT, {Cause.NO_PROGRESS: spent}, 5.0)
        assert isinstance(event, JobStopped)
        assert (event.cause, event.eligible_s) == (Cause.NO_PROGRESS, 5.0 + min(600.0, 5.0 * 2**spent))
    event = after_attempt(replace(job(), placed_s=4.0), LEFT, {Cause.NO_PROGRESS: rule.budget}, 5.0)
    assert isinstance(event, JobEnded)
    assert (event.state, event.cause) == ("failed", Cause.NO_PROGRESS)


def test_a_lost_attempt_is_the_infrastructure_s_unless_it_was_to_end_anyway() -> None:
    event = lost(job(), {}, 5.0, "silent")
    assert isinstance(event, JobStopped)
    assert (event.cause, event.message) == (Cause.INFRASTRUCTURE, "silent")
    ended = lost(job("cancelled", JobState.STOPPING), {}, 5.0, "silent")
    assert isinstance(ended, JobEnded)
    assert ended.state == "cancelled"


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "apiKey", "api-key", "password", "wandb.api_key", "DB_PASSWD", "token"],
)
def test_names_of_credentials(name: str) -> None:
    assert is_credential(name)
    with pytest.raises(BadRequestError) as refused:
        refuse_credentials({"deep": [{name: "s3cr3t"}]})
    assert "s3cr3t" not in str(refused.value)
    assert redacted({name: "s3cr3t", "keep": ["s"]}) == {name: "********", "keep": ["s"]}
    refuse_credentials({name: "env:X", "other": {name: "file:/x"}, "none": {name: None}, "empty": {name: ""}})


@pytest.mark.parametrize(
    "name",
    [
        "tokenizer", "max_tokens", "key", "keyboard", "secretary", "monkey", "path", "pad-token", "eos_token",
        "token-file", "GOOGLE_CREDENTIALS_FILE", "sort_key", "SORT_KEY", "PWD", "COMPASS", "first_pass",
        "token_dropout", "token-embedding", "next-token-loss", "model.token_embed_dim",
    ],
)  # fmt: skip
def test_names_that_only_look_alike(name: str) -> None:
    refuse_credentials({name: "gpt2"})
    refuse_credentials([f"--{name}=gpt2", f"--{name}", "gpt2", f"x --{name} gpt2; {name}=gpt2"])


def test_numbers_are_no_credentials() -> None:
    refuse_credentials({"token": 3, "api_key": True})
    refuse_credentials(["--token-rate=0.125", "--token-decay", "1e-3", "x.token_scale=-0.5"])


@pytest.mark.parametrize(
    "text",
    [
        "http://host:8080/a@b", "s3://bucket/sk-learn-model", "hf_datasets_cache", "x --token $TOKEN",
        'x --password="$PASSWORD"', "postgres://me:$PGPASS@db/x", "--token env:TOKEN", "git@github.com:a/b",
        "run for 12:30", "--use-auth-token true", '{"pad_token": "<pad>", "key": "value"}', "docker run -u 1000:1000 x",
        'curl -u "me:$PASSWORD" http://h:80', "--sort-key name",
    ],
)  # fmt: skip
def test_texts_that_only_look_alike(text: str) -> None:
    refuse_credentials({"text": text, "words": text.split()})
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://me:s3cr3t@db/x", "postgres://me:********@db/x"),
        ("x --api-key s3cr3t --lr 1", "x --api-key ******** --lr 1"),
        ("WANDB_KEY=s3cr3t python x.py", "WANDB_KEY=******** python x.py"),
        ("Authorization: Bearer s3cr3t-s3cr3t", "Authorization: Bearer ********"),
    ],
)
def test_what_was_kept_is_masked(text: str, shown: str) -> None:
    assert (redacted(text), redacted(shown)) == (shown, shown)
    assert "s3cr3t" not in " ".join([*redacted([text]), *redacted_command([text])])
    words = ["x", "--api-key", "s3cr3t", text]
    assert "s3cr3t" not in " ".join([*redacted(words), *redacted_command(words)])
