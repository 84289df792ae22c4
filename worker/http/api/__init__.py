"""The JSON API, `/api/v1`: one module of routes for each subject."""
