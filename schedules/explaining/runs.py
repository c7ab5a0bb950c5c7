"""What became of a due instant that has a row, in words: the sentence, then the chain of facts.

The part of `explaining` that reads nothing: `evidence` has the rows. What they do not tell is said to be
unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from schedules.explaining.evidence import Evidence, names
from schedules.explaining.explanation import Fact, Verdict, length, moment
from schedules.messages import routing
from schedules.models import Attempt, Run
from schedules.rules.definition import Definition, Delivery
from schedules.rules.states import Outcome, Reason, State, Trigger


def verdict_of(run: Run) -> Verdict:
    if run.is_retrying:
        return Verdict.RETRYING
    return {
        State.SUCCEEDED: Verdict.RAN,
        State.RUNNING: Verdict.RUNNING,
        State.PENDING: Verdict.WAITING,
        State.QUEUED: Verdict.WAITING,
        State.SKIPPED: Verdict.SKIPPED,
        State.CANCELLED: Verdict.CANCELLED,
        State.SENT: Verdict.SENT,
    }.get(State(run.state), Verdict.FAILED)


def sentence_of(run: Run, attempts: list[Attempt], when: str, now: datetime) -> str:
    """What became of the instant, in one sentence."""
    name, verdict = f"Run {run.pk}", verdict_of(run)
    if verdict == Verdict.SKIPPED:
        return f"Did not run for {when}: {_skipped(run)}."
    if verdict == Verdict.CANCELLED:
        started = "was cancelled" if run.started_at else "was cancelled before it started"
        return f"Was due at {when}: {name.lower()} {started}. {run.detail}".rstrip()
    if verdict == Verdict.SENT:
        return f"Was sent for {when}: {name.lower()}. What its worker made of it was not told."
    if verdict == Verdict.RUNNING:
        started = f" since {length(now - run.started_at)}" if run.started_at else ""
        return f"Is running for {when}: {name.lower()}, attempt {run.attempt} of {run.max_attempts}{started}."
    if verdict == Verdict.WAITING:
        return f"Was due at {when} and has not started yet: {name.lower()} waits."
    if verdict == Verdict.RETRYING:
        return (
            f"Ran for {when} and failed {run.attempt} of {run.max_attempts} times: {name.lower()} waits for "
            "its retry."
        )
    tries = f" after {run.attempt} attempts" if run.attempt > 1 else ""
    ending = _ending(attempts[-1]) if verdict == Verdict.FAILED and attempts else ""
    word = str(run.state).replace("_", " ")
    return f"Ran for {when}: {name.lower()} {word}{tries}{': ' + ending if ending else ''}."


def _skipped(run: Run) -> str:
    if run.reason == Reason.OVERLAP:
        return "the run before it was still active"
    if run.reason == Reason.MISSED:
        return "it was missed, because no beat decided it in time"
    if run.reason == Reason.SHADOW:
        return "the schedule is a shadow, which starts nothing"
    return run.detail.rstrip(".") or run.reason or "no reason was recorded"


def _ending(attempt: Attempt) -> str:
    if attempt.outcome == Outcome.TIMED_OUT:
        return "its time was up"
    if attempt.outcome == Outcome.WORKER_LOST:
        return "its worker vanished"
    if attempt.outcome == Outcome.INTERRUPTED:
        return "its worker was stopped"
    if attempt.signal is not None:
        return f"signal {attempt.signal}"
    if attempt.exit_code is not None:
        return f"exit code {attempt.exit_code}"
    return attempt.error.strip().partition("\n")[0][:160]


def facts_of(run: Run, evidence: Evidence, zone: ZoneInfo) -> Iterator[Fact]:
    """The chain from the decision to the end, as far as it has come."""
    yield Fact("decided", _decision(run, zone))
    if run.missed_count > 1 and run.missed_until:
        first, last = moment(run.scheduled_for, zone), moment(run.missed_until, zone)
        yield Fact(
            "missed", f"run {run.pk} stands for {run.missed_count:,} instants, {first} to {last}", run.pk
        )
    yield from _reason(run, evidence, zone)
    if verdict_of(run) in (Verdict.WAITING, Verdict.RETRYING):
        yield from _waiting(run, evidence, zone)
    if run.started_at:
        yield Fact("started", _start(run, zone), run.pk)
    for attempt in evidence.attempts if run.attempt > 1 or run.state != State.SUCCEEDED else ():
        yield from _attempt(attempt, zone)
    if run.finished_at and run.started_at:
        took = length(run.finished_at - run.started_at)
        yield Fact("finished", f"{moment(run.finished_at, zone)}, after {took}")


def by_hand(run: Run, zone: ZoneInfo) -> Fact:
    """A run that somebody started and that was there at the moment that was asked about."""
    word = "a repeat" if run.trigger == Trigger.RERUN else "started by hand"
    who = f", by {run.triggered_by}" if run.triggered_by else ""
    over = f", over {moment(run.finished_at, zone)}" if run.finished_at else ""
    why = f". {run.detail}" if run.detail and run.state not in (State.RUNNING, State.SUCCEEDED) else ""
    return Fact(
        "by hand",
        f"run {run.pk}, {word} {moment(run.created_at, zone)}{who}: {run.label}{over}{why}",
        run.pk,
    )


def _decision(run: Run, zone: ZoneInfo) -> str:
    by = f"by {run.decided_by}" if run.decided_by else "by a beat whose name was not recorded"
    last = run.missed_until or run.scheduled_for
    late = f"{length(run.created_at - last)} after it was due"
    found = "that it was missed, " if run.reason == Reason.MISSED else ""
    return f"{found}{by}, {moment(run.created_at, zone)}, {late}"


def _reason(run: Run, evidence: Evidence, zone: ZoneInfo) -> Iterator[Fact]:
    if run.reason == Reason.OVERLAP:
        yield _overlap(run, evidence.blocker, zone, evidence.now)
    elif run.reason == Reason.MISSED:
        yield from _missed(run, evidence, zone)
    elif run.detail and run.state not in (State.RUNNING, State.SUCCEEDED, State.CANCELLED):
        yield Fact("reason", run.detail.rstrip("."))


def _overlap(run: Run, blocker: Run | None, zone: ZoneInfo, now: datetime) -> Fact:
    policy = "the overlap policy is to skip"
    if blocker is None:
        return Fact("overlap", f"{policy}; which run was active is not on record any more")
    since = f"started {moment(blocker.started_at, zone)}" if blocker.started_at else "it had not started"
    until = f"over {moment(blocker.finished_at, zone)}" if blocker.finished_at else "it is not over yet"
    due = moment(blocker.scheduled_for, zone)
    said = f"{policy}; run {blocker.pk}, due {due}, was active: {since}, {until}"
    return Fact("overlap", said, blocker.pk)


def _missed(run: Run, evidence: Evidence, zone: ZoneInfo) -> Iterator[Fact]:
    beats = evidence.beats_at(run.scheduled_for)
    known = f"on record as running then: {names(beats)}" if beats else "none on record was running then"
    yield Fact("beat", f"{known} (rows of beats are kept for a week)")
    yield Fact("catch-up", run.detail.rstrip("."))
    if evidence.catch_up is not None:
        late = evidence.catch_up
        yield Fact(
            "catch-up", f"run {late.pk} was started instead, for {moment(late.scheduled_for, zone)}", late.pk
        )


def _waiting(run: Run, evidence: Evidence, zone: ZoneInfo) -> Iterator[Fact]:
    if run.available_at > evidence.now:
        wait = length(run.available_at - evidence.now)
        yield Fact("waits", f"until {moment(run.available_at, zone)}, {wait} from now", run.pk)
        return
    if run.state == State.PENDING:
        yield Fact("waits", "to be sent to its queue, which a beat does", run.pk)
        if run.detail:
            yield Fact("waits", run.detail.rstrip("."), run.pk)
        yield from _no_beat(evidence)
    else:
        sent = f"since {moment(run.queued_at, zone)}" if run.queued_at else "at a time that is not recorded"
        times = f", sent {run.dispatches} times" if run.dispatches > 1 else ""
        yield Fact("waits", f"for a worker, {sent}{times}", run.pk)
    yield Fact("workers", _who_could(run, evidence))


def _who_could(run: Run, evidence: Evidence) -> str:
    if run.revision is None:
        return "its definition is not there"
    try:
        definition = Definition.from_dict(run.revision.definition)
    except (LookupError, TypeError, ValueError) as error:
        return f"its definition cannot be read: {error}"
    return who_could(definition, run.queue, evidence)


def who_could(definition: Definition, queue: str, evidence: Evidence) -> str:
    """The workers of its queue; where a route decides that, of the queues that it leads to."""
    if definition.delivery == Delivery.MESSAGE:
        return "those of another codebase execute it: which of them are alive is not known here"
    try:
        queues = (queue,) if queue else routing.queues_of(definition)
    except (LookupError, TypeError, ValueError) as error:
        return f"it is not known which queue it goes to: {error}"
    return "; ".join(_workers_sentence(queue, evidence) for queue in queues)


def _workers_sentence(queue: str, evidence: Evidence) -> str:
    serving = evidence.workers_of(queue)
    if serving:
        return f'alive and serving the queue "{queue}": {names(serving)}'
    alive = {row.queues for row in evidence.workers if row.seen_at}
    others = f"; those on record serve {', '.join(sorted(alive))}" if alive else ""
    return f'no worker that is alive serves the queue "{queue}"{others}'


def _no_beat(evidence: Evidence) -> Iterator[Fact]:
    if not evidence.live_beats:
        yield Fact("beat", no_beat_sentence(evidence))


def no_beat_sentence(evidence: Evidence) -> str:
    if not evidence.beats:
        return "no beat is on record: start one"
    last = evidence.beats[0]
    return f"no beat is alive; {last.name} was seen last, {length(evidence.now - last.seen_at)} ago"


def _start(run: Run, zone: ZoneInfo) -> str:
    assert run.started_at is not None
    late = length(run.started_at - run.scheduled_for)
    where = f", on {run.worker.name}" if run.worker else ""
    return f"{moment(run.started_at, zone)}, {late} after it was due{where}"


def _attempt(attempt: Attempt, zone: ZoneInfo) -> Iterator[Fact]:
    ending = _ending(attempt)
    said = f"{attempt.label}, {moment(attempt.started_at, zone)}" + (f": {ending}" if ending else "")
    yield Fact(
        f"attempt {attempt.number}", said + (f". {attempt.decision_text}" if attempt.decision_text else "")
    )
