"""Facts under OpenTelemetry's names, datasets and models of a run; params found by their text."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the three tables, and an index."""
    _stamped("attribute", sa.Column("value", sa.Text(), nullable=False), sa.Column("number", sa.Float()))
    for table in ("attribute", "param"):
        short = sa.text("length(value) <= 100")
        op.create_index(f"{table}_by_value", table, ["name", "value", "run"], sqlite_where=short)
    _stamped(
        "dataset",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("schema", sa.Text(), nullable=False),
    )
    op.create_index("dataset_by_digest", "dataset", ["digest", "run"], unique=False)
    _stamped(
        "model",
        sa.Column("flavor", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
    )


def _stamped(name: str, *columns: sa.Column[object]) -> None:
    op.create_table(
        name,
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        *columns,
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("writer", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["run.pk"]),
        sa.PrimaryKeyConstraint("run", "name"),
    )
