"""Two ways round what keeps locked reads and the audit trail are shut; sessions count no units."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = depends_on = None

SAME_ROW = {
    "entry": (
        "id = NEW.id OR (account_id = NEW.account_id AND code = NEW.code AND stage = NEW.stage "
        "AND version = NEW.version)"
    ),
    "event": "number = NEW.number",
}


def upgrade() -> None:
    """Refuse INSERT OR REPLACE (SQLite) and TRUNCATE (PostgreSQL), which pass the triggers of 0001."""
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    for table, same in SAME_ROW.items():
        if on_sqlite:
            op.execute(
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
                f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are never changed'); END"
            )
        else:
            op.execute(
                f"CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION never_changed()"
            )
    op.drop_column("sign_in", "locked")
