"""All models of the database: whichever part of the hub keeps tables there is imported here, and so is known to
migrations that are made (``make migration``) and to the test that compares them."""

from hub.identity import models as _identity  # noqa: F401
from hub.inbox import models as _inbox  # noqa: F401
