"""`python -m nexus_ops` is the `nexus` command."""

from nexus_ops.cli import main

if __name__ == "__main__":
    main()
