"""The words, commands and programs of a shell's command line, as far as they are certain. Runs nothing."""
