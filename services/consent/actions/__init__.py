"""The use cases of the consent service: load, decide with the model, save, emit."""
