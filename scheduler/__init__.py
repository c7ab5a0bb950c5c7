"""The Django project: wiring only. What Beatkeeper does is in `schedules`.

Nothing is imported here, so that `scheduler.bootstrap` runs on a machine without Django.
"""
