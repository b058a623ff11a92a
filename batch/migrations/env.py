"""Alembic runs this file to migrate: on the connection that migrate.py hands over, within its transaction."""

from alembic import context

from batch.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
