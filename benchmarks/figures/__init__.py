"""The figures: each module measures one subject and returns its tables."""
