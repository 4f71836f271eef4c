"""When a writer's latest span came over the network."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column."""
    op.add_column("writer", sa.Column("received", sa.BigInteger(), nullable=True))
