"""The command line. Modules import typer and the standard library; heavier things are imported by the command."""
