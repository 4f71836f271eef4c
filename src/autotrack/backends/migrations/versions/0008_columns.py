"""Small tables keep their values beside their steps, until they are merged."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("axis", sa.Column("columns", sa.LargeBinary(), nullable=True))
