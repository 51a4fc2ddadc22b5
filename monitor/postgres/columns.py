"""What the tables of the schema have in common: how their constraints are called, types, defaults and a rule."""

from sqlalchemy import TIMESTAMP, CheckConstraint, MetaData, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

INSTANT = TIMESTAMP(timezone=True)
FALSE, TRUE, ZERO, ONE = text("false"), text("true"), text("0"), text("1")
EMPTY_OBJECT, EMPTY_ARRAY = text("'{}'::jsonb"), text("'[]'::jsonb")
NOW, NEW_ID = text("now()"), text("gen_random_uuid()")


def are_texts(column: str, *, kind: str, elements: str) -> CheckConstraint:
    """Return the rule that all elements of a jsonb column are texts; `kind` is what the column itself is."""
    # strict: a lax path would look into an array inside and take its texts for the elements.
    other = f"jsonb_path_exists({column}, 'strict {elements} ? (@.type() <> \"string\")', '{{}}', true)"
    return CheckConstraint(f"jsonb_typeof({column}) = '{kind}' AND NOT {other}", name=f"{column}_are_texts")
