"""From the source model to a flow: names resolved, texts and guards compiled, slots and states checked."""
