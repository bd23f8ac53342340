"""The `nexus` command: the embedded stack, the demo, replay, verification and explanation."""
