"""The verbs of the `nexus` command, a file for each kind."""
