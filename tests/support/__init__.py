"""Helpers that several tests share: servers, models, boards and run folders made for a test."""
