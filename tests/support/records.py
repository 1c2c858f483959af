"""Records by their types: any that a format allows, for hypothesis."""

from collections.abc import Mapping
from typing import Any, get_type_hints

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from pybench.result.env import OPEN

# With the lone surrogates that stand for the bytes of a path that is no UTF-8. No others: two that
# make a pair are one character to any reader of JSON.
TEXT = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("\udc80\udcff")),
    max_size=8,
)
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
"""Any JSON value."""


def records(kind: type) -> st.SearchStrategy[Any]:
    """Any record of a type of `pybench.result`, as its annotations allow it."""
    return _of(inspect.type_info(kind))


def _of(info: Any) -> st.SearchStrategy[Any]:
    """Values of a type, as msgspec describes it."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    return _BY_KIND[type(info)](info)


def _struct(info: inspect.StructType) -> st.SearchStrategy[Any]:
    fields = {field.name: _field(field) for field in info.fields}
    return st.fixed_dictionaries(fields).map(
        lambda values: info.cls(**{k: v for k, v in values.items() if v is not msgspec.UNSET})
    )


def _field(field: inspect.Field) -> st.SearchStrategy[Any]:
    if field.name in OPEN:
        known = get_type_hints(OPEN[field.name], include_extras=True)
        optional = {name: _of(inspect.type_info(kind)) for name, kind in known.items()}
        free = st.dictionaries(TEXT.filter(lambda name: name not in known), PLAIN, max_size=2)
        return st.builds(
            lambda a, b: {**a, **b}, st.fixed_dictionaries({}, optional=optional), free
        )
    return _of(field.type)


def _float(info: inspect.FloatType) -> st.SearchStrategy[float]:
    low = info.ge if info.ge is not None else info.gt
    return st.floats(
        low, info.le, exclude_min=info.gt is not None, allow_nan=False, allow_infinity=False
    )


def _dict(info: inspect.DictType) -> st.SearchStrategy[Mapping[Any, Any]]:
    return st.dictionaries(_of(info.key_type), _of(info.value_type), max_size=3)


def _typed_dict(info: inspect.TypedDictType) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={f.name: _of(f.type) for f in info.fields})


_BY_KIND: dict[type, Any] = {
    inspect.StructType: _struct,
    inspect.TypedDictType: _typed_dict,
    inspect.DictType: _dict,
    inspect.ListType: lambda info: st.lists(_of(info.item_type), max_size=3),
    inspect.VarTupleType: lambda info: st.lists(_of(info.item_type), max_size=3).map(tuple),
    inspect.TupleType: lambda info: st.tuples(*map(_of, info.item_types)),
    inspect.UnionType: lambda info: st.one_of(*map(_of, info.types)),
    inspect.LiteralType: lambda info: st.sampled_from(info.values),
    inspect.IntType: lambda info: st.integers(info.ge, info.le),
    inspect.FloatType: _float,
    inspect.StrType: lambda info: TEXT,
    inspect.BoolType: lambda info: st.booleans(),
    inspect.NoneType: lambda info: st.none(),
    inspect.AnyType: lambda info: PLAIN,
}


def without_newer(record: Any, before: Any) -> Any:
    """The record without the keys that it had not before: adding keys is free."""
    if isinstance(record, dict) and isinstance(before, dict):
        return {k: without_newer(v, before[k]) for k, v in record.items() if k in before}
    if isinstance(record, list) and isinstance(before, list) and len(record) == len(before):
        return [without_newer(*pair) for pair in zip(record, before, strict=True)]
    return record
