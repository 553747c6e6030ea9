"""A host that serves one model: settings, plan, generated files, component."""
