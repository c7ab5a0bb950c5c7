"""Cron's daemon as the tests know it: a model of its main loop, and the real one, where it runs."""
