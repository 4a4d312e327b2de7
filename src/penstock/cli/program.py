"""The `penstock` program: every command by name. Cheap to import: `--help` is read more often than anything else."""

from __future__ import annotations

import typer

from penstock.cli import (
    administration,
    assets,
    encryption,
    fsck,
    model_push,
    models,
    quotas,
    runs,
    serve,
    sources,
    sweeps,
    uploads,
)

program = typer.Typer(
    name="penstock",
    help="A self-hosted ingest plane for generative-AI platforms: signed uploads, assets, model runs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
accounts = typer.Typer(help="Accounts and their credits.", no_args_is_help=True)
keys = typer.Typer(help="API keys.", no_args_is_help=True)
registry = typer.Typer(help="Registered models: weights under an AIR.", no_args_is_help=True)
naming = typer.Typer(help="Sources of AIRs: who registers under which name.", no_args_is_help=True)
encrypting = typer.Typer(help="Keys of the embedded store's encryption.", no_args_is_help=True)

program.command("serve")(serve.serve)
program.command("upload")(uploads.upload)
program.command("run")(runs.run)
program.command("assets")(assets.list_assets)
program.command("folders")(assets.list_folders)
program.add_typer(accounts, name="accounts")
accounts.command("create")(administration.create_account)
accounts.command("credit")(administration.credit_account)
accounts.command("list")(administration.list_accounts)
accounts.command("storage")(administration.list_storage)
accounts.command("quota")(quotas.quota)
accounts.command("recount")(quotas.recount)
program.add_typer(keys, name="keys")
keys.command("create")(administration.create_key)
keys.command("list")(administration.list_keys)
keys.command("revoke")(administration.revoke_key)
program.add_typer(registry, name="models")
registry.command("push")(model_push.push)
registry.command("ls")(models.list_models)
registry.command("show")(models.show)
registry.command("verify")(models.verify)
registry.command("rm")(models.remove)
program.add_typer(naming, name="sources")
naming.command("create")(sources.create_source)
naming.command("ls")(sources.list_sources)
program.add_typer(encrypting, name="encryption")
encrypting.command("create-key")(encryption.create_key)
encrypting.command("rotate")(encryption.rotate)
program.command("migrate")(administration.migrate)
program.command("fsck")(fsck.fsck)
program.command("sweep")(sweeps.sweep)


@program.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    print(installed("penstock"))
