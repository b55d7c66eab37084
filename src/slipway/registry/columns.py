"""Column types that mean the same on SQLite (STRICT tables) and PostgreSQL."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from sqlalchemy import REAL, BigInteger, Boolean, Dialect, Double, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine

T = TypeVar("T")

# A STRICT table of SQLite accepts INTEGER, REAL, TEXT and BLOB only.
WholeNumber: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
Seconds: TypeEngine[float] = Double().with_variant(REAL(), "sqlite")


class Flag(TypeDecorator[bool]):
    """True or false; 1 or 0 on SQLite."""

    impl = Boolean
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """INTEGER on SQLite, BOOLEAN elsewhere."""
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else Boolean())

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> bool | None:
        """SQLite's driver stores a bool as an integer by itself."""
        return value

    def process_result_value(self, value: object, dialect: Dialect) -> bool | None:
        """Back to a bool."""
        return None if value is None else bool(value)


class Json(TypeDecorator[T]):
    """A record as JSON: JSONB on PostgreSQL, text on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, record: object = Any) -> None:
        super().__init__()
        self.record = record
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(record)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """JSONB on PostgreSQL, TEXT on SQLite."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else JSONB(none_as_null=True))

    def process_bind_param(self, value: T | None, dialect: Dialect) -> object:
        """The record as JSON text, or as what PostgreSQL's driver turns into it."""
        if value is None:
            return None
        return msgspec.json.encode(value).decode() if dialect.name == "sqlite" else msgspec.to_builtins(value)

    def process_result_value(self, value: object, dialect: Dialect) -> T | None:
        """The typed record."""
        if value is None:
            return None
        return self._decoder.decode(value) if isinstance(value, str) else msgspec.convert(value, self.record)
