"""What every kind of stack shares: derivations, patches, profiles, texts, the types of settings and their report."""
