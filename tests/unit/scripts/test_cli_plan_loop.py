"""The planner's loop on a real queue: forecasts are written first, results come back, and the next runs follow."""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixtures_cli import Ostinato, Said
from fixtures_controller import OPERATOR, FakeAgent, Served, serving

from batch.client import Client
from batch.errors import ControllerUnreachable
from batch.model import Cause
from planner.forecasts.ledger import Ledger
from planner.forecasts.ledger_entries import Forecast, Outcome
from planner.loop.study import Study
from scripts.planning.rungs import batch_sequences, nearest, rung, sizes

SMALL = ("plan", "sweep", "recipe=lm_ladder", "--study", "s", "--models", "lm_10k,lm_20k,lm_30k,lm_50k")


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("OSTINATO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OSTINATO_TOKEN", OPERATOR)
    with serving(tmp_path / "queue") as served:
        monkeypatch.setenv("OSTINATO_CONTROLLER", served.url)
        yield served


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "home" / "plan" / "s")


def loss_of(params: float, tokens: float) -> float:
    return 0.5 + 20.0 / params**0.35 + 60.0 / tokens**0.35


@pytest.fixture
def agent(controller: Served) -> FakeAgent:
    return FakeAgent(controller, cpus=64)


def run_all(agent: FakeAgent, study: Study, count: int, *, diverged: str = "", failed: str = "") -> None:
    """Let the agent make `count` runs: losses follow a law, but for those of the runs that are named."""
    facts = {e.body.run: e.body.facts for e in study.ledger.entries() if isinstance(e.body, Forecast)}
    for grant in agent.take(count):
        run = agent.served.json("GET", f"/v1/jobs/{grant.id}")["name"]
        agent.starts(grant)
        agent.sync()
        if run == diverged:
            agent.ends(grant, "failed", cause=Cause.USER_CODE, message="NonFiniteLossError: loss = nan", exit_code=1)
        elif run == failed:
            agent.ends(grant, "failed", cause=Cause.USER_CODE, message="no such file", exit_code=4)
        else:
            loss = loss_of(facts[run]["params"], facts[run]["tokens"])
            metrics = {"heldout/nats_per_byte": loss, "run/peak_memory_bytes": 6e8}
            agent.ends(grant, metrics=metrics, exit_code=0)
    agent.sync()


def ok(said: Said) -> Said:
    assert said.code == 0, said.err
    return said


def test_without_submit_nothing_is_written(ostinato: Ostinato, controller: Served, study: Study) -> None:
    said = ok(ostinato(*SMALL, "--budgets", "1e10", "--out", "plan.json"))
    assert "nothing was written or sent" in said.out
    assert not study.folder.exists()
    runs = json.loads(Path("plan.json").read_text())["runs"]
    assert [run["model"] for run in runs] == ["lm_10k", "lm_20k", "lm_30k", "lm_50k"]
    assert all(run["flops"] == pytest.approx(1e10, rel=0.02) for run in runs)
    assert controller.json("GET", "/v1/jobs")["jobs"] == []


def test_submitting_again_makes_nothing_new(ostinato: Ostinato, controller: Served, study: Study) -> None:
    first = ok(ostinato(*SMALL, "--budgets", "1e10,2e10", "--submit", "--json")).value
    again = ok(ostinato(*SMALL, "--budgets", "1e10,2e10,3e10", "--submit", "-o", "json")).value
    assert [run["job"] for run in again["runs"]][:8] == [run["job"] for run in first["runs"]]
    assert len(controller.json("GET", "/v1/jobs")["jobs"]) == len(study.ledger.entries()) == 12
    (study.folder / "jobs.json").unlink()  # as if the acknowledgement had been lost
    third = ok(ostinato(*SMALL, "--budgets", "1e10,2e10,3e10", "--submit", "--json")).value
    assert [run["job"] for run in third["runs"]] == [run["job"] for run in again["runs"]]


def test_forecasts_are_in_the_ledger_before_the_first_job(
    ostinato: Ostinato, controller: Served, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ControllerUnreachable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(Client, "submit", unreachable)
        assert ostinato(*SMALL, "--budgets", "1e10", "--submit").code == 4
    assert len(study.ledger.entries()) == 4
    assert controller.json("GET", "/v1/jobs")["jobs"] == []
    ok(ostinato(*SMALL, "--budgets", "1e10", "--submit"))
    assert len(study.ledger.entries()) == 4 == len(controller.json("GET", "/v1/jobs")["jobs"])


def test_two_sweeps_at_once_keep_each_others_jobs(
    ostinato: Ostinato, agent: FakeAgent, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, others = Client.submit, ["1e10"]

    def interrupted(client: Client, jobs: list[dict[str, object]], *, key: str) -> list[dict[str, object]]:
        if others:
            ok(ostinato(*SMALL, "--budgets", others.pop(), "--submit"))
        return submit(client, jobs, key=key)

    monkeypatch.setattr(Client, "submit", interrupted)
    ok(ostinato(*SMALL, "--budgets", "2e10", "--submit"))
    assert not others
    run_all(agent, study, 8)
    found = ok(ostinato("plan", "ingest", "--study", "s", "--json")).value
    assert (found["taken_in"], found["pending"]) == (8, 0)


def test_the_loop_closes(ostinato: Ostinato, agent: FakeAgent, study: Study) -> None:
    planned = ok(ostinato(*SMALL, "--budgets", "1e9,1e10,3e10,1e11", "--submit", "--json")).value["runs"]
    assert all(run["no_loss"] == "no run is evidence yet" for run in planned)
    ends = {"diverged": planned[0]["run"], "failed": planned[1]["run"]}
    run_all(agent, study, len(planned), **ends)
    found = ok(ostinato("plan", "ingest", "--study", "s", "--json")).value
    counts = {name: found[name] for name in ("taken_in", "finished", "diverged", "failed", "pending", "going")}
    assert counts == {"taken_in": 16, "finished": 14, "diverged": 1, "failed": 1, "pending": 0, "going": 0}
    outcomes = {run.run: run.outcome for run in study.runs()}
    assert outcomes[ends["diverged"]] is Outcome.DIVERGED
    assert outcomes[ends["failed"]] is Outcome.FAILED
    assert ok(ostinato("plan", "ingest", "--study", "s", "--json")).value["taken_in"] == 0

    larger = ok(ostinato(*SMALL, "--budgets", "1e12", "--submit", "--hourly-usd", "3", "--json")).value["runs"]
    for run in larger:
        assert set(run["forecast"]) == {"loss", "time_s", "memory_bytes", "cost_usd"}
        assert math.isclose(run["forecast"]["loss"]["value"], loss_of(run["params"], run["tokens"]), rel_tol=0.1)
    run_all(agent, study, len(larger))
    scores = ok(ostinato("plan", "ingest", "--study", "s", "--json")).value["scores"]
    loss = next(score for score in scores if score["quantity"] == "loss")
    assert loss["count"] == 4
    assert loss["mean_absolute_error"] < 0.1
    assert "loss" in ok(ostinato("plan", "ingest", "--study", "s")).out

    words = ("plan", "next", "recipe=lm_ladder", "--study", "s", "--spend", "3e12flops", "--runs", "3")
    assert "standard deviations at 1e+13 FLOPs" in ok(ostinato(*words)).out
    chosen = ok(ostinato(*words, "--submit", "--json")).value["runs"]
    assert 1 <= len(chosen) <= 3
    assert not {run["run"] for run in chosen} & set(outcomes)
    assert sum(run["flops"] for run in chosen) < 3.3e12


def test_only_smaller_runs_are_evidence_when_asked(ostinato: Ostinato, agent: FakeAgent, study: Study) -> None:
    ok(ostinato(*SMALL, "--budgets", "1e9,1e10,3e10,1e11", "--submit"))
    run_all(agent, study, 16)
    ok(ostinato("plan", "ingest", "--study", "s"))
    said = ok(ostinato(*SMALL, "--budgets", "2e11", "--evidence-at-most", "3.1e10", "--json"))
    assert all(run["forecast"].get("loss") for run in said.value["runs"])
    few = ok(ostinato(*SMALL, "--budgets", "1e12", "--evidence-at-most", "1.1e10", "--json"))
    assert all("12 is the least" in run["no_loss"] for run in few.value["runs"])
    none = ok(ostinato(*SMALL, "--budgets", "1e12", "--evidence-at-most", "1.1e9", "--json"))
    assert all(not run["forecast"] for run in none.value["runs"])  # four runs: too few for time and memory too


def test_a_run_that_is_over_does_not_speak_of_itself(ostinato: Ostinato, agent: FakeAgent, study: Study) -> None:
    words = (*SMALL, "--budgets", "1e9,1e10,3e10,1e11")
    ok(ostinato(*words, "--submit"))
    run_all(agent, study, 16)
    ok(ostinato("plan", "ingest", "--study", "s"))
    assert len(study.runs()) == 16
    again = ok(ostinato(*words, "--json")).value["runs"]
    assert all(not run["forecast"] and "stay as they are" in run["no_loss"] for run in again)


def test_tables_and_sweeps_of_others_are_evidence(ostinato: Ostinato, agent: FakeAgent, study: Study) -> None:
    rows = [f"{p:g},{d:g},{loss_of(p, d)}" for p in (1e4, 3e4, 1e5) for d in (1e5, 1e6, 1e7)]
    Path("runs.csv").write_text("\n".join(["params,tokens,loss", *rows]))
    assert ok(ostinato("plan", "ingest", "--study", "s", "--csv", "runs.csv", "--json")).value["taken_in"] == 9
    sweep = ok(ostinato("sweep", "recipe=lm_ladder", "model=lm_10k", "run.steps=10,20", "-o", "json")).value["id"]
    for grant in agent.take(2):
        agent.starts(grant)
        agent.sync()
        agent.ends(grant, metrics={"heldout/nats_per_byte": 3.0}, exit_code=0)
    agent.sync()
    taken = ok(ostinato("plan", "ingest", "--study", "s", "--from-queue", sweep, "--json")).value["taken_in"]
    assert taken == 2
    tokens = sorted(run.tokens for run in study.runs() if run.run.startswith("lm_ladder"))
    assert tokens == [10 * 8 * 128, 20 * 8 * 128]
    assert study.ledger.entries() == ()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("sweep", "recipe=catalogue_clip", "--budgets", "1e10"), 2, "write recipe=lm_ladder"),
        (("sweep", "model=lm_1m", "--budgets", "1e10"), 2, "no recipe"),
        (("sweep", "recipe=lm_ladder", "--budgets", "a lot"), 2, "write numbers with commas"),
        (("sweep", "recipe=lm_ladder", "--budgets", "-1"), 2, "must be positive"),
        (("sweep", "recipe=lm_ladder", "--budgets", "1e9", "--evidence-at-most", "nan"), 2, "must be a number"),
        (("sweep", "recipe=lm_ladder", "--budgets", "1e9", "--evidence-tokens", "nan"), 2, "than or equal to 0"),
        (("sweep", "recipe=lm_ladder", "--budgets", "1e10", "--models", "lm_7b"), 2, "must be one of"),
        (("sweep", "recipe=lm_ladder", "--budgets", "1e5", "--models", "lm_1m"), 2, "not one step"),
        (("sweep", "recipe=lm_ladder", "--budgets", "1e10", "--submit", "--dry-run"), 2, "choose one"),
        (("sweep", "recipe=lm_ladder", "--budgets", "1e10", "--study", "../x"), 2, "it names a folder"),
        (("sweep", "recipe=lm_ladder", "--budgets", "1e10", "--spread", "inf"), 2, "must be a finite number"),
        (("sweep", "recipe=lm_ladder", "model=lm_1m", "--budgets", "1e10"), 2, "name some with"),
        (("sweep", "recipe=lm_ladder", "--budgets", "1e10", "--points", "1", "--out", "no/f"), 2, "cannot be written"),
        (("next", "recipe=lm_ladder", "--spend", "1e13"), 2, "1e13flops, 2h or 5usd"),
        (("next", "recipe=lm_ladder", "--spend", "much"), 2, "must be a number and s, min, h, d or w"),
        (("next", "recipe=lm_ladder", "--spend", "1e13flops"), 3, "no run is evidence yet"),
        (("ingest", "--csv", "gone.csv"), 2, "cannot be read"),
    ],
)
def test_what_cannot_be_meant(
    ostinato: Ostinato, controller: Served, words: tuple[str, ...], code: int, told: str
) -> None:
    said = ostinato("plan", *words)
    assert (said.code, told in said.err) == (code, True), said.err


def test_a_ledger_that_was_edited_stops_the_loop(ostinato: Ostinato, controller: Served, study: Study) -> None:
    ok(ostinato(*SMALL, "--budgets", "1e10", "--submit"))
    text = study.ledger.path.read_text()
    study.ledger.path.write_text(text.replace('"seed":0', '"seed":1', 1))
    said = ostinato("plan", "ingest", "--study", "s")
    assert said.code != 0
    assert "line 1 was changed after it was written" in said.err


@pytest.mark.parametrize("is_emptied", [True, False])
def test_a_ledger_that_was_cut_is_told_by_the_queue(
    ostinato: Ostinato, controller: Served, study: Study, is_emptied: bool
) -> None:
    ok(ostinato(*SMALL, "--budgets", "1e10", "--submit"))
    lines = study.ledger.path.read_bytes().splitlines(keepends=True)
    study.ledger.path.write_bytes(b"" if is_emptied else b"".join(lines[:2]))
    study.ledger.head_path.unlink()
    said = ostinato("plan", "ingest", "--study", "s")
    assert said.code != 0
    assert ("entries 1 to 4 are" if is_emptied else "entries 3 to 4 are") in said.err


def test_results_that_were_cut_away_come_back(ostinato: Ostinato, agent: FakeAgent, study: Study) -> None:
    ok(ostinato(*SMALL, "--budgets", "1e10", "--submit"))
    run_all(agent, study, 4)
    assert ok(ostinato("plan", "ingest", "--study", "s", "--json")).value["finished"] == 4
    whole = study.ledger.path.read_bytes()
    study.ledger.path.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    study.ledger.head_path.unlink()
    found = ok(ostinato("plan", "ingest", "--study", "s", "--json")).value
    assert (found["taken_in"], found["finished"]) == (3, 4)


def test_rungs_are_the_models_of_the_ladder() -> None:
    assert list(sizes().values()) == sorted(sizes().values())
    assert nearest([1e4, 1.1e4, 1e6]) == ["lm_10k", "lm_20k", "lm_1m"]
    found = rung("lm_100k", 1e12, seed=2, group="g")
    assert found.run.flops == pytest.approx(1e12, rel=0.002)
    assert found.run.run != rung("lm_100k", 1e12, seed=3, group="g").run.run
    assert found.composed.spec.run.seed == 2
    assert batch_sequences(1e7, 128) == 26
    assert batch_sequences(1e7, 256) == 13
    assert batch_sequences(1e3, 128) == 2


def test_time_of_writing_is_before_the_start(ostinato: Ostinato, controller: Served, study: Study) -> None:
    ok(ostinato(*SMALL, "--budgets", "1e10", "--submit"))
    written_s = max(entry.at.timestamp() for entry in Ledger(study.ledger.path).entries())
    jobs = controller.json("GET", "/v1/jobs")["jobs"]
    assert written_s <= min(job["submitted_s"] for job in jobs) <= time.time()
