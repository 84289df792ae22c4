"""The ten metrics, one module each, named like its metric. Discovery expects a `COLLECTOR` in every module here."""
