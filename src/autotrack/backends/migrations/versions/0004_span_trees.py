"""Where a run hangs in its trace, so that the spans below it are found."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the run span's ids to segments, the run that a foreign span names, and two indexes."""
    for column in ("trace_id", "span_id"):
        op.add_column("segment", sa.Column(column, sa.Text(), nullable=True))
    op.add_column("span", sa.Column("run_id", sa.Text(), nullable=True))
    op.create_index("span_by_parent", "span", ["trace_id", "parent_id"], unique=False)
    op.create_index("span_by_run_id", "span", ["run_id"], sqlite_where=sa.text("run_id IS NOT NULL"))
