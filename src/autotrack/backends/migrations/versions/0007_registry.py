"""The model registry."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, and their indexes."""
    _models()
    _versions()
    _names_of_versions()
    _audit()


def _models() -> None:
    op.create_table(
        "registered_model",
        sa.Column("pk", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("pk"),
        sa.UniqueConstraint("name"),
        sqlite_autoincrement=True,
    )
    op.create_index("registered_model_by_created", "registered_model", ["created", "name"])
    op.create_index("registered_model_by_updated", "registered_model", ["updated", "name"])
    op.create_table(
        "model_number",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _versions() -> None:
    op.create_table(
        "model_version",
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("files", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["registered_model.pk"]),
        sa.PrimaryKeyConstraint("model", "version"),
    )
    op.create_index("model_version_by_run", "model_version", ["run"])
    op.create_index(
        "model_version_by_stage",
        "model_version",
        ["model", "stage", "version"],
        sqlite_where=sa.text("stage IS NOT NULL"),
    )


def _names_of_versions() -> None:
    op.create_table(
        "model_alias",
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["registered_model.pk"]),
        sa.PrimaryKeyConstraint("model", "name"),
    )
    op.create_table(
        "model_tag",
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["registered_model.pk"]),
        sa.PrimaryKeyConstraint("model", "name"),
    )
    op.create_index("model_tag_by_value", "model_tag", ["name", "value", "model"])
    op.create_table(
        "version_tag",
        sa.Column("model", sa.Integer(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["registered_model.pk"]),
        sa.PrimaryKeyConstraint("model", "version", "name"),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("verb", sa.Text(), nullable=False),
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("audit_by_key", "audit", ["key", "number"])
    op.create_index("audit_by_model", "audit", ["model", "number"])
