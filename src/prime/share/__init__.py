"""Models that leave the machine: without patients, with a card, to the model hub and back."""
