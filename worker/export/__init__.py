"""Documents for other programs, made of a stored run: SARIF, GitLab code quality, CSV, badges, a comment."""
