"""Alembic's entry: the connection is handed over by `masi_vision.review.database`."""

from alembic import context

from masi_vision.review.tables import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
