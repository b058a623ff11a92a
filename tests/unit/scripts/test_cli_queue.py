"""The queue's commands, on a controller in this process with an agent that says what the test wants."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures_cli import Ostinato
from fixtures_controller import DEADLINE_S, OPERATOR, FakeAgent, Served, serving, wait_until

from batch.agent.messages import LogChunk
from batch.model import Cause
from scripts.cli.commands import COMMANDS
from scripts.cli.exit_codes import ExitCode


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("queue")) as served:
        yield served


@pytest.fixture(autouse=True)
def configured(controller: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OSTINATO_CONTROLLER", controller.url)
    monkeypatch.setenv("OSTINATO_TOKEN", OPERATOR)
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OSTINATO_USER", "ada")


def submit(ostinato: Ostinato, *words: str) -> str:
    said = ostinato("submit", "-o", "json", *words)
    assert said.code == 0, said.err
    return str(said.value["id"])


def test_a_command_is_submitted_with_its_folder(ostinato: Ostinato, controller: Served) -> None:
    Path("train.py").write_text("print('x')\n")
    options = ["--nodes", "2", "--gpus", "8", "--time", "6h", "--name", "big"]
    said = ostinato("submit", *options, "--", "python", "train.py")
    assert (said.code, "ostinato why" in said.out) == (0, True), said.err
    page = ostinato("show", "big", "-o", "json").value
    assert page["spec"]["payload"] == {"command": ["python", "train.py"]}
    assert (page["spec"]["shape"], page["spec"]["time_limit_s"]) == ({"nodes": 2, "gpus": 8}, 21600.0)
    assert (page["user"], page["recipe"]) == ("ada", "python")
    assert controller.service.code.has(page["spec"]["code"])
    assert "2 x (8 GPUs" in ostinato("show", "big").out


def test_options_reach_the_job(ostinato: Ostinato) -> None:
    first = submit(ostinato, "--no-code", "--hold", "--", "true")
    words = ["--after", first, "--retry", "user_code=2", "--label", "zone=a", "--env", "A=b", "--no-preempt"]
    words += ["--secret", "HF_TOKEN=env:HF_TOKEN", "--tier", "flex", "--grace", "90s", "--cpus", "4", "--no-code"]
    job = submit(ostinato, *words, "--", "sh", "-c", "x=1")
    spec = ostinato("show", job, "-o", "json").value["spec"]
    assert spec["payload"]["environment"] == {"A": "b"}
    assert spec["payload"]["secrets"] == {"HF_TOKEN": "env:HF_TOKEN"}
    assert (spec["retries"], spec["preemptible"]) == ({"user_code": 2}, False)
    assert (spec["tier"], spec["grace_s"]) == ("flex", 90)
    assert spec["shape"] == {"cpus": 4, "labels": [["zone", "a"]]}
    assert ostinato("why", job).out.startswith(f"{job} waits: waits for 1 jobs or sweeps: {first}")


def test_a_run_is_composed_before_it_is_submitted(ostinato: Ostinato) -> None:
    job = submit(ostinato, "optim.lr=0.001", "queue.tier=flex", "queue.name=clip", "cluster.workers=2")
    page = ostinato("show", "clip", "-o", "json").value
    document = page["spec"]["payload"]["document"]
    assert (page["id"], page["kind"], page["tier"], page["recipe"]) == (job, "train", "flex", "catalogue_clip")
    assert (document["optim"]["lr"], document["run"]["name"], page["cpus"]) == (0.001, None, 2)
    wrong = ostinato("submit", "optim.lrr=1")
    assert (wrong.code, "optim.lr" in wrong.err) == (2, True)
    assert ostinato("submit", "queue.tem=x").code == 2


def test_lists_and_filters(ostinato: Ostinato, controller: Served) -> None:
    job = submit(ostinato, "--no-code", "--hold", "--name", "listed", "--", "true")
    controller.submit({"name": "of another", "user": "eve", "held": True})
    assert job in ostinato("ls").out
    mine = ostinato("ls", "--mine", "--state", "held", "-o", "json").value["jobs"]
    assert {row["user"] for row in mine} == {"ada"}
    assert "of another" in ostinato("ls", "--user", "eve").out
    wide = ostinato("ls", "--name", "listed", "-o", "wide").out
    assert "message" in wide.splitlines()[0]
    assert ostinato("ls", "--team", "nobody").out == "nothing in the queue fits\n"
    assert ostinato("ls", "--state", "asleep").code == 2


def test_what_people_do_to_jobs(ostinato: Ostinato) -> None:
    job = submit(ostinato, "--no-code", "--", "true")
    for verb, state in [("hold", "held"), ("release", "queued"), ("cancel", "cancelled"), ("requeue", "queued")]:
        assert ostinato(verb, job).out == f"{job} is {state}\n"
    assert ostinato("set", job, "--tier", "interactive", "--deadline", "2h").code == 0
    assert ostinato("set", job).code == 2
    assert ostinato("release", job).code == 2
    assert ostinato("cancel", "zzzzzzz").code == 3
    assert ostinato("cancel", job, "-o", "json").value[0]["state"] == "cancelled"
    assert "was cancelled" in ostinato("why", job).out


def test_a_clone_differs_in_what_was_said(ostinato: Ostinato) -> None:
    job = submit(ostinato, "optim.lr=0.001", "queue.name=original")
    said = ostinato("clone", job, "optim.lr=0.002", "queue.tier=flex", "-o", "json")
    assert said.code == 0, said.err
    found = ostinato("diff", job, said.value["id"], "-o", "json").value
    assert {one["path"] for one in found} == {"optim.lr", "queue.tier"}
    assert "no difference" in ostinato("diff", job, job).out
    assert ostinato("clone", submit(ostinato, "--no-code", "--", "true"), "optim.lr=1").code == 2


def test_a_sweep_from_words_to_results(ostinato: Ostinato) -> None:
    words = ["sweep", "optim.lr=1e-3,3e-4", "run.seed=range(0,3)", "--max-running", "2", "--stop-if", "fail>20%"]
    dry = ostinato(*words, "--dry-run")
    assert (dry.code, dry.out.splitlines()[0]) == (0, "optim.lr=0.001 run.seed=0"), dry.err
    assert "6 members of 1 CPU" in dry.out
    said = ostinato(*words, "--name", "grid", "-o", "json").value
    assert (said["members"], said["max_running"], said["stop_if_failed"]) == (6, 2, 0.2)
    assert ostinato(*words, "--name", "grid", "-o", "json").value["id"] == said["id"]
    assert "6 members: 6 queued" in ostinato("sweep", "show", "grid").out
    assert said["id"] in ostinato("ls").out
    assert ostinato("cancel", "grid").code == 0
    for bad in (["optim.lr=1"], ["optim.lrr=1,2"], ["optim.lr=1,2", "--stop-if", "soon"], ["show"]):
        assert ostinato("sweep", *bad).code == 2


def test_a_sweep_over_groups_and_the_short_seed(ostinato: Ostinato) -> None:
    said = ostinato("sweep", "engine=zero1,zero2", "seed=range(0,2)", "run.steps=30", "--name", "groups", "-o", "json")
    assert said.code == 0, said.err
    shown = ostinato("sweep", "show", "groups", "-o", "json").value
    assert (shown["members"], shown["metric"]) == (4, None)
    assert shown["results"][0]["overrides"] == ["engine=zero1", "run.seed=0"]
    assert ostinato("sweep", "show", "groups", "--plot", "x.png").code == 2
    cloned = ostinato("clone", "groups.0", "engine=zero3", "queue.name=cloned", "-o", "json")
    assert cloned.code == 0, cloned.err
    document = ostinato("show", "cloned", "-o", "json").value["spec"]["payload"]["document"]
    assert (document["engine"]["zero_stage"], document["run"]["steps"], document["run"]["name"]) == (3, 30, None)
    found = ostinato("diff", "groups.0", "groups.2", "-o", "json").value
    assert "engine.zero_stage" in {one["path"] for one in found}


def test_a_sweep_is_named_where_a_job_may_be(ostinato: Ostinato) -> None:
    sweep = ostinato("sweep", "optim.lr=1e-3,3e-4", "run.steps=31", "--name", "named", "-o", "json").value["id"]
    assert "2 members: 2 queued" in ostinato("show", "named").out
    assert ostinato("show", sweep, "-o", "json").value["members"] == 2
    assert ostinato("why", "named").out.startswith(f"{sweep}.0 waits: ")
    said = ostinato("logs", "named")
    assert (said.code, f"{sweep} is a sweep: name one of its members, {sweep}.0 to {sweep}.1" in said.err) == (3, True)
    assert ostinato("wait", "named", "--timeout", "1s").code == ExitCode.INTERRUPTED
    assert ostinato("cancel", "named.0").code == 0
    assert ostinato("why", "named").out.startswith(f"{sweep}.1 waits: ")
    assert ostinato("cancel", "named").code == 0
    said = ostinato("wait", "named")
    assert (said.code, said.out) == (ExitCode.FAILED, f"{sweep} named: 2 cancelled\n")
    assert ostinato("why", "named").out.startswith(f"{sweep}.0 does not wait: it was cancelled")
    single = submit(ostinato, "--no-code", "--hold", "--", "true")
    assert f"{single} is no sweep" in ostinato("sweep", "show", single).err


def test_what_names_no_job_and_no_address_is_told(ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (("why", ""), ("wait", " "), ("cancel", "")):
        said = ostinato(*words)
        assert (said.code, "a job without a name" in said.err) == (2, True), said.err
    monkeypatch.setenv("OSTINATO_CONTROLLER", "http://host:99999")
    for command in ("ls", "status"):
        said = ostinato(command)
        assert (said.code != 0, "is no URL: write http://HOST:PORT (Port out of range" in said.out + said.err) == (
            True, True,
        ), said  # fmt: skip


def test_a_script_for_slurm(ostinato: Ostinato, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/bash\n#SBATCH -J nightly --array=1-3%2 -c 1 --mail-type=END\ntrue\n")
    dry = ostinato("import", str(script), "--dry-run")
    assert (dry.code, dry.value["max_running"], dry.value["template"]["name"]) == (0, 2, "nightly")
    assert "line 2: --mail-type=END has no meaning here" in dry.err
    said = ostinato("import", str(script), "--no-code", "-o", "json")
    assert (said.code, said.value["members"]) == (0, 3), said.err
    script.write_text("#SBATCH --dependency=afterok:3\n")
    assert ostinato("import", str(script)).code == 2
    assert ostinato("import", "/nope.sh").code == 2
    assert ostinato("cancel", "nightly").code == 0


def test_a_job_is_followed_to_its_end(ostinato: Ostinato, controller: Served) -> None:
    agent = FakeAgent(controller, pool="quick", cpus=64)
    agent.sync()
    job = submit(ostinato, "--no-code", "--pool", "quick", "--", "true")
    # Jobs of other tests, which wait in the same queue, come along.
    grant = wait_until(lambda: [one for one in agent.take() if one.id == job])[0]
    agent.starts(grant)
    ends = threading.Event()

    def serve() -> None:
        while not ends.is_set():
            requests = agent.sync(wait_s=0.2).log_requests
            data = b"one\ntwo\nthree"
            agent.chunks = [
                LogChunk(key=r.key, offset=max(0, r.offset), data=data[max(0, r.offset) :], size_bytes=13, is_over=True)
                for r in requests
            ]

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ostinato("logs", job).out == "one\ntwo\nthree\n"
        assert ostinato("logs", job, "--tail", "1").out.endswith("three\n")
        said = ostinato("logs", job, "--rank", "9")
        assert (said.code, f"{job} has no rank 9: it has 0" in said.err) == (2, True), said.err
        assert ostinato("wait", job, "--timeout", "0.2").code == ExitCode.INTERRUPTED
        agent.ends(grant, "failed", exit_code=3, cause=Cause.USER_CODE, message="exit code 3")
        said = ostinato("wait", job)
        assert (said.code, said.out) == (1, f"{job} failed (user_code: exit code 3)\n")
        assert ostinato("logs", "-f", job).out == "one\ntwo\nthree\n"
    finally:
        ends.set()
        thread.join(DEADLINE_S)
    events = [line.split()[3] for line in ostinato("events", job).out.splitlines()]
    assert events == ["JobSubmitted", "JobPlaced", "JobStarted", "JobEnded"]
    assert "exit code" in ostinato("show", job).out


def test_ctrl_c_while_waiting_leaves_the_job(ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit(ostinato, "--no-code", "--hold", "--", "true")

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("batch.client.Client.wait", interrupt)
    said = ostinato("wait", job)
    assert (said.code, "the jobs go on" in said.err) == (ExitCode.ABORTED, True)


def test_teams_pools_tokens_and_shares(ostinato: Ostinato, controller: Served) -> None:
    FakeAgent(controller, pool="shown").sync()
    assert ostinato("team", "set", "vision", "--weight", "2", "--quota", "64").code == 0
    assert re.search(r"vision +2 +64 +none", ostinato("team", "ls").out)
    assert ostinato("team", "set", "vision", "--quota", "many").code == 2
    assert re.search(r"shown +1 +0 +4 +0 +speaks", ostinato("pool", "ls").out)
    assert "is drained" in ostinato("pool", "drain", "shown").out
    assert "takes jobs again" in ostinato("pool", "drain", "shown", "--undo").out
    token = ostinato("token", "create", "sam", "--expires", "90d").out.strip()
    assert token.startswith("ost_")
    listed = ostinato("token", "ls").out
    assert (re.search(r"sam +submitter", listed) is not None, token in listed) == (True, False)
    assert ostinato("token", "revoke", "sam").code == 0
    assert ostinato("fairshare", "-o", "json").code == 0
    assert wait_until(lambda: ostinato("status").code == 0)


def test_without_a_controller_every_command_says_what_to_do(
    ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OSTINATO_CONTROLLER")
    for words in (["ls"], ["why", "x"], ["cancel", "x"], ["events"], ["team", "ls"], ["status"]):
        said = ostinato(*words)
        assert (said.code, "ostinato up" in said.err + said.out or "none was ever" in said.out) == (4, True), words
    monkeypatch.setenv("OSTINATO_CONTROLLER", "http://127.0.0.1:9")
    assert ostinato("ls").code == 4
    monkeypatch.setenv("OSTINATO_CONTROLLER", "nonsense")
    assert ostinato("ls").code == 2


def test_a_wrong_token_is_no_success(ostinato: Ostinato, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OSTINATO_TOKEN", "wrong")
    error = ostinato("ls", "-o", "json").error
    assert (error["kind"], error["exit_code"]) == ("NotAllowedError", 4)


def test_every_command_has_help(ostinato: Ostinato) -> None:
    overview = ostinato("--help").out
    for command in COMMANDS:
        assert command in overview
        assert ostinato(command, "--help").code == 0
