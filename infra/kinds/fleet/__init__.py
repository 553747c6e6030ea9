"""Several boards and the gateway in front of them: settings, plan, generated files, component."""
