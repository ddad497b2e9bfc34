"""A run: its session, its folder, and what is done with it afterwards."""
