"""A transactional outbox for SQLAlchemy (extra ``[sqlalchemy]``): events that are committed with your own data.

A commit and a publish are two systems: whoever does one after the other loses events, or announces what was rolled
back. So events are written into a table by the very transaction that they tell of, and a relay publishes them then::

    outbox = Outbox(Base.metadata)

    with Session(engine) as session, session.begin():
        session.add(order)
        outbox.add(session, "order.paid", {"order": order.id}, users=["alice"], key=f"order:{order.id}")

    await AsyncRelay(async_engine, outbox, publisher).run()      # or Relay(engine, outbox, publisher).run()

Promises: an event is published if, and only if, its transaction was committed. It is in the hub's log once, whatever
is killed in between: it has had its id since it was added, and the hub knows an id for a day (``dedupe_window``).
Events of one ``key`` are in the log in the order of their commits; events without a key in any order. What the hub
refuses for good is parked, with the reason, and does not hold up the others. Rows go as soon as the hub has
acknowledged them.
"""

from hub_client.outbox._outbox import Outbox, Parked, Status
from hub_client.outbox._relay import AsyncRelay, Progress, Relay

__all__ = ["AsyncRelay", "Outbox", "Parked", "Progress", "Relay", "Status"]

for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
