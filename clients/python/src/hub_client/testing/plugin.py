"""The pytest plugin: real hubs as fixtures. Loaded by itself where the package is installed (entry point ``pytest11``).

``hub_server``: a running hub, fresh for the test. ``shared_hub``: one for all tests of a module. ``start_hub``: a
function that starts further ones, with settings: ``start_hub(ping_interval=1)``. A test, class or module marked
``@pytest.mark.hub(access_ttl=1)`` has its ``hub_server`` with these settings. The hub itself has to be installed in the
same environment (``pip install notification-hub``); whatever still runs is ended after the test.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hub_client.testing import HubServer


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", "hub(**settings): settings of the test's hub_server, such as access_ttl=1")


@pytest.fixture
def start_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., HubServer]]:
    """Starts hubs with the settings given; all are ended after the test."""
    hubs: list[HubServer] = []

    def start(**settings: Any) -> HubServer:
        hub = _new(tmp_path_factory, settings)
        hubs.append(hub)
        return hub.start()

    yield start
    for hub in hubs:
        hub.close()


@pytest.fixture
def hub_server(request: pytest.FixtureRequest, start_hub: Callable[..., HubServer]) -> HubServer:
    """One running hub, fresh for the test, with the settings of its marker ``hub``."""
    settings: dict[str, Any] = {}
    for marker in request.node.iter_markers("hub"):
        settings = marker.kwargs | settings  # The closest comes first.
    return start_hub(**settings)


@pytest.fixture(scope="module")
def shared_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """One running hub for all tests of a module that do not restart it."""
    hub = _new(tmp_path_factory, {})
    try:
        yield hub.start()
    finally:
        hub.close()


def _new(paths: pytest.TempPathFactory, settings: dict[str, Any]) -> HubServer:
    if importlib.util.find_spec("hub") is None:
        pytest.fail("there is no hub to start in this environment: pip install notification-hub", pytrace=False)
    from hub_client.testing import HubServer

    return HubServer(paths.mktemp("hub"), **settings)
