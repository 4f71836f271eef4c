"""What can be searched by: the names of entities and fields, ours and MLflow's, and what their values are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import Enum

from .query import DATASET_FIELDS, RUN_FIELDS, Entity, Key
from .states import State


class Kind(Enum):
    """What the values of a key are; the text says it in errors."""

    NUMBER = "a number"
    TEXT = "text"
    SCALAR = "a number or text"
    TIME = "a time"
    STATE = "a state"


STATES = {str(state): frozenset({state}) for state in State} | {"scheduled": frozenset[State]()}
"""MLflow knows runs that are scheduled; we have none."""

_ENTITIES = {
    "metric": Entity.METRIC,
    "metrics": Entity.METRIC,
    "param": Entity.PARAM,
    "params": Entity.PARAM,
    "parameter": Entity.PARAM,
    "parameters": Entity.PARAM,
    "tag": Entity.TAG,
    "tags": Entity.TAG,
    "attribute": Entity.ATTRIBUTE,
    "attributes": Entity.ATTRIBUTE,
    "attr": Entity.ATTRIBUTE,
    "run": Entity.ATTRIBUTE,
    "dataset": Entity.DATASET,
    "datasets": Entity.DATASET,
}
_ATTRIBUTES = {name: Key(Entity.RUN, name) for name in RUN_FIELDS} | {
    "run_id": Key(Entity.RUN, "id"),
    "run_name": Key(Entity.RUN, "name"),
    "run name": Key(Entity.RUN, "name"),
    "Run name": Key(Entity.RUN, "name"),
    "Run Name": Key(Entity.RUN, "name"),
    "status": Key(Entity.RUN, "state"),
    "start_time": Key(Entity.RUN, "started"),
    "created": Key(Entity.RUN, "started"),
    "Created": Key(Entity.RUN, "started"),
    "end_time": Key(Entity.RUN, "ended"),
    "user_id": Key(Entity.ATTRIBUTE, "process.owner"),
}
_OF_DATASETS = {name: Key(Entity.DATASET, name) for name in DATASET_FIELDS} | {
    "context": Key(Entity.DATASET, "role")
}
_KINDS = {
    Key(Entity.RUN, "duration"): Kind.NUMBER,
    Key(Entity.RUN, "started"): Kind.TIME,
    Key(Entity.RUN, "ended"): Kind.TIME,
    Key(Entity.RUN, "state"): Kind.STATE,
}
_KINDS_OF_ENTITIES = {
    Entity.METRIC: Kind.NUMBER,
    Entity.PARAM: Kind.SCALAR,
    Entity.ATTRIBUTE: Kind.SCALAR,
}
_ENTITIES_SAID = "metrics.x, params.x, tags.x, attributes.x and datasets.x are known"


def key_of(parts: Sequence[str]) -> Key:
    """The key that is written as `parts` between dots. Raises ValueError, which says what is unknown."""
    first, *rest = parts
    whole, name = ".".join(parts), ".".join(rest)
    if whole in _ATTRIBUTES:
        return _ATTRIBUTES[whole]
    if not rest:
        raise ValueError(_unknown("attribute", whole, _ATTRIBUTES, _ENTITIES_SAID))
    if first not in _ENTITIES:
        raise ValueError(_unknown("entity", first, _ENTITIES, _ENTITIES_SAID))
    if not name:
        raise ValueError(f"a key of {first} without a name")
    match _ENTITIES[first]:
        case Entity.DATASET if name not in _OF_DATASETS:
            raise ValueError(_unknown("field of datasets", name, _OF_DATASETS, _listed(_OF_DATASETS)))
        case Entity.DATASET:
            return _OF_DATASETS[name]
        case Entity.ATTRIBUTE if name in _ATTRIBUTES:
            return _ATTRIBUTES[name]
        case Entity.ATTRIBUTE if "." not in name:
            raise ValueError(_unknown("attribute", name, _ATTRIBUTES, _listed(RUN_FIELDS)))
        case entity:
            return Key(entity, name)


def kind_of(key: Key) -> Kind:
    """What its values are."""
    return _KINDS.get(key) or _KINDS_OF_ENTITIES.get(key.entity, Kind.TEXT)


def states_named(name: str) -> frozenset[State]:
    """Those that a name means, in our words or MLflow's. Raises ValueError for another one."""
    if name.lower() not in STATES:
        raise ValueError(_unknown("state", name, STATES, _listed(State)))
    return STATES[name.lower()]


def _unknown(what: str, name: str, known: Iterable[str], otherwise: str) -> str:
    similar = get_close_matches(name, known, n=1)
    return f"no {what} {name!r}: " + (f"did you mean {similar[0]!r}?" if similar else otherwise)


def _listed(names: Iterable[str]) -> str:
    return f"there is {', '.join(names)}"
