"""Helpers that several tests share: servers, models, boards, run folders and probe parts."""
