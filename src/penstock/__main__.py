"""The `penstock` command (`python -m penstock`)."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its status."""
    from penstock.cli.program import program

    program(prog_name="penstock")


if __name__ == "__main__":
    main()
