"""Sealing, as age has it: a module for each part of the format (age-encryption.org/v1)."""
