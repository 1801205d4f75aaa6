"""Prepare what an action needs beside its interpreter."""
