"""What can be done with documents and paper files: one function per use case."""
