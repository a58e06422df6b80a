"""Jobs that survive: what they are, where they are kept, and what runs them. No web framework."""
