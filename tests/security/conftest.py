"""The app in this process, as the tests of the web have it."""

from tests.web.conftest import api, app, mint, services, tokens

__all__ = ["api", "app", "mint", "services", "tokens"]
