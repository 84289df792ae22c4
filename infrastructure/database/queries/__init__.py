"""Questions of readers about runs, answered by PostgreSQL without reading whole documents."""
