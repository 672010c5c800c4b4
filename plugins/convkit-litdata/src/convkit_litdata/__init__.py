"""Images streamed in litdata's format, from a folder or from object storage."""
