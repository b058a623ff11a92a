"""Runs Alembic on an open database, without its configuration file or its command line."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from batch.errors import StoreError
from batch.migrations import HEAD


def upgrade(connection: Connection, found: str | None, path: Path) -> None:
    """Bring the database at `path` from revision `found` (None: new) to HEAD, in the connection's transaction.

    Raises StoreError when a newer version of the program made it.
    """
    config = configuration()
    known = {revision.revision for revision in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"{path}: has revision {found}, which this version does not know; it knows up to {HEAD}: update the program"
        )
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)


def configuration() -> Config:
    """Return Alembic's configuration for the revisions that lie beside this file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config
