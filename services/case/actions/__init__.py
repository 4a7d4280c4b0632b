"""One function per use case: load, decide with the model, save, emit events."""
