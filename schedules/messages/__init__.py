"""Messages to workers: doorbells of our own, and tasks for the workers of other codebases.

    routing       which queue a message goes to
    envelope      doorbells as bytes, cut after one that kombu made
    lines         many of them to the broker at once, confirmed
    ringing       one by one, by Celery, where a way or headers of their own ask for it
    sending       another codebase's task, as django-celery-beat sends it
    outbox        what a beat has opened and not rung yet

`publish` says which runs are due for one.
"""
