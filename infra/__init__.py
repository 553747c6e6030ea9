"""The declaration: configuration → spec → derivations → artefacts → resources → outputs."""
