"""Could a command run, going by what its line names and what a file system says? `check` is the entry."""
