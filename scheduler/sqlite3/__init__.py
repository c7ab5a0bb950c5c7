"""Django's SQLite, whose connections make no file: one that is not there says so.

Named by `scheduler.environment`. SQLite would make the file as the umask says, in whatever directory a typing
error names; `scheduler.installation` makes it, for `up` and `migrate`.
"""
