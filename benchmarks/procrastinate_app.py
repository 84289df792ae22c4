"""The Procrastinate application that the queue's benchmark submits to and runs."""

import os

import procrastinate


def procrastinate_app() -> procrastinate.App:
    """Return the application, with its connection settings from the environment."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))

    @app.task(name="nothing")
    async def nothing() -> None:
        """Do nothing."""

    return app
