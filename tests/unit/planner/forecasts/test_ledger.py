"""The ledger of forecasts: what it takes, what it refuses, and that nothing in it can be changed unnoticed."""

import json
import multiprocessing
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from planner.errors import BadInputError, LedgerError
from planner.forecasts.ledger import Head, Ledger
from planner.forecasts.ledger_entries import Entry, Forecast, Outcome, Predicted, Result
from planner.forecasts.scores import score

START = datetime(2026, 1, 1, tzinfo=UTC)


def forecast(run: str = "a", loss: float = 3.0, law: str = "ensemble-1") -> Forecast:
    predicted = Predicted(loss, ((0.5, loss * 0.99, loss * 1.01), (0.9, loss * 0.97, loss * 1.03)))
    return Forecast(run=run, law=law, inputs_hash="feed", quantities={"loss": predicted}, facts={"params": 10})


def finished(run: str = "a", loss: float = 3.05) -> Result:
    return Result(run=run, outcome=Outcome.FINISHED, measured={"loss": loss})


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "study" / "ledger.jsonl")


def filled(ledger: Ledger, count: int = 4) -> list[bytes]:
    for number in range(count):
        ledger.record_forecast(forecast(f"run{number}"))
    return ledger.path.read_bytes().splitlines(keepends=True)


def test_what_was_written_is_read(ledger: Ledger) -> None:
    assert ledger.entries() == ()
    ledger.record_forecast(forecast())
    ledger.record_result(finished())
    first, second = Ledger(ledger.path).entries()
    assert first.body == forecast()
    assert second.body == finished()
    assert second.answers == (first.hash,)
    assert json.loads(ledger.path.read_bytes().splitlines()[0])["body"]["quantities"]["loss"]["value"] == 3.0


def test_whole_numbers_are_sealed_as_they_are_read(ledger: Ledger) -> None:
    quantities = {"time_s": Predicted(3, ((0.5, 2, 4),))}
    ledger.record_forecast(Forecast(run="a", law="x", inputs_hash="", quantities=quantities))
    ledger.record_result(Result(run="a", outcome=Outcome.FINISHED, measured={"time_s": 3}))
    assert len(ledger.entries()) == 2


def test_the_same_again_changes_nothing(ledger: Ledger) -> None:
    assert ledger.record_forecast(forecast()) == ledger.record_forecast(forecast())
    assert ledger.record_result(finished()) == ledger.record_result(finished())
    assert len(ledger.entries()) == 2


def test_another_forecast_of_the_same_run_is_refused(ledger: Ledger) -> None:
    ledger.record_forecast(forecast())
    ledger.record_forecast(forecast(law="approach3-1"))
    with pytest.raises(LedgerError, match=r"forecast of a by ensemble-1 was written on .* \(line 1\) and stays"):
        ledger.record_forecast(forecast(loss=2.9))


def test_a_forecast_after_the_result_is_refused(ledger: Ledger) -> None:
    ledger.record_forecast(forecast())
    ledger.record_result(finished())
    with pytest.raises(LedgerError, match="line 2 has the result of a"):
        ledger.record_forecast(forecast(law="hindsight"))


def test_a_result_needs_a_forecast(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no forecast of a"):
        ledger.record_result(finished())


def test_failed_and_diverged_results_stay_and_a_finished_one_is_last(ledger: Ledger) -> None:
    ledger.record_forecast(forecast())
    ledger.record_result(Result(run="a", outcome=Outcome.FAILED, facts={"error": "out of memory"}))
    ledger.record_result(Result(run="a", outcome=Outcome.DIVERGED))
    ledger.record_result(finished())
    with pytest.raises(LedgerError, match="result of a was written"):
        ledger.record_result(finished(loss=2.0))
    assert [entry.body.outcome for entry in ledger.entries()[1:]] == ["failed", "diverged", "finished"]  # type: ignore[union-attr]


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_no_value_that_cannot_be_measured(value: float) -> None:
    with pytest.raises(BadInputError):
        Predicted(value)
    with pytest.raises(BadInputError):
        Result(run="a", outcome=Outcome.FINISHED, measured={"loss": value})


def test_facts_must_be_json(ledger: Ledger) -> None:
    with pytest.raises(BadInputError, match="values of JSON"):
        ledger.record_forecast(Forecast(run="a", law="x", inputs_hash="", quantities={}, facts={"x": object()}))


@pytest.mark.parametrize("at", range(4))
def test_a_changed_number_is_found_on_its_line(ledger: Ledger, at: int) -> None:
    lines = filled(ledger)
    lines[at] = lines[at].replace(b"3.0,", b"3.5,").replace(b'"value":3.0', b'"value":3.01')
    ledger.path.write_bytes(b"".join(lines))
    with pytest.raises(LedgerError, match=f"line {at + 1} "):
        ledger.entries()
    with pytest.raises(LedgerError, match=f"line {at + 1} "):
        ledger.record_forecast(forecast("new"))


def test_an_entry_that_is_sealed_anew_breaks_the_next(ledger: Ledger) -> None:
    lines = filled(ledger)
    first = ledger.entries()[0]
    forged = Entry.sealed(0, first.at, forecast("run0", 2.5), (), first.previous)
    ledger.path.write_bytes(b"".join([forged.line(), *lines[1:]]))
    with pytest.raises(LedgerError, match=r"line 2 .* taken away, added or moved"):
        ledger.entries()


@pytest.mark.parametrize("order", [(0, 2, 3), (1, 2, 3), (0, 2, 1, 3), (0, 0, 1, 2)])
def test_removed_moved_and_repeated_lines_are_found(ledger: Ledger, order: tuple[int, ...]) -> None:
    lines = filled(ledger)
    ledger.path.write_bytes(b"".join(lines[at] for at in order))
    with pytest.raises(LedgerError, match="taken away, added or moved"):
        ledger.entries()


def test_a_cut_end_is_found_by_a_noted_head(ledger: Ledger) -> None:
    lines = filled(ledger)
    head = ledger.head
    ledger.expect(head)
    ledger.record_forecast(forecast("later"))
    ledger.expect(head)
    ledger.path.write_bytes(b"".join(lines[:-1]))
    ledger.head_path.unlink()  # lost with the ledger's end
    assert len(ledger.entries()) == 3
    with pytest.raises(LedgerError, match="entry 4 is missing: it was cut"):
        ledger.expect(head)
    with pytest.raises(LedgerError, match="rewritten"):
        ledger.expect(Head(2, head.hash))
    ledger.expect(Head(0, Ledger(ledger.path.with_name("none")).head.hash))


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_a_cut_end_is_found_by_the_head_beside_it(ledger: Ledger, kept: int) -> None:
    lines = filled(ledger)
    assert Head.parse(ledger.head_path.read_text()) == ledger.head
    ledger.path.write_bytes(b"".join(lines[:kept]))
    for reading in (ledger.entries, lambda: ledger.record_forecast(forecast("new")), lambda: ledger.torn_bytes):
        with pytest.raises(LedgerError, match=rf"had 4 entries .* now has {kept}: entr.* 4 (is|are) missing"):
            reading()
    ledger.path.unlink()
    with pytest.raises(LedgerError, match="entries 1 to 4 are missing"):
        ledger.entries()


@pytest.mark.parametrize("text", ["", "4", "x:feed", "4:"])
def test_a_head_that_is_none_is_told(ledger: Ledger, text: str) -> None:
    filled(ledger)
    ledger.head_path.write_text(text)
    with pytest.raises(LedgerError, match="no head of a ledger"):
        ledger.entries()


def test_time_does_not_go_back(tmp_path: Path) -> None:
    now = [START]
    ledger = Ledger(tmp_path / "ledger.jsonl", clock=lambda: now[0])
    ledger.record_forecast(forecast("a"))
    now[0] = START - timedelta(minutes=4)
    ledger.record_forecast(forecast("b"))
    now[0] = START - timedelta(minutes=10)
    with pytest.raises(LedgerError, match="set the clock"):
        ledger.record_forecast(forecast("c"))
    last = ledger.entries()[-1]
    forged = Entry.sealed(2, START - timedelta(days=9), forecast("c"), (), last.hash)
    ledger.path.write_bytes(ledger.path.read_bytes() + forged.line())
    with pytest.raises(LedgerError, match=r"line 3 is of .* long before the line above"):
        ledger.entries()


def test_another_spelling_of_the_same_values_is_an_edit(ledger: Ledger) -> None:
    lines = filled(ledger, 1)
    ledger.path.write_bytes(lines[0].replace(b'":', b'": ', 1))
    with pytest.raises(LedgerError, match="line 1 "):
        ledger.entries()


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_torn_last_line_is_told_and_written_over(ledger: Ledger, cut: int) -> None:
    lines = filled(ledger)
    ledger.path.write_bytes(b"".join(lines)[:-cut])
    third = json.loads(lines[2])["hash"]
    ledger.head_path.write_text(str(Head(3, third)))  # it is written after the line is on disk
    assert len(ledger.entries()) == 3
    assert ledger.torn_bytes == len(lines[-1]) - cut
    ledger.record_forecast(forecast("run3"))
    assert (len(ledger.entries()), ledger.torn_bytes) == (4, 0)


def _write_many(path: Path, name: str) -> None:
    for number in range(10):
        Ledger(path).record_forecast(forecast(f"{name}{number}"))


def test_two_writers_wait_for_each_other(ledger: Ledger) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(ledger.path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len({entry.body.run for entry in ledger.entries()}) == 20


def test_a_writer_that_never_ends_is_told_of(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.forecasts.ledger.LOCK_TIMEOUT_S", 0.05)
    with ledger._locked(), pytest.raises(LedgerError, match="another process has held it"):
        Ledger(ledger.path).record_forecast(forecast())


class LedgerMachine(RuleBasedStateMachine):
    """Forecasts, results, crashes and reopenings in any order leave exactly what was acknowledged."""

    runs = st.sampled_from("abcd")

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger(Path(self.folder.name, "ledger.jsonl"))
        self.kept: list[Forecast | Result] = []

    @rule(run=runs, loss=st.floats(0.5, 9.0), law=st.sampled_from(["x", "y"]))
    def predict(self, run: str, loss: float, law: str) -> None:
        new = forecast(run, loss, law)
        known = [b for b in self.kept if isinstance(b, Forecast) and (b.run, b.law) == (run, law)]
        answered = any(isinstance(b, Result) and b.run == run for b in self.kept)
        if (answered or known) and known != [new]:
            with pytest.raises(LedgerError):
                self.ledger.record_forecast(new)
        elif not known:
            self.ledger.record_forecast(new)
            self.kept.append(new)

    @rule(run=runs, loss=st.floats(0.5, 9.0), outcome=st.sampled_from(Outcome))
    def measure(self, run: str, loss: float, outcome: Outcome) -> None:
        new = Result(run=run, outcome=outcome, measured={"loss": loss} if outcome is Outcome.FINISHED else {})
        before = [b for b in self.kept if isinstance(b, Result) and b.run == run]
        is_known = any(isinstance(b, Forecast) and b.run == run for b in self.kept)
        if not is_known or (before and before[-1].outcome is Outcome.FINISHED and before[-1] != new):
            with pytest.raises(LedgerError):
                self.ledger.record_result(new)
            return
        self.ledger.record_result(new)
        if not before or before[-1] != new:
            self.kept.append(new)

    @rule(left=st.integers(0, 200))
    def crash(self, left: int) -> None:
        if self.kept:
            line = self.ledger.path.read_bytes().splitlines()[-1]
            with self.ledger.path.open("ab") as file:
                file.write(line[:left])
        self.ledger = Ledger(self.ledger.path)

    @invariant()
    def holds_what_was_acknowledged(self) -> None:
        assert [entry.body for entry in self.ledger.entries()] == self.kept
        scores = score(self.ledger.entries())
        runs = {body.run for body in self.kept}
        assert scores.finished + scores.diverged + scores.failed + scores.pending == len(runs)

    def teardown(self) -> None:
        self.folder.cleanup()


LedgerMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase


@given(at=st.integers(0, 10_000), byte=st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_any_changed_byte_is_found(at: int, byte: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder, "ledger.jsonl"))
        filled(ledger, 3)
        content = bytearray(ledger.path.read_bytes())
        place = at % (len(content) - 1)  # the last byte ends the last line: without it, that line is torn
        content[place] ^= byte
        ledger.path.write_bytes(content)
        with pytest.raises(LedgerError, match=r"line [123] "):
            ledger.entries()


def test_scores(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl", clock=lambda: START)
    for run, (predicted, measured) in {"a": (3.0, 3.0), "b": (3.0, 3.06), "c": (3.0, 2.7)}.items():
        ledger.record_forecast(forecast(run, predicted))
        ledger.record_result(finished(run, measured))
    ledger.record_forecast(forecast("late"))
    ledger.record_result(
        Result(run="late", outcome=Outcome.FINISHED, measured={"loss": 3.0}, started=START - timedelta(hours=1))
    )
    for run, outcome in (("d", Outcome.FAILED), ("e", Outcome.DIVERGED)):
        ledger.record_forecast(forecast(run))
        ledger.record_result(Result(run=run, outcome=outcome))
    ledger.record_forecast(forecast("f"))
    scores = score(ledger.entries())
    assert (scores.finished, scores.failed, scores.diverged, scores.pending, scores.late) == (4, 1, 1, 1, 1)
    (only,) = scores.scores
    assert (only.count, only.law, only.quantity) == (3, "ensemble-1", "loss")
    assert only.median_absolute_error == pytest.approx(0.0198, abs=1e-4)
    assert [(level.level, level.inside, level.of) for level in only.coverage] == [(0.5, 1, 3), (0.9, 2, 3)]
    assert only.calibration == pytest.approx((1.0 * 1.02 * 0.9) ** (1 / 3))
    assert scores.to_json()["scores"][0]["coverage"][1]["share"] == pytest.approx(2 / 3)
