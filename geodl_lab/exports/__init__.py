"""Chips and labels to train from, in the formats that training tools read."""
