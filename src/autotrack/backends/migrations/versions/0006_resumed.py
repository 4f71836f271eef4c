"""What a resumed run keeps of its earlier segments."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column."""
    op.add_column("segment", sa.Column("keeps", sa.Text(), nullable=True))
