"""The transition table: what may follow what."""

from schedules.rules.states import ACTIVE, FINAL, FINAL_STATE, TRANSITIONS, WAITING, Outcome, State


def test_every_state_has_its_row_and_is_either_active_or_final():
    assert set(TRANSITIONS) == set(State) == ACTIVE | FINAL
    assert not ACTIVE & FINAL
    assert WAITING < ACTIVE


def test_final_states_are_never_left_but_for_sent_and_active_ones_are():
    assert all(not TRANSITIONS[state] for state in FINAL - {State.SENT})
    assert TRANSITIONS[State.SENT] <= FINAL
    assert all(TRANSITIONS[state] & FINAL for state in ACTIVE)


def test_only_waiting_runs_are_skipped_and_only_running_ones_succeed():
    def before(state):
        return {source for source, targets in TRANSITIONS.items() if state in targets}

    assert before(State.SKIPPED) == WAITING
    assert before(State.SUCCEEDED) == {State.RUNNING, State.SENT}
    assert before(State.SENT) == {State.QUEUED}


def test_every_outcome_leads_to_a_final_state_that_a_running_run_may_take():
    assert set(FINAL_STATE) == set(Outcome)
    assert set(FINAL_STATE.values()) - {State.SENT} <= TRANSITIONS[State.RUNNING]
