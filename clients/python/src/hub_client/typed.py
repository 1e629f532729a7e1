"""Typed events: classes registered by the type of event that they stand for (extra ``[pydantic]``).

::

    @event_type("order.paid")
    class OrderPaid(BaseModel):
        order: int

    await publisher.publish(OrderPaid(order=7), users=["alice"])

    match load(event):
        case OrderPaid(order=order): ...

Models, dataclasses and named tuples are fine: whatever pydantic can validate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import TypeAdapter

from hub_client._frames import encode
from hub_client._models import Event, Json

__all__ = ["event_type", "load"]

T = TypeVar("T")

_kinds: dict[str, _Kind] = {}


class _Kind:
    """See ``hub_client._models.Kind``."""

    def __init__(self, name: str, cls: type[Any]) -> None:
        self.name = name
        self.cls = cls
        self._adapter: TypeAdapter[Any] | None = None

    @property
    def adapter(self) -> TypeAdapter[Any]:
        # Made when it is first needed: a class may name others that are defined below it.
        if self._adapter is None:
            self._adapter = TypeAdapter(self.cls)
        return self._adapter

    def dump(self, value: Any) -> Json:
        if type(value) is not self.cls:
            raise TypeError(f"{type(value).__qualname__} is not registered; its base {self.cls.__qualname__} is")
        return self.adapter.dump_python(value, mode="json")

    def load(self, data: Json) -> Any:
        # As JSON, since a strict model takes a text for a time there only.
        return self.adapter.validate_json(encode(data))


def event_type(name: str) -> Callable[[type[T]], type[T]]:
    """Register the class as what the data of events of this type are. Raises ValueError if another one is."""

    def register(cls: type[T]) -> type[T]:
        known = _kinds.get(name)
        # The same class again is a module that was reloaded.
        if known is not None and (known.cls.__module__, known.cls.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"events of type {name!r} are {known.cls.__module__}.{known.cls.__qualname__} already")
        _kinds[name] = cls.__hub_event__ = _Kind(name, cls)  # type: ignore[attr-defined]
        return cls

    return register


def load(event: Event) -> Any:
    """The event's data as an instance of the class registered for its type; None if there is none.

    Raises ValueError (pydantic's ``ValidationError``) if the data do not fit.
    """
    kind = _kinds.get(event.type)
    return None if kind is None else kind.load(event.data)
