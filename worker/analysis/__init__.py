"""From a source to its analysis: the pipeline, its child tasks, their sandbox profiles and the workspace."""
