"""The ten metrics, one module each, and the engine that runs them over a source tree."""
