"""Support of the stages that use fastText models: text preparation, training, scoring, and where models come from."""
