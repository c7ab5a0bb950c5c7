"""Why a run did, did not or will not happen at a moment.

    flow          from a question to an answer: called by the command `explain` and by the admin
    evidence      what the tables know of that moment
    runs          the answer where a run exists; `silence` where nothing was due
    explanation   question and answer as values

What the timing says of a moment is worded in `rules.explaining`.
"""
