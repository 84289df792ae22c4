"""The ten metrics, one module each. Discovery finds every module here that declares a `COLLECTOR`."""
