"""What is uploaded for a source of this machine."""

from infrastructure.settings import Settings
from infrastructure.sources.local.packing import pack_directory
from worker.analysis.pipeline_factory import source_limits
from worker.cli.source_argument import Directory, File, read_file


def upload_of(source: Directory | File, settings: Settings) -> tuple[str, bytes]:
    """Name and bytes of what is uploaded for the source; a directory is packed with its git history."""
    if isinstance(source, File):
        return source.path.name, read_file(source.path, settings)
    name = source.path.resolve().name or "root"
    return f"{name}.zip", pack_directory(source.path, with_history=True, limits=source_limits(settings))
