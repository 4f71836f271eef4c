"""Alembic's entry: runs the revisions on the connection that `upgrade` hands over."""

from alembic import context

from autotrack.backends.migrations import VERSION_TABLE
from autotrack.backends.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, version_table=VERSION_TABLE, transactional_ddl=True
)
with connection.execution_options(immediate=True).begin(), context.begin_transaction():
    context.run_migrations()
