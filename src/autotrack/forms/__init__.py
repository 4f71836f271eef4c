"""Values as plain JSON, and made again from it: without running their code, without pickles."""
