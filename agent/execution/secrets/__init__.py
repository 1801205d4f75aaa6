"""Stored secrets: who gets which, how they are encrypted, and how they stay out of everything that is written."""
