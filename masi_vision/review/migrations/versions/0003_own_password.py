"""A password that somebody else gave is told from one that its owner chose."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = depends_on = None


def upgrade() -> None:
    """Who has an account already goes on with the password that he has."""
    op.add_column(
        "account", sa.Column("given_password", sa.Boolean, nullable=False, server_default=sa.false())
    )
