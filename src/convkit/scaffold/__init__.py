"""The files of a new plugin, as templates: ``$name``, ``$module``, ``$Class``, ``$package``, ``$kind``, ``$group``."""
