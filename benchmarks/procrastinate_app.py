"""Procrastinate, as the queue's benchmark uses it at both ends."""

import os

import procrastinate


def procrastinate_app() -> procrastinate.App:
    """The application of both ends."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))

    @app.task(name="nothing")
    async def nothing() -> None:
        """Does nothing."""

    return app
